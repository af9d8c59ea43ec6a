"""Files of an evaluation: predictions, metrics, the short report and the full report, written and found. No torch."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from mien.base.errors import DataError, MissingExtraError, Notice
from mien.base.files import whole_file
from mien.base.run_folder import RunFolder, find_run, find_run_of_model, is_shipped
from mien.data.read import ReadResult
from mien.evaluation.named_metrics import NamedMetric
from mien.evaluation.predictions import Predictions, read_predictions, save_predictions
from mien.evaluation.results import Evaluation
from mien.evaluation.robustness import NAME, RobustnessResult, read_robustness
from mien.inference.predictor import Predictor, load
from mien.page.page import WrittenPage
from mien.pipeline.measured_split import MeasuredSplit, check_model, holds_test
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


@dataclass(frozen=True)
class ReportInputs:
    """Predictions to report on, and the model that made them. None means unknown; sections that need it are skipped.

    Attributes:
        file: path of the predictions; a ``robustness.json`` may be beside it.
        model_name: path or name of the model, as for ``mien robustness``.
        run: run folder of the model, for its training history and for gradients.
    """

    predictions: Predictions
    title: str
    file: Path | None = None
    model: Predictor | None = None
    model_name: str | None = None
    run: RunFolder | None = None

    @classmethod
    def find(
        cls, path: Path, model: Predictor | str | os.PathLike[str] | None = None, split: str | None = None
    ) -> "ReportInputs":
        """Find the predictions in a run folder, an evaluation folder or a file, and their model, by default the run's.

        Raises DataError if there are no predictions, ModelError if there is no such model.
        """
        is_file = path.is_file()
        file = path if is_file else find_predictions(path, split)
        predictions = read_predictions(file)
        if split not in {None, predictions.split}:
            raise DataError(f"{file} has predictions for {predictions.split}, not {split}.", code="split-unknown")
        name = file.stem if is_file else file.parent.resolve().name
        if model is None and not is_file and RunFolder(path).model.is_file():
            # A run folder may have the name of a built-in model; then use its absolute path.
            model = path.absolute() if is_shipped(str(path)) else path
        if model is None:
            return cls(predictions, f"{name}: {predictions.split}", file)
        where = model.path if isinstance(model, Predictor) else model
        predictor = (model if isinstance(model, Predictor) else load(model)).for_labels()
        if not is_file and find_run(where).path.resolve() == path.resolve():
            name = predictor.manifest.full_name
        return cls(predictions, f"{name}: {predictions.split}", file, predictor, str(where), find_run_of_model(where))

    @property
    def default_out(self) -> Path:
        """Default output folder beside the predictions. Unsafe characters in the split's name become hyphens."""
        split = "".join(each if each.isalnum() or each in "-_." else "-" for each in self.predictions.split)
        return (Path() if self.file is None else self.file.parent) / f"report-{split}"


def write_report(
    out: Path,
    inputs: ReportInputs,
    data: ReadResult | None = None,
    *,
    metadata: Mapping[str, str] | None = None,
    explain: bool = True,
    metrics: Sequence[NamedMetric] = (),
) -> WrittenPage:
    """Write ``report.html`` with its charts and tables into a folder. Its ``robustness.json`` is included, if any.

    ``data`` are all splits, at the model's image size if there is a model. ``metadata`` says how the page was made.

    Raises DataError if the predictions do not match the faces or the model, MissingExtraError without matplotlib or
    jinja2, and RunError if a file cannot be written. After an error nothing is written.
    """
    model, predictions = inputs.model, inputs.predictions
    if model is not None and model.classes != predictions.classes:
        words = f"The predictions have the classes {', '.join(predictions.classes)}, not {', '.join(model.classes)}."
        raise DataError(f"{words} Give the model that made them, or none.", code="classes-differ")
    faces, uncleaned = (None, None) if data is None else (data.faces, data.uncleaned)
    split = MeasuredSplit.resolve(predictions, faces, model, uncleaned=uncleaned)
    checked = None if model is None or split.faces is None else check_model(model, split.faces, predictions)
    if checked is not None:
        inputs = replace(inputs, predictions=replace(predictions, temperature=checked))
    return write_measured(out, inputs, split, split.evaluate(metrics), metadata, explain=explain)


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


def write_measured(
    out: Path,
    inputs: ReportInputs,
    split: MeasuredSplit,
    evaluation: Evaluation,
    metadata: Mapping[str, str] | None = None,
    *,
    explain: bool,
) -> WrittenPage:
    """Write a report for predictions that are already matched and measured; ``explain`` adds attention maps."""
    model, run, predictions = inputs.model, inputs.run, inputs.predictions
    folders = [out, *([] if inputs.file is None else [inputs.file.parent]), *([] if run is None else [run.path])]
    known = None if model is None else model.manifest.data_fingerprint
    context = replace(
        report_context(replace(split, model=model), evaluation, run),
        faces=split.faces,
        robustness=find_robustness(folders, predictions, inputs.model_name),
        model=model,
        is_training_data=known is not None and split.data is not None and split.data.matches_training_data(known),
        is_test=holds_test(predictions, split.faces),
        explain=explain,
    )
    named = out.resolve().parent if run is None else run.path.resolve()
    label = f"{named.name}-{predictions.split}"
    return report_page(context, inputs.title, _metadata(inputs, metadata or {}), label=label).write(out)


def _metadata(inputs: ReportInputs, further: Mapping[str, str]) -> dict[str, str]:
    metadata = {} if inputs.file is None else {"predictions": str(inputs.file)}
    metadata["model"] = inputs.model_name or "not given"
    if inputs.run is not None:
        metadata["run"] = str(inputs.run.path)
        if inputs.model is not None and (words := methods_text(inputs.run, {}, inputs.model.manifest.parameters)):
            metadata["training"] = words
    if inputs.predictions.note:
        metadata["averaging"] = inputs.predictions.note
    metadata |= further
    if inputs.predictions.temperature is not None:
        metadata["probabilities"] = f"at temperature {inputs.predictions.temperature:.3g}"
    return metadata


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
    for place in folders:
        file = place / NAME if place.is_dir() else place
        if not file.is_file():
            continue
        measured = read_robustness(file)
        prints = {measured.data_fingerprint, predictions.data_fingerprint} - {""}
        other_model = model_name is not None and _place(measured.model) != _place(model_name)
        if measured.split != predictions.split or len(prints) > 1 or other_model:
            words = f"{file} skipped: it is for {measured.description}, not for the data or the model of this report."
            nothing = Notice(words, code="robustness-skipped")
            continue
        return measured
    return nothing


def _place(model: str) -> Path:
    """Return the run folder for a run or its model file; otherwise the file."""
    run = find_run_of_model(model)
    return (find_run(model) if run is None else run).path.resolve()
