"""``mien report``: a full report on a model's predictions. Needs torch only for gradients."""

from pathlib import Path

import typer

from mien.api import report as api
from mien.base.errors import DataError
from mien.cli.output import notice, show_json
from mien.cli.source import SourceOptions, environment_of


def report(
    folder: Path | None = None,
    *,
    predictions: Path | None = None,
    data: Path | None = None,
    model: str | None = None,
    split: str | None = None,
    metric: list[str] | None = None,
    out: Path | None = None,
    no_explain: bool = False,
    data_options: SourceOptions,
    json: bool = False,
) -> None:
    """Write a full report on a model's predictions and errors, as one page for a browser or a printer.

    Some sections need --data, --model (unless DIR is a run folder), or robustness.json by mien robustness in DIR or
    OUT. Every chart is also written as SVG, PNG and PDF, every table as CSV, JSON and LaTeX. Only the page shows faces.

    Options:
        folder (DIR): A run folder, or the folder of mien evaluate --out DIR.
        predictions (FILE): A predictions file of any model, instead of DIR.
        split (SPLIT): Which predictions of DIR to use: train, validation (the default), test or all.
        metric (METRIC): Another metric: kappa, mcc, top2_accuracy, recall.CLASS, ..., or file.py:function, your own
            function of labels and probabilities. Can be repeated.
        out (OUT): Folder for report.html, figures/ and tables/. The default is DIR/report-SPLIT.
        no_explain: Skip the saliency maps, which take half a minute.
    """
    place = folder or predictions
    if place is None or (folder is not None and predictions is not None):
        raise DataError("Give either a folder or --predictions FILE.", code="options")
    if predictions is not None and split is not None:
        raise DataError("--split chooses predictions in DIR; a --predictions FILE has one split.", code="options")
    source = data_options.at_any(data)
    written = api.report(
        place, source, out=out, model=model, split=split, explain=not no_explain, metrics=metric or (),
        metadata=environment_of(None) if source is None else None,  # data has its own
    )  # fmt: skip
    if json:
        show_json(written.to_dict())
        return
    typer.echo(str(written))
    notice(f"{written.page_bytes / 1e6:.1f} MB, with {len(written.files)} files in figures/ and tables/ beside it.")
    if source is not None:
        notice("The page shows faces of the data: check its licence before you share it.")
