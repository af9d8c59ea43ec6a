"""``mien report``: a full report on a model's predictions. Needs torch only for gradients."""

from pathlib import Path
from typing import Annotated

import typer

from mien.api import report as api
from mien.base.errors import DataError
from mien.cli.options import MODEL_HELP, JsonOption, OptionalDataOption, SplitOfPredictionsOption, option
from mien.cli.output import notice, show_json
from mien.cli.source import SourceOptions, environment_of


def report(
    folder: Annotated[
        Path | None, typer.Argument(help="A run folder, or the folder of mien evaluate --out DIR.", metavar="DIR")
    ] = None,
    predictions: Annotated[Path | None, option("A predictions file of any model, instead of DIR.", "FILE")] = None,
    data: OptionalDataOption = None,
    model: Annotated[str | None, option(MODEL_HELP, "MODEL")] = None,
    split: SplitOfPredictionsOption = None,
    out: Annotated[
        Path | None, option("Folder for report.html, figures/ and tables/. The default is DIR/report-SPLIT.", "OUT")
    ] = None,
    no_explain: Annotated[
        bool, typer.Option("--no-explain", help="Skip the saliency maps, which take half a minute.")
    ] = False,
    *,
    data_options: SourceOptions,
    json: JsonOption = False,
) -> None:
    """Write a full report on a model's predictions and errors, as one page for a browser or a printer.

    Some sections need --data, --model (unless DIR is a run folder), or robustness.json by mien robustness in DIR or
    OUT. Every chart is also written as SVG, PNG and PDF, every table as CSV, JSON and LaTeX. Only the page shows faces.
    """
    place = folder or predictions
    if place is None or (folder is not None and predictions is not None):
        raise DataError("Give either a folder or --predictions FILE.", code="options")
    if predictions is not None and split is not None:
        raise DataError("--split chooses predictions in DIR; a --predictions FILE has one split.", code="options")
    source = data_options.at_any(data)
    written = api.report(
        place, source, out=out, model=model, split=split, explain=not no_explain,
        metadata=environment_of(None) if source is None else None,  # data has its own
    )  # fmt: skip
    if json:
        show_json(written.to_dict())
        return
    typer.echo(str(written))
    notice(f"{written.page_bytes / 1e6:.1f} MB, with {len(written.files)} files in figures/ and tables/ beside it.")
    if source is not None:
        notice("The page shows faces of the data: check its licence before you share it.")
