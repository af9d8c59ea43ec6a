"""``mien soup``: one network from the mean of several runs' weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.finish import finish_and_show
from mien.cli.options import CleanOption, DataOption, JsonOption, MapOption, QuietOption, SkipBadOption, remark
from mien.cli.source import Source
from mien.errors import needs_extra


def soup(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="Run folders of one network, or names of models. Of one alone, only batch norms' statistics change.",
            metavar="RUN...",
        ),
    ],
    data: DataOption,
    out: Annotated[Path, typer.Option(help="The run folder to make.")],
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Average the weights of runs that began with the same trained weights (--from); export and measure the mean.

    Statistics of batch norms are taken anew, from train faces as they are served.
    """
    from mien.inference.locate import find_trained
    from mien.run_folder import RunFolder

    # Before torch, which takes seconds.
    folders, made = [find_trained(run) for run in runs], RunFolder(out)
    made.check_free()
    recipes = [folder.read_recipe() for folder in folders]
    source = Source(data, class_map, skip_bad, clean)
    source.check()
    with needs_extra("train", "Averaging weights"):
        from mien.training.soup import began_apart, digests_of, make_soup

    digests = digests_of(folders)  # refuses before the data is read
    size_px = recipes[0].input.size_px
    faces = source.read(size_px).faces
    facts = source.environment({"weights of": ", ".join(runs)})
    make_soup(folders, faces, made, facts)
    if began_apart(folders, digests):
        remark("NOTE: these runs did not begin with the same weights, as far as is known; their mean is mostly noise.")
    made_of = f"the mean of {len(runs)} runs" if len(runs) > 1 else f"{runs[0]} with renewed statistics"
    finish_and_show(made, faces, facts, json=json, made=made_of)
