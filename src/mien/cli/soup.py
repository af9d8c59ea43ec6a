"""``mien soup``: one network from the mean of several runs' weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.finish import finish_and_show
from mien.cli.options import (
    TRAINED_HELP,
    JsonOption,
    QuietOption,
)
from mien.cli.output import note
from mien.cli.source import Source
from mien.errors import needs_extra
from mien.inference.find_model import find_trained
from mien.run_folder import RunFolder


def soup(
    runs: Annotated[
        list[str],
        typer.Argument(
            help=f"{TRAINED_HELP} All must have the same architecture. With one run, only its batch-norm statistics "
            "change.",
            metavar="RUN",
        ),
    ],
    source: Source,
    out: Annotated[Path, typer.Option(help="The run folder to create.", metavar="DIR")],
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Average the weights of runs that were fine-tuned from one checkpoint, and evaluate the mean.

    The statistics of batch norms are recalibrated on images of the train split.
    """
    # Before torch, which takes seconds.
    folders, made = [find_trained(run) for run in runs], RunFolder(out)
    recipes = [folder.read_recipe() for folder in folders]
    source.check()
    made.check_free()
    with needs_extra("train", "Averaging weights"):
        from mien.training.soup import began_apart, digests_of, make_soup

    digests = digests_of(folders)  # refuses before the data is read
    faces = source.read(*recipes[0].input.stored_as).faces
    metadata = source.environment({"weights of": ", ".join(runs)})
    make_soup(folders, faces, made, metadata)
    if began_apart(folders, digests):
        note(
            "these runs are not known to share a first checkpoint. The mean of such weights is mostly noise.",
            "start-unknown",
        )
    made_of = f"the mean of {len(runs)} runs" if len(runs) > 1 else f"{runs[0]} with recalibrated batch norms"
    finish_and_show(made, faces, metadata, json=json, made=made_of)
