"""``mien prune``: a thinner network from a trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.finish import finish_and_show
from mien.cli.options import CleanOption, DataOption, JsonOption, MapOption, QuietOption, SkipBadOption, remark
from mien.cli.source import Source
from mien.errors import RecipeError, needs_extra


def prune(
    run: Annotated[str, typer.Argument(help="A run folder of mien's own network, 'default' or 'fast'.")],
    data: DataOption,
    widths: Annotated[
        str, typer.Option(help="Channels of each stage that stay, as 64,128,256,432.", metavar="N,N,...")
    ],
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    stem: Annotated[
        int | None, typer.Option(help="Channels of the first convolution that stay; all by default.", metavar="N")
    ] = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Keep the channels of a trained network that count most; export and measure what is left, to train on (--from)."""
    from mien.inference.locate import find_trained
    from mien.run_folder import RunFolder

    try:
        numbers = [int(each) for each in widths.split(",")]
    except ValueError:
        raise RecipeError(f"--widths must be whole numbers with commas between, as 64,128; found '{widths}'.") from None
    # Before torch, which takes seconds.
    folder, made = find_trained(run), RunFolder(out)
    made.check_free()
    size_px = folder.read_recipe().input.size_px
    source = Source(data, class_map, skip_bad, clean)
    source.check()
    with needs_extra("train", "Pruning"):
        from mien.training.prune import make_pruned, thinner_model

    thinner_model(folder, numbers, stem)  # refuses before the data is read
    faces = source.read(size_px).faces
    facts = source.environment({"pruned from": run})
    make_pruned(folder, numbers, faces, made, facts, stem)
    kept = f"stages of {widths} channels" + ("" if stem is None else f" and a stem of {stem}")
    finish_and_show(made, faces, facts, json=json, made=kept)
    if not json:
        remark(f"Train it on with: mien train RECIPE --from {out}, or mien distill pruned --from {out}, and this data.")
