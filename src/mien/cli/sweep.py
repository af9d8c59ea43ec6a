"""``mien sweep``: search for better hyperparameters, alone or with other workers on the same folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import Device, DeviceOption, JsonOption, PlainSettings, QuietOption
from mien.cli.output import check_out, notice, show, show_json
from mien.cli.source import Source
from mien.cli.train_view import TrainProgress
from mien.errors import RunError, needs_extra
from mien.page.rendering import import_page_packages
from mien.page.terminal import rich_table
from mien.page.wording import percent
from mien.runs.space import load_space
from mien.runs.sweep_section import keys_table

if TYPE_CHECKING:
    from mien.runs.sweep_results import SweepResult


def sweep(
    space: Annotated[
        str, typer.Argument(help="The search space: 'quick', or a .toml file (docs/sweep.md).", metavar="SPACE")
    ],
    source: Source,
    plain: PlainSettings,
    device: DeviceOption = Device.AUTO,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the sweep. The default is sweeps/SPACE.", metavar="DIR")
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(help="Trials of all workers together. The default is that of the space.", min=1, metavar="N"),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            help="Keep the trials in this database server: postgresql://HOST/NAME. The default is trials.db in --out.",
            metavar="URL",
        ),
    ] = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Search for better hyperparameters: many short runs, compared on the validation split.

    Run the same command again, here or on another machine with the same disk, to add a worker to the sweep. After
    Ctrl-C the same command resumes it.
    """
    # Before torch, which takes seconds.
    chosen = load_space(space, plain.changes())
    folder = out or Path("sweeps") / chosen.name
    source.check()
    check_out(folder, source.path)
    _check_storage(storage)
    with needs_extra("search", "A sweep"):
        # The packages of the page are checked now, not after hours.
        import_page_packages()
        import sklearn  # noqa: F401

        from mien.runs.sweep import check_networks
        from mien.runs.sweep import sweep as run_sweep
        from mien.training.device import check_device
        from mien.training.tuning import recipe_warnings

    check_device(device)
    check_networks(chosen)
    for warning in recipe_warnings(chosen.base):
        notice(warning.line)
    faces = source.read(*chosen.base.input.stored_as).faces
    result = run_sweep(
        chosen,
        faces,
        folder,
        trials=trials,
        database=storage,
        device=device,
        callback_for=TrainProgress,
        on_trial_end=notice,
        metadata=source.environment(),
    )
    if json:
        show_json(_content(result, folder))
    else:
        _show(result, folder)
    if result.interrupted:
        notice(f"Stopped with {len(result.trials)} of {result.total} trials finished. Run the same command to resume.")
        raise typer.Exit(130)


def _content(result: SweepResult, folder: Path) -> dict[str, object]:
    best = result.best
    return {
        "folder": str(folder),
        "finished": len(result.trials),
        "total": result.total,
        "best": None
        if best is None
        else {
            "trial": best.number,
            "validation_accuracy": best.accuracy,
            "values": dict(best.values),
            "recipe": str(folder / "best.toml"),
        },
        "importance": dict(result.importance),
    }


def _show(result: SweepResult, folder: Path) -> None:
    best = result.best
    if best is None:
        notice(f"{folder}: no trial is finished, so there is no best recipe.")
    else:
        typer.echo(f"best: trial {best.number} of {len(result.trials)}, {percent(best.accuracy)} on validation")
        show(rich_table(keys_table(best, result.base, result.importance)))
        notice(f"Train it with: mien train {folder / 'best.toml'} --data PATH")
    if result.page is not None:
        notice(f"report: {result.page}")


def _check_storage(storage: str | None) -> None:
    if storage is not None and "://" not in storage:
        raise RunError(
            f"--storage must be the URL of a database server, such as postgresql://HOST/NAME; found {storage}.",
            code="sweep-database",
        )
