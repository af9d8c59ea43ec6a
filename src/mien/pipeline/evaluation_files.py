"""Files of an evaluation: predictions, metrics, the short report and the full report, written and found. No torch."""

import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path

from mien.base.errors import DataError, MissingExtraError, Notice
from mien.base.files import whole_file
from mien.base.run_folder import RunFolder, find_run, find_run_of_model
from mien.evaluation.predictions import Predictions, save_predictions
from mien.evaluation.results import Evaluation
from mien.evaluation.robustness import NAME, RobustnessResult, read_robustness
from mien.page.page import WrittenPage
from mien.pipeline.measured_split import MeasuredSplit, holds_test
from mien.reporting.paper import methods_text
from mien.reporting.report_page import SUMMARY, report_page
from mien.reporting.sections import NOT_MEASURED, ReportContext


def headline_values(evaluation: Evaluation) -> dict[str, float]:
    """Return the headline metrics on validation for the manifest, without undefined ones."""
    return {
        f"validation_{name}": estimate.value
        for name, estimate in evaluation.headline.items()
        if not math.isnan(estimate.value)
    }


def file_names(split: str) -> tuple[str, ...]:
    """Return the names of the files and folders written by :func:`write_evaluation`."""
    paper = "methods.tex", "hyperparameters.tex", "references.bib"
    return f"predictions_{split}.npz", "metrics.json", "report.html", "figures", "tables", *paper


def write_evaluation(
    folder: Path,
    context: ReportContext,
    title: str,
    metadata: Mapping[str, str],
    forms: Sequence[str] = ("svg", "png", "pdf"),
) -> Path | None:
    """Write ``predictions_<split>.npz``, ``metrics.json`` and, if the extra is installed, the report with its files.

    ``forms`` of charts are those of :meth:`mien.page.page.Page.write`; without any there is no report. Returns the
    report's path; None without a report, which also removes an earlier one.
    """
    # Move predictions and metrics into place only after the page, because a partial result cannot be used.
    with ExitStack() as files:
        place = RunFolder(folder).predictions(context.predictions.split)
        with files.enter_context(whole_file(place)).open("wb") as stream:
            save_predictions(stream, context.predictions)
        metrics = files.enter_context(whole_file(folder / "metrics.json"))
        metrics.write_text(json.dumps(context.evaluation.to_dict(), indent=2) + "\n", encoding="utf-8", newline="")
        with suppress(MissingExtraError):
            if forms:
                page = report_page(context, title, metadata, SUMMARY, label=folder.resolve().name)
                return page.write(folder, forms=forms).page
    # Remove an earlier report, because it does not match these metrics.
    (folder / "report.html").unlink(missing_ok=True)
    return None


def report_context(split: MeasuredSplit, evaluation: Evaluation, run: RunFolder | None) -> ReportContext:
    """Return what a report shows of measured predictions, their model's run and the data, without faces."""
    history, manifest = [] if run is None else run.read_history(), None if split.model is None else split.model.manifest
    return ReportContext(
        split.predictions,
        evaluation,
        class_counts=split.class_counts,
        history=history,
        best_epoch=manifest.epoch if manifest is not None and history else None,
        run=run,
        parameters=0 if manifest is None else manifest.parameters,
    )


def write_report(
    out: Path,
    split: MeasuredSplit,
    evaluation: Evaluation,
    title: str,
    *,
    file: Path | None = None,
    model_name: str | None = None,
    run: RunFolder | None = None,
    metadata: Mapping[str, str] | None = None,
    explain: bool = True,
) -> WrittenPage:
    """Write a report on measured predictions, with its charts and tables, into a folder. None means unknown.

    A ``robustness.json`` in the folder, beside the predictions' ``file``, or in the ``run`` of the model is included.
    ``model_name`` is the model's path or name, as for ``mien robustness``; ``metadata`` says how the page was made;
    ``explain`` adds attention maps. Raises MissingExtraError without matplotlib or jinja2, and RunError if a file
    cannot be written. After an error nothing is written.
    """
    predictions, model = split.predictions, split.model
    folders = [out, *([] if file is None else [file.parent]), *([] if run is None else [run.path])]
    known = None if model is None else model.manifest.data_fingerprint
    context = replace(
        report_context(split, evaluation, run),
        faces=split.faces,
        robustness=find_robustness(folders, predictions, model_name),
        model=model,
        is_training_data=known is not None and split.data is not None and split.data.matches_training_data(known),
        is_test=holds_test(predictions, split.faces),
        explain=explain,
    )
    about = {} if file is None else {"predictions": str(file)}
    about["model"] = model_name or "not given"
    if run is not None:
        about["run"] = str(run.path)
        if model is not None and (words := methods_text(run, {}, context.parameters)):
            about["training"] = words
    about |= {"averaging": predictions.note} if predictions.note else {}
    about |= metadata or {}
    if predictions.temperature is not None:
        about["probabilities"] = f"at temperature {predictions.temperature:.3g}"
    label = f"{(out.resolve().parent if run is None else run.path.resolve()).name}-{predictions.split}"
    return report_page(context, title, about, label=label).write(out)


def find_predictions(folder: Path, split: str | None = None) -> Path:
    """Return the predictions in a run folder or one by ``mien evaluate --out``; DataError: none, or several splits."""
    found = {file.stem.removeprefix("predictions_"): file for file in sorted(folder.glob("predictions_*.npz"))}
    chosen = split or ("validation" if "validation" in found or len(found) != 1 else next(iter(found)))
    if chosen in found:
        return found[chosen]
    state = f"has predictions for {', '.join(found) or 'no split'}" if folder.is_dir() else "is no folder of a run"
    words = f"{folder} {state}. Give --split or --predictions FILE, or first run: mien evaluate MODEL --data PATH "
    raise DataError(f"{words}--split {chosen} --out DIR", code="predictions-missing")


def find_robustness(
    folders: Sequence[Path], predictions: Predictions, model_name: str | None
) -> RobustnessResult | Notice:
    """Return the first ``robustness.json`` for the predictions' split and model, or a notice why there is none."""
    if predictions.split == "test":
        return Notice("Robustness section skipped: only mien evaluate uses the test split.", code="robustness-skipped")
    nothing = NOT_MEASURED
    for file in (place / NAME if place.is_dir() else place for place in folders):
        if file.is_file():
            measured = read_robustness(file)
            prints = {measured.data_fingerprint, predictions.data_fingerprint} - {""}
            same_model = model_name is None or _place(measured.model) == _place(model_name)
            if measured.split == predictions.split and len(prints) <= 1 and same_model:
                return measured
            words = f"{file} skipped: it is for {measured.description}, not for the data or the model of this report."
            nothing = Notice(words, code="robustness-skipped")
    return nothing


def _place(model: str) -> Path:
    """Return the run folder for a run or its model file; otherwise the file."""
    run = find_run_of_model(model)
    return (find_run(model) if run is None else run).path.resolve()
