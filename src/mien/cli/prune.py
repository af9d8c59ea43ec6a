"""``mien prune``: a smaller network from a trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.finish import finish_and_show
from mien.cli.options import (
    JsonOption,
    QuietOption,
)
from mien.cli.output import notice
from mien.cli.source import Source
from mien.errors import RecipeError, needs_extra
from mien.inference.find_model import find_trained
from mien.run_folder import RunFolder


def prune(
    run: Annotated[
        str,
        typer.Argument(help="A run folder of the network 'mien', or a built-in model.", metavar="RUN"),
    ],
    source: Source,
    widths: Annotated[str, typer.Option(help="Channels to keep in each stage: 64,128,256,432.", metavar="N,N,...")],
    out: Annotated[Path, typer.Option(help="The run folder to create.", metavar="DIR")],
    stem: Annotated[
        int | None,
        typer.Option(help="Channels to keep in the first convolution. The default is all.", metavar="N"),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Remove the least important channels of a trained network. Fine-tune the result with `mien train --from`."""
    counts = _widths(widths)
    # Before torch, which takes seconds.
    folder, made = find_trained(run), RunFolder(out)
    spec = folder.read_recipe().input
    source.check()
    made.check_free()
    with needs_extra("train", "Pruning"):
        from mien.training.prune import make_pruned, pruned_model

    pruned_model(folder, counts, stem)  # refuses before the data is read
    faces = source.read(*spec.stored_as).faces
    metadata = source.environment({"pruned from": run})
    make_pruned(folder, counts, faces, made, metadata, stem)
    kept = f"stages of {widths} channels" + ("" if stem is None else f" and a stem of {stem}")
    finish_and_show(made, faces, metadata, json=json, made=kept)
    if not json:
        notice(f"Fine-tune it with: mien train RECIPE --from {out}, or mien distill pruned --from {out}.")


def _widths(text: str) -> list[int]:
    """``"64,128"`` as numbers. Raises :class:`RecipeError`."""
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise RecipeError(
            f"--widths must be whole numbers separated by commas, such as 64,128; found '{text}'.", code="widths"
        ) from None
