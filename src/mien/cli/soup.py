"""``mien soup``: one network from the mean of several runs' weights."""

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
from mien.errors import RunError, needs_extra


def soup(
    runs: Annotated[list[Path], typer.Argument(help="Two or more run folders of one network.", metavar="RUN...")],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Average the weights of runs that began with the same trained weights (--from); export and measure the mean."""
    with needs_extra("train", "Averaging weights"):
        from mien.experiments.run import finish_run
        from mien.training.soup import make_soup
    from mien.report.table import evaluation_table
    from mien.run_folder import RunFolder

    if len(runs) < 2:
        raise RunError("A soup is of two runs or more: mien soup RUN RUN --data PATH --out RUN.")
    folders, made = [RunFolder(run) for run in runs], RunFolder(out)
    made.check_free()
    size_px = folders[0].read_recipe().input.size_px
    faces = read(data, size_px=size_px, class_map=class_map, skip_bad=skip_bad, clean=clean).faces
    facts = environment(data, {"mean of the weights of": ", ".join(map(str, runs))})
    make_soup(folders, faces, made, facts)
    finish = finish_run(made, faces, facts)
    if json:
        show_json({"run": str(out), **finish.evaluation.to_dict()})
        return
    show(evaluation_table(finish.evaluation))
    gap = finish.parity.largest_difference
    remark(f"{out}: the mean of {len(runs)} runs; model.onnx agrees with torch to {gap:.1g}.")
