"""``mien distill``: a student learns from teachers. Everything else is as in ``mien train``."""

from __future__ import annotations

from typing import Annotated

import typer

from mien.cli.options import JsonOption, QuietOption
from mien.cli.train_run import TrainOptions, train_and_show

TEACHERS_HELP = (
    "A file of `mien soft-labels`, or a run that has its own soft labels. With distill.live=true: a run. "
    "Can be repeated; the teachers' predictions are averaged."
)


def distill(
    options: TrainOptions,
    teachers: Annotated[list[str], typer.Option(help=TEACHERS_HELP, metavar="FILE|RUN")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a student on the predictions of teachers, export it, and evaluate it on the validation split."""
    train_and_show(options, options.plain.changes(options.set_keys), teachers, json=json)
