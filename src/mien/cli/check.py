"""``mien check``: check the predictions behind a claimed accuracy. Works without torch."""

from pathlib import Path
from typing import Literal

import typer

from mien.api.check import check as check_claim
from mien.base.run_folder import check_out
from mien.cli.output import notice, show_json
from mien.cli.source import SourceOptions


def check(
    predictions: Path,
    *,
    data: Path,
    split: Literal["train", "validation", "test", "all"] | None = None,
    against: Path | None = None,
    claimed: float | None = None,
    out: Path | None = None,
    data_options: SourceOptions,
    json: bool = False,
) -> None:
    """Check the predictions behind a claimed accuracy.

    Are classes exchanged? Do copies of training images increase the accuracy? Are the predictions better than those in
    another file? Are they right more often than anybody can be? Were the labels of the split seen in training?

    Options:
        predictions (PREDICTIONS): A CSV with a column of ids or files and one of classes (or one probability a class),
            or an .npz.
        split: The split of the samples. Default: that in an .npz, and test for a CSV.
        against (PREDICTIONS): Other predictions for the same samples.
        claimed (X): The accuracy that was claimed, 0..1.
        out (OUT): Write report.html and tables/ to this folder.
    """
    source = data_options.at(data)
    if out is not None:
        check_out(out, data, for_page=True)
    result = check_claim(predictions, source, split, against=against, claimed=claimed)
    if out is not None:
        notice(f"report: {result.write_report(out, source.environment())}")
    if json:
        show_json(result.to_dict())
    else:
        typer.echo(str(result))
