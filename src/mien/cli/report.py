"""``mien report``: everything about a model's predictions on one page. Works without torch, except for gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import (
    JsonOption,
    OptionalDataOption,
    OptionalModelOption,
    QuietOption,
    SplitOfPredictionsOption,
)
from mien.cli.output import check_page_out, note, notice, page_metadata, show_json
from mien.cli.source import Source, SourceVotesOptions, environment_of
from mien.errors import DataError, MienError
from mien.evaluation.predictions import Predictions, read_predictions
from mien.inference.find_model import find_run, find_run_of_model
from mien.inference.predictor import Predictor, load
from mien.page.page import WrittenPage
from mien.pipeline.find_files import find_predictions
from mien.report.run import write_report
from mien.run_folder import RunFolder


@dataclass(frozen=True)
class _Subject:
    """Whose predictions the report is about.

    Attributes:
        file: of the predictions.
        predictions: its content.
        model_name: the model as the user named it; None without one.
        model: that made the predictions; None without one.
        run: its run folder, if it has one.
        is_recorded: whether the model was not given, but found by what the predictions file says.
        title: heads the page.
    """

    file: Path
    predictions: Predictions
    model_name: str | None
    model: Predictor | None
    run: RunFolder | None
    title: str
    is_recorded: bool = False


def report(
    folder: Annotated[
        Path | None,
        typer.Argument(help="A run folder, or the folder of mien evaluate --out DIR.", metavar="DIR"),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="A predictions file of any model, instead of DIR.", metavar="FILE"),
    ] = None,
    data: OptionalDataOption = None,
    model: OptionalModelOption = None,
    split: SplitOfPredictionsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder for report.html, figures/ and tables/. The default is DIR/report-SPLIT.",
            metavar="OUT",
        ),
    ] = None,
    level: Annotated[
        float,
        typer.Option(help="Coverage of prediction sets: how often they contain the true class.", metavar="P"),
    ] = 0.9,
    no_explain: Annotated[
        bool, typer.Option("--no-explain", help="Skip the saliency maps, which take half a minute.")
    ] = False,
    no_features: Annotated[
        bool, typer.Option("--no-features", help="Skip the map of features, which needs every training image.")
    ] = False,
    *,
    data_options: SourceVotesOptions,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a full report on a model's predictions and errors, as one page for a browser or a printer.

    Some sections need the data, the model, or a robustness.json that mien robustness wrote to DIR or OUT. Without
    --data and --model, it uses those that the predictions file names, if they still exist. Every chart is also written
    as SVG and PNG, every table as CSV and JSON. Faces are shown only on the page.
    """
    if (folder is None) == (predictions is None):
        raise DataError("Give either a folder or --predictions FILE.", code="options")
    if predictions is not None and split is not None:
        raise DataError("--split chooses among the predictions of DIR; --predictions FILE has one.", code="options")
    source = data_options.at_any(data)
    check_page_out(out, data)
    file = predictions if folder is None else find_predictions(folder, split)
    assert file is not None
    read = read_predictions(file)
    out = out or default_out(file, read.split)
    check_page_out(out, data)
    subject = _find(folder, file, read, model)
    recorded = source is None and (_recorded_data(read) or _training_data(subject))
    write = partial(_write, out, level=level, explain=not no_explain, features=not no_features)
    try:
        written = write(subject, recorded or source)
    except DataError as error:
        if not recorded and not subject.is_recorded:
            raise
        note(
            f"{error} The report goes without the model and the data that the predictions file names.",
            "recorded-unusable",
        )
        written = write(_without_recorded(subject), source)
    if json:
        files = [str(each) for each in written.files]
        show_json({"report": str(written.page), "bytes": written.page_bytes, "files": files})
        return
    typer.echo(str(written.page))
    notice(f"{written.page_bytes / 1e6:.1f} MB, with {len(written.files)} files in figures/ and tables/ beside it.")
    if source is not None or recorded:
        notice("The page shows faces of the data: check its licence before you share it.")


def _find(folder: Path | None, file: Path, predictions: Predictions, model: str | None) -> _Subject:
    if model is None and folder is not None and RunFolder(folder).model.is_file():
        model = str(folder)
    name = file.stem if folder is None else file.parent.resolve().name
    if model is None:
        title = f"{name}: {predictions.split}"
        found = _recorded_model(predictions)
        if found is None:
            return _Subject(file, predictions, ", ".join(predictions.models) or None, None, None, title)
        run = find_run_of_model(predictions.models[0])
        return _Subject(file, predictions, predictions.models[0], found, run, title, is_recorded=True)
    predictor = load(model).for_labels()
    if folder is not None and find_run(model).path.resolve() == folder.resolve():
        name = predictor.manifest.full_name
    title = f"{name}: {predictions.split}"
    return _Subject(file, predictions, model, predictor, find_run_of_model(model), title)


def _recorded_model(predictions: Predictions) -> Predictor | None:
    """The one model that the predictions file names, if it is still there and has the same classes."""
    if len(predictions.models) != 1:
        return None
    (name,) = predictions.models
    try:
        found = load(name).for_labels()
    except MienError as error:
        note(f"{name}, which made the predictions, cannot be used. {error}", "recorded-model-unusable")
        return None
    return found if found.classes == predictions.classes else None


def _recorded_data(predictions: Predictions) -> Source | None:
    """The data that the predictions file names, if it is still there."""
    source = Source.of_options(predictions.data_options)
    if source is None:
        return None
    if not source.path.exists():
        note(f"{source.path}, the data of the predictions, is not there. Give --data PATH.", "recorded-data-missing")
        return None
    note(f"using the data recorded in the predictions file: {source.path}", "recorded-data-used")
    return source


def _training_data(subject: _Subject) -> Source | None:
    """The data that the run of the predictions was trained on, by its path in environment.json, if still there."""
    run = subject.run
    if run is None or run.path.resolve() != subject.file.parent.resolve():
        return None
    if not (run.path / "environment.json").is_file():
        return None
    path = run.read_environment().get("data")
    if not isinstance(path, str) or not path or not Path(path).exists():
        return None
    note(f"using the data that the run was trained on: {path}", "recorded-data-used")
    return Source(Path(path))


def _without_recorded(subject: _Subject) -> _Subject:
    return replace(subject, model=None, run=None) if subject.is_recorded else subject


def _write(
    out: Path, subject: _Subject, source: Source | None, *, level: float, explain: bool, features: bool
) -> WrittenPage:
    form = () if subject.model is None else subject.model.manifest.input.stored_as
    result = None if source is None else source.read(*form)
    averaging = subject.predictions.note
    return write_report(
        out,
        subject.predictions,
        title=subject.title,
        faces=None if result is None else result.faces,
        uncleaned=None if result is None else result.uncleaned,
        model=subject.model,
        run=subject.run,
        robustness=[out, subject.file.parent, *([] if subject.run is None else [subject.run.path])],
        model_name=subject.model_name,
        level=level,
        explain=explain,
        features=features,
        metadata={
            "predictions": str(subject.file),
            "model": subject.model_name or "not given",
            **({} if subject.run is None else {"run": str(subject.run.path)}),
            **({"averaging": averaging} if averaging else {}),
            **page_metadata(environment_of(source)),
        },
    )


def default_out(file: Path, split: str) -> Path:
    """Beside the predictions; a split may have any name, a folder may not."""
    return file.parent / ("report-" + "".join(each if each.isalnum() or each in "-_." else "-" for each in split))
