"""Commands that measure models, predictions and data. They work without torch, except for gradients and folds."""

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import typer

import mien
from mien.api.audit import MAY_HOLD_A_REVIEW
from mien.api.evaluate import run_with_ledger
from mien.api.explain import check_free
from mien.api.inputs import environment as environment_of
from mien.api.inputs import read
from mien.api.report import compare_named, keep_shared_samples
from mien.auditing.sections import audit_tables
from mien.base.errors import DataError, Notice, share_text
from mien.base.files import check_replaceable
from mien.base.run_folder import check_out
from mien.cli.options import shows
from mien.cli.output import check_overwrite, environment, leave_out, notice, read_stdin, show, show_json, show_rows
from mien.cli.source import AuditedOptions, SourceOptions
from mien.data.dataset import FINGERPRINT_PX
from mien.data.splits import OFFICIAL_ORIGIN
from mien.evaluation.named_metrics import find_metrics
from mien.evaluation.predictions import read_predictions
from mien.evaluation.robustness import NAME, write_robustness
from mien.page.page import WrittenPage
from mien.page.terminal import evaluation_text, rich_table
from mien.page.wording import counted
from mien.pipeline.evaluation_files import file_names, find_predictions
from mien.pipeline.measured_split import holds_test
from mien.pipeline.training_view import TrainProgress
from mien.reporting.comparison import comparison_page

_OWN_SPLIT = "--split chooses predictions in DIR; a --predictions FILE has one split"


@shows(mien.evaluate, "model")
def evaluate(
    measure: partial[Any],
    model: list[str] | None = None,
    *,
    data: Path | None = None,
    split: str | None = None,
    out: Path | None = None,
    predictions: Path | None = None,
    data_options: SourceOptions,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Evaluate models on one split of labelled images, or evaluate the predictions of any model.

    Several models are shown in one table: metrics with intervals, parameters, size, time. With --classes, probabilities
    are summed over merged classes, and samples of dropped classes are left out. Only this command uses the test split,
    and the model's run folder records each use.

    Options:
        split: train, validation (the default; PublicTest of FER2013), test (PrivateTest), or all faces.
        out: Write predictions_SPLIT.npz, metrics.json and report.html to this folder; of several models report.html and
            tables/ (CSV, JSON, LaTeX).
        predictions: Evaluate this predictions file (docs/predictions.md) instead of a model.
    """
    given = measure.keywords
    in_table = len(model or ()) > 1 and not given["ensemble"]
    if out is not None:
        check_out(out, data, for_page=in_table)
    if predictions is not None:
        refused = {"MODEL": model, "--data": data, "--split": split, "--tta": given["tta"] != 1}
        refused |= {f"--{name}": given.get(name) for name in ("by", "provider", "ensemble")}
        refused |= {"options of --data": data_options != SourceOptions()}
        leave_out("--predictions FILE already holds labels and probabilities of one split", refused)
        own = {name: given[name] for name in ("classes", "metrics") if name in given}
        result = replace(mien.evaluate_file(predictions, **own), name=predictions.stem)
        check_overwrite(out, file_names(result.predictions.split), overwrite)
        words = "a predictions file does not say which samples copy training samples. mien report --data PATH does."
        notice(words, "copies-unknown")
        _show_evaluation(result, out, {"predictions": str(predictions)}, overwrite, json)
        return
    if not model or data is None:
        raise DataError("mien evaluate needs MODEL and --data PATH, or --predictions FILE alone.", code="options")
    source, split = data_options.at(data), split or "validation"
    check_overwrite(out, ("report.html", "tables") if in_table else file_names(split), overwrite)
    result = measure(model if len(model) > 1 else model[0], source, split)
    results = [*result.results] if in_table else [result]
    notice(f"{data}: splits: {results[0].split_origin}")
    for each in results:
        _tell_use(each)
    metadata = {"model": ", ".join(model), **environment_of(source)}
    if not in_table:
        _show_evaluation(result, out, metadata, overwrite, json)
        return
    if out is not None:
        notice(f"report: {result.write(out, metadata)}")
    show_json(result.to_dict()) if json else show(rich_table(result))


def _show_evaluation(
    result: mien.EvaluationResult, out: Path | None, metadata: dict[str, str], overwrite: bool, json: bool
) -> None:
    if result.merged:
        notice(f"{result.merged}.", "classes-merged")
    report = None if out is None else result.write(out, metadata, overwrite=overwrite)
    if json:
        show_json(result.to_dict())
    else:
        show(evaluation_text(result.evaluation))
        if result.predictions.note:
            typer.echo(f"\nPredictions are {result.predictions.note}.")
        if result.temperature_note:
            typer.echo(f"\nProbabilities are {result.temperature_note}.")
    if out is not None:
        notice(f"report: {report}" if report else f"{out}: no report; it needs pip install 'mien[report]'.")


def _tell_use(result: mien.EvaluationResult) -> None:
    """Print how often the test split was used, or that only a part of the data was evaluated."""
    run = None if result.model is None else run_with_ledger(result.model)  # an ensemble has none
    everything, split = result.measured.data, result.predictions.split
    if holds_test(result.predictions, result.measured.faces):
        if run is not None:
            notice(f"The test split has now been used {counted(run.test_uses(), 'time')} with this model ({run.path}).")
        else:
            notice("The test split was used. This model has no run folder of yours, so no ledger was kept.")
    elif everything is not None and run is None and split == "validation" and not result.evaluation.trained_on:
        part, whole = int((everything.split == split).sum()), len(everything)
        if result.split_origin != OFFICIAL_ORIGIN and not (everything.split == "test").any() and part < whole:
            notice(f"{part:,} of {whole:,} faces were evaluated. For all: --split all", "part-measured")


@shows(mien.report, "predictions", "explain", reads=SourceOptions)
def report(
    write: partial[WrittenPage],
    folder: Path | None = None,
    *,
    predictions: Path | None = None,
    no_explain: bool = False,
    json: bool = False,
) -> None:
    """Write a full report on a model's predictions and errors, as one page for a browser or a printer.

    Some sections need --data, --model (unless DIR is a run folder), or robustness.json by mien robustness in DIR or
    OUT. Every chart is also written as SVG, PNG and PDF, every table as CSV, JSON and LaTeX. Only the page shows faces.

    Options:
        folder (DIR): A run folder, or the folder of mien evaluate --out DIR.
        predictions: A predictions file of any model, instead of DIR.
        no_explain: Skip the saliency maps, which take half a minute.
    """
    place, has_data = folder or predictions, "data" in write.keywords
    if place is None or (folder is not None and predictions is not None):
        raise DataError("Give either a folder or --predictions FILE.", code="options")
    if predictions is not None:
        leave_out(_OWN_SPLIT, {"--split": write.keywords.get("split")})
    written = write(place, explain=not no_explain, metadata=None if has_data else environment("not given"))
    if json:
        show_json(written.to_dict())
        return
    typer.echo(str(written))
    notice(f"{written.page_bytes / 1e6:.1f} MB, with {len(written.files)} files in figures/ and tables/ beside it.")
    if has_data:
        notice("The page shows faces of the data: check its licence before you share it.")


def compare(
    folders: list[Path] | None = None,
    *,
    predictions: list[Path] | None = None,
    split: str | None = None,
    shared_only: bool = False,
    data: Path | None = None,
    metrics: list[str] | None = None,
    out: Path | None = None,
    data_options: SourceOptions,
    json: bool = False,
) -> None:
    """Compare models on the same samples: paired bootstrap, McNemar's test, the difference for each class.

    Every model is compared with the first one. Input sizes may differ. With --data, metrics without copies are added,
    and the page in --out shows faces. Intervals and tests are then over the groups of the data, if it has any: its own,
    or those of --group.

    Options:
        folders (DIR): Run folders, or folders of mien evaluate --out DIR. The first is the baseline.
        predictions: A predictions file of any model.
        split: Which predictions of DIR to use: train, validation (the default), test or all.
        shared_only: Compare on the samples that all models predicted; count the rest.
        out: Write report.html, figures/ and tables/ to this folder.
    """
    if not folders:
        leave_out(_OWN_SPLIT, {"--split": split})
    source = data_options.at_any(data)
    if out is not None:
        check_out(out, data, for_page=True)
    own = find_metrics(metrics or ())
    files = [(str(folder), find_predictions(folder, split)) for folder in folders or ()]
    files += [(str(file), file) for file in predictions or ()]
    named = [(name, read_predictions(file)) for name, file in files]
    metadata: dict[str, str] = {}
    notes: list[Notice] = []
    if shared_only and len(named) > 1:
        named, shared = keep_shared_samples(named)
        metadata["samples"] = shared
        notes.append(shared)
    comparisons = compare_named(named, None if source is None else read(source, FINGERPRINT_PX), own)
    # Print each notice once, although the first model is part of every comparison.
    notes += dict.fromkeys(words for each in comparisons for words in each.notices)
    for note in notes:
        notice(note.line)
    if out is not None:
        metadata |= environment("not given") if source is None else environment_of(source)
        notice(f"report: {comparison_page(comparisons, metadata).write(out).page}")
    if json:
        show_json([each.to_dict() for each in comparisons])
        return
    for each in comparisons:
        typer.echo(str(each))


@shows(mien.check, reads=SourceOptions)
def check(check_claim: partial[mien.ClaimResult], *, out: Path | None = None, json: bool = False) -> None:
    """See :func:`mien.check`.

    Options:
        out: Write report.html and tables/ to this folder.
    """
    data = check_claim.keywords["data"]
    if out is not None:
        check_out(out, data, for_page=True)
    result = check_claim()
    if out is not None:
        notice(f"report: {result.write_report(out, environment_of(data))}")
    show_json(result.to_dict()) if json else typer.echo(str(result))


@shows(mien.robustness, reads=SourceOptions)
def robustness(
    measure: partial[mien.RobustnessResult], *, out: Path | None = None, overwrite: bool = False, json: bool = False
) -> None:
    """See :func:`mien.robustness`.

    Options:
        out: Write robustness.json to this folder.
    """
    check_overwrite(out, [NAME], overwrite)
    result = measure()
    show_json(result.to_dict()) if json else typer.echo(str(result))
    if out is not None:
        notice(f"written: {write_robustness(out, result)}")


@shows(mien.explain, "model", "method", "out")
def explain(
    explain_faces: partial[mien.Explanations],
    images: list[Path],
    *,
    model: str = "default",
    method: list[str] = ["occlusion"],  # noqa: B006 - typer makes a fresh list of it
    out: Path | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> None:
    """Detect the faces in images, and map which pixels of each its prediction depends on.

    Each PNG shows the face and, beside it, the same face with the map in colour; maps.pdf, .svg and .png show all of
    them. Methods disagree, and a map is no proof: docs/explain.md shows how to check a method on a model.

    Options:
        method (NAME): occlusion, which works with any model; gradient or gradcam, which need a run folder and
            mien[train]; or all.
        out: Folder for a PNG for each face and method, figures of all maps and of the mean map of each class, and
            maps.npz. The default for photo.jpg is ./photo-explained.
    """
    stdin = read_stdin(images)
    # Do not write into the photo's folder, which may be on a camera's memory card.
    given = [path if stdin is None or str(path) != "-" else stdin for path in images]
    out = Path(f"{'stdin' if given[0] is stdin else images[0].resolve().stem}-explained") if out is None else out
    for path in given:
        check_out(out, path)
    check_free(out, overwrite)
    explanations = explain_faces(model, given, method, notify=notice)
    if not explanations:
        words = f"There is no face, such as in {images[0]}. If the images are face crops, use --crops."
        raise DataError(words, code="no-face")
    files = explanations.save(out, overwrite=overwrite)
    count, rows = len(explanations.methods), list[dict[str, Any]]()
    numbers = Counter[str]()
    for first in range(0, len(explanations), count):
        own, prediction = explanations[first : first + count], explanations[first].prediction
        numbers[prediction.source] += 1
        place = {"face": numbers[prediction.source], "box": prediction.box.to_dict()}
        rows.append(
            {
                "source": prediction.source,
                **({} if prediction.detection_score is None else place),
                **({"output": prediction.output} if prediction.output else {}),
                "answer": prediction.answer,
                "class": own[0].target,
                "probability": prediction.probabilities[own[0].target],
                "files": {each.method: str(file) for each, file in zip(own, files[first:], strict=False)},
                "full_scale": {each.method: each.full_scale for each in own},
            }
        )
    if json:
        show_json(rows)
    else:
        shown = [{name: value for name, value in row.items() if name not in {"box", "full_scale"}} for row in rows]
        for row in shown:
            row |= {"probability": share_text(row["probability"]), "files": list(row["files"].values())}
        show_rows(shown, pipe_width=200)
    notice(f"maps: {out / 'maps.npz'}")


@shows(mien.audit, "out", reads=AuditedOptions)
def audit(
    find_faults: partial[mien.AuditResult], *, out: Path = Path("audit"), overwrite: bool = False, json: bool = False
) -> None:
    """Audit a data set: duplicates, leakage, doubtful labels, corrupted images, label-noise ceiling.

    Writes a page that shows faces, and clean.toml: samples to drop or relabel. Review that file, then give it to any
    command except audit as --clean. The data itself is never changed.

    Options:
        out: Folder for audit.html, clean.toml, audit.json and tables/.
    """
    data = find_faults.keywords["data"]
    check_out(out, data)
    check_replaceable([out / "clean.toml"], overwrite, MAY_HOLD_A_REVIEW)
    audited = find_faults(out=out / "folds", notify=notice, callback=TrainProgress())
    page = audited.write(out, metadata=environment_of(data), overwrite=True)
    list_file = out / "clean.toml"
    if json:
        show_json({"page": str(page), "list": str(list_file), **audited.to_dict()})
        return
    show(audit_tables(audited.findings))
    notice(
        f"\npage:  {page} ({page.stat().st_size / 1e6:.1f} MB). It shows faces of the data: check its licence "
        f"before you share it.\nlist:  {list_file}. Review it, then give it to any command except audit as --clean."
    )
