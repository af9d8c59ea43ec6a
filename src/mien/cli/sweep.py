"""``mien sweep``: search the best values of a recipe's keys, alone or with others on the same folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    CleanOption,
    DataOption,
    JsonOption,
    MapOption,
    QuietOption,
    SkipBadOption,
    check_out,
    remark,
    show,
    show_json,
)
from mien.cli.source import Source
from mien.errors import needs_extra

if TYPE_CHECKING:
    from mien.experiments.sweep_results import SweepResult


def sweep(
    space: Annotated[str, typer.Argument(help="'quick', or a .toml file: docs/sweep.md says what is in it.")],
    data: DataOption,
    out: Annotated[
        Path | None, typer.Option(help="The sweep's folder; sweeps/SPACE by default.", metavar="DIR")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Recipes to try, by all workers together; the space's own number by default.", min=1),
    ] = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search good values for a recipe's keys: many short runs, judged on the validation split.

    The same command again, here or on another machine with the same disk, helps with the same sweep; after a kill or
    Ctrl-C it goes on.
    """
    from mien.experiments.space import load_space

    # Before torch, which takes seconds.
    chosen = load_space(space)
    folder = out or Path("sweeps") / chosen.name
    check_out(folder, data)
    source = Source(data, class_map, skip_bad, clean)
    source.check()
    with needs_extra("search", "A sweep"):
        # What the page needs is looked for now, not after hours.
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401
        import sklearn  # noqa: F401

        from mien.experiments.sweep import check_networks
        from mien.experiments.sweep import sweep as work
        from mien.training.tuning import doubts
    from mien.cli.train_view import TrainView

    check_networks(chosen)
    for doubt in doubts(chosen.base):
        remark(f"NOTE: {doubt}")
    faces = source.read(chosen.base.input.size_px).faces
    found = work(chosen, faces, folder, trials=trials, view=TrainView, tell=remark, facts=source.environment())
    if json:
        show_json(_as_json(found, folder))
    else:
        _show(found, folder)
    if found.interrupted:
        remark(f"stopped with {len(found.trials)} of {found.total} trials finished; the same command goes on.")
        raise typer.Exit(130)


def _as_json(found: SweepResult, folder: Path) -> dict[str, object]:
    best = found.best
    return {
        "folder": str(folder),
        "finished": len(found.trials),
        "total": found.total,
        "best": None
        if best is None
        else {
            "trial": best.number,
            "validation_accuracy": best.accuracy,
            "values": dict(best.values),
            "recipe": str(folder / "best.toml"),
        },
        "importance": dict(found.importance),
    }


def _show(found: SweepResult, folder: Path) -> None:
    from mien.report.printed import printed
    from mien.report.sections.sweep import keys_table
    from mien.report.wording import percent

    if found.best is None:
        remark(f"{folder}: no trial ran to its end, so there is no best recipe.")
    else:
        typer.echo(
            f"best: trial {found.best.number} of {len(found.trials)}, {percent(found.best.accuracy)} on validation"
        )
        show(printed(keys_table(found.best, found.base, found.importance)))
        remark(f"train it with: mien train {folder / 'best.toml'} --data PATH")
    if found.page is not None:
        remark(f"report: {found.page}")
