"""``mien report``: everything about a model's predictions on one page. Works without torch, except for gradients."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from mien.api.report import ReportInputs, write_report
from mien.base.errors import DataError, MienError
from mien.cli.options import (
    JsonOption,
    OptionalDataOption,
    OptionalModelOption,
    QuietOption,
    SplitOfPredictionsOption,
)
from mien.cli.output import check_page_out, notice, page_metadata, show_json
from mien.cli.source import Source, SourceVotesOptions, environment_of
from mien.inference.find_model import find_run_of_model
from mien.inference.predictor import load


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
    as SVG and PNG, every table as CSV, JSON and LaTeX. Faces are shown only on the page.
    """
    place = folder or predictions
    if place is None or (folder is not None and predictions is not None):
        raise DataError("Give either a folder or --predictions FILE.", code="options")
    if predictions is not None and split is not None:
        raise DataError("--split chooses among the predictions of DIR; --predictions FILE has one.", code="options")
    source = data_options.at_any(data)
    check_page_out(out, data)
    inputs = ReportInputs.find(place, model, split)
    out = out or inputs.default_out
    check_page_out(out, data)
    inputs = replace(inputs, explain=not no_explain, features=not no_features)
    complete = inputs if inputs.model is not None else _with_recorded_model(inputs)
    recorded = None if source is not None else _recorded_data(complete) or _training_data(complete)
    try:
        written = write_report(out, _with_data(complete, recorded or source))
    except DataError as error:
        if recorded is None and complete is inputs:
            raise
        notice(
            f"{error} The report goes without the model and the data that the predictions file names.",
            "recorded-unusable",
        )
        written = write_report(out, _with_data(inputs, source))
    if json:
        show_json(written.to_dict())
        return
    typer.echo(str(written))
    notice(f"{written.page_bytes / 1e6:.1f} MB, with {len(written.files)} files in figures/ and tables/ beside it.")
    if source is not None or recorded is not None:
        notice("The page shows faces of the data: check its licence before you share it.")


def _with_data(inputs: ReportInputs, source: Source | None) -> ReportInputs:
    form = () if inputs.model is None else inputs.model.manifest.input.stored_as
    data = None if source is None else source.read(*form)
    return replace(inputs, data=data, metadata=page_metadata(environment_of(source)))


def _with_recorded_model(inputs: ReportInputs) -> ReportInputs:
    """The same with the one model that the predictions file names, if it is still there and has the same classes."""
    if len(inputs.predictions.models) != 1:
        return inputs
    (name,) = inputs.predictions.models
    try:
        model = load(name).for_labels()
    except MienError as error:
        notice(f"{name}, which made the predictions, cannot be used. {error}", "recorded-model-unusable")
        return inputs
    if model.classes != inputs.predictions.classes:
        return inputs
    return replace(inputs, model=model, run=find_run_of_model(name))


def _recorded_data(inputs: ReportInputs) -> Source | None:
    """The data that the predictions file names, if it is still there."""
    source = Source.of_options(inputs.predictions.data_options)
    if source is None:
        return None
    if not source.path.exists():
        notice(f"{source.path}, the data of the predictions, is not there. Give --data PATH.", "recorded-data-missing")
        return None
    notice(f"using the data recorded in the predictions file: {source.path}", "recorded-data-used")
    return source


def _training_data(inputs: ReportInputs) -> Source | None:
    """The data that the run of the predictions was trained on, by its path in environment.json, if still there."""
    run, file = inputs.run, inputs.file
    if run is None or file is None or run.path.resolve() != file.parent.resolve():
        return None
    if not (run.path / "environment.json").is_file():
        return None
    path = run.read_environment().get("data")
    if not isinstance(path, str) or not path or not Path(path).exists():
        return None
    notice(f"using the data that the run was trained on: {path}", "recorded-data-used")
    return Source(Path(path))
