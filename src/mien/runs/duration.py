"""How many runs of a study go at once, with how many threads, and about how long they will take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from mien.errors import MienError
from mien.models.registry import complete
from mien.processes import available_cores
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.runs.plan import folder_of
from mien.runs.store import CompletedRun, PlannedRun, trained_on
from mien.training.device import device_name, set_threads, threads
from mien.training.throughput import training_throughput


def seconds_left(
    runs: Sequence[PlannedRun], finished: Mapping[str, CompletedRun], out: Path, jobs: int = 1
) -> list[float]:
    """About how long each run will take, from finished runs of the same network or else from a few timed steps.

    Args:
        runs: what is to be run.
        finished: runs that may serve as a measure, where they were trained as these will be: on a GPU, or with as
            many threads.
        out: where the study's run folders are.
        jobs: how many at once, of :func:`side_by_side`.
    """
    each_has = threads_of(jobs)
    on = trained_on(device_name(), each_has)
    rates: dict[str, float] = {}
    for each in finished.values():
        record = each.record
        if record.trained_on == on and record.seconds > 0:
            try:
                cost = _cost(RunFolder(each.folder).read_recipe())
            except (MienError, OSError):
                continue  # of another study, or of an older mien: no measure for this one
            rates[cost] = record.train_faces * record.epochs / record.seconds
    before = threads()
    set_threads(each_has)
    left = []
    for run in runs:
        cost = _cost(run.recipe)
        if cost not in rates:
            rates[cost] = training_throughput(run.recipe, len(run.classes), seconds=1.0)
        done = len(folder_of(run, out).read_history())
        left.append(max(run.recipe.epochs - done, 0) * run.train_faces / rates[cost])
    set_threads(before)
    return left


def _cost(recipe: Recipe) -> str:
    """What the time of one image depends on."""
    ways = recipe.consistency_loss > 0
    return repr(
        (complete(recipe.model), recipe.input, recipe.batch_size, recipe.precision, recipe.progressive_resizing, ways)
    )


def side_by_side(jobs: int, runs: int) -> int:
    """How many of so many runs go at once where ``jobs`` were asked for: no more than there are runs and cores."""
    return max(min(jobs, runs, available_cores()), 1)


def threads_of(jobs: int) -> int:
    """Threads of each of so many runs at once: one alone has what torch takes, several share the cores."""
    return max(available_cores() // jobs, 1) if jobs > 1 else threads()
