"""``mien prune``: a thinner network from a trained one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import (
    CleanOption,
    DataOption,
    JsonOption,
    MapOption,
    QuietOption,
    SkipBadOption,
    environment,
    read,
    remark,
    show,
    show_json,
)
from mien.errors import RecipeError, needs_extra


def prune(
    run: Annotated[Path, typer.Argument(help="A run folder of mien's own network.")],
    data: DataOption,
    widths: Annotated[
        str, typer.Option(help="Channels of each stage that stay, as 64,128,256,432.", metavar="N,N,...")
    ],
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Keep the channels of a trained network that count most; export and measure what is left, to train on (--from)."""
    with needs_extra("train", "Pruning"):
        from mien.experiments.run import finish_run
        from mien.training.prune import make_pruned
    from mien.report.table import evaluation_table
    from mien.run_folder import RunFolder

    try:
        numbers = [int(each) for each in widths.split(",")]
    except ValueError:
        raise RecipeError(f"--widths must be whole numbers with commas between, as 64,128; found '{widths}'.") from None
    folder, made = RunFolder(run), RunFolder(out)
    made.check_free()
    size_px = folder.read_recipe().input.size_px
    faces = read(data, size_px=size_px, class_map=class_map, skip_bad=skip_bad, clean=clean).faces
    facts = environment(data, {"pruned from": str(run)})
    make_pruned(folder, numbers, faces, made, facts)
    finish = finish_run(made, faces, facts)
    if json:
        show_json({"run": str(out), **finish.evaluation.to_dict()})
        return
    show(evaluation_table(finish.evaluation))
    remark(f"Train it on with: mien train RECIPE --data {data} --from {out}")
