"""``mien sweep``: search for better hyperparameters."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mien.api.sweep import sweep as search
from mien.base.spec_file import toml_value
from mien.cli.options import Device, PlainSettings, Positive
from mien.cli.output import notice, show_facts, show_json
from mien.cli.source import SourceOptions
from mien.page.wording import counted, percent
from mien.pipeline.training_view import TrainProgress
from mien.runs.space import load_space

if TYPE_CHECKING:
    from mien.runs.sweep import SweepResult


def sweep(
    space: str,
    *,
    data: Path,
    data_options: SourceOptions,
    plain: PlainSettings,
    device: Device = "auto",
    out: Path | None = None,
    trials: Positive | None = None,
    storage: str | None = None,
    json: bool = False,
) -> None:
    """Search for better hyperparameters: many short runs, compared on the validation split.

    After Ctrl-C the same command resumes the sweep.

    Options:
        space (SPACE): The search space: 'quick', or a .toml file (docs/sweep.md).
        out (DIR): Folder of the sweep. The default is sweeps/SPACE.
        trials (N): Number of trials. The default is that of the space.
        storage (URL): Share the trials through this database: postgresql://HOST/DB. Run the same on each machine.
    """
    # Check this before loading torch, which takes seconds.
    chosen = load_space(space, plain.changes())
    source = data_options.at(data)
    source.check()
    result = search(
        chosen, source, out=out, trials=trials, device=device, storage=storage, notify=notice, callback=TrainProgress()
    )
    show_json(result.to_dict()) if json else _show(result)
    if result.was_stopped:
        notice(f"Stopped with {len(result.trials)} of {result.total} trials finished. Run the same command to resume.")
        raise typer.Exit(130)


def _show(result: SweepResult) -> None:
    best = result.best
    if best is None:
        ended = counted(len(result.trials), "trial")
        which = f"none of {ended} reached its last epoch" if result.trials else "no trial is finished"
        notice(f"{result.folder}: {which}, so there is no best recipe.")
    else:
        typer.echo(f"best: trial {best.number} of {len(result.trials)}, {percent(best.accuracy)} on validation")
        show_facts({key: f"{at:.4g}" if isinstance(at, float) else toml_value(at) for key, at in best.values.items()})
        notice(
            f"All trials: {result.folder / 'trials.csv'}. The best was chosen on these faces; confirm it with other "
            f"seeds: mien train {result.best_recipe} --data PATH --set seed=1"
        )
