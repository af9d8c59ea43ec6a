"""``mien distill``: a student learns from teachers. Everything else is as in ``mien train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import CleanOption, DataOption, JsonOption, MapOption, QuietOption, SkipBadOption
from mien.cli.source import Source
from mien.cli.train import LogOption, train_and_show


def distill(
    recipe: Annotated[str, typer.Argument(help="The student: a name from `mien recipes`, or a .toml file.")],
    data: DataOption,
    teachers: Annotated[
        list[str],
        typer.Option(
            "--teachers",
            help="A file of `mien teach`, or a run that was asked by it; with distill.live a run. Give it often: "
            "their answers are averaged.",
            metavar="FILE|RUN",
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="The run folder to make; runs/RECIPE by default.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a key: distill.temperature=4. May be given often.", metavar="KEY=VALUE"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the folder, if one was begun.")
    ] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", help="Begin with the weights, model and input of this run, 'default' or 'fast'."),
    ] = None,
    log: LogOption = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Train a student on what teachers say of the train split, export it, and measure it on validation."""
    train_and_show(
        recipe,
        Source(data, class_map, skip_bad, clean),
        out=out,
        changes=changes or (),
        resume=resume,
        start=start,
        log=log,
        json=json,
        teachers=teachers,
    )
