"""Run what a study still lacks: in this process, or side by side in several. Killed at any moment, it goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Protocol

from mien.data.balance import balance
from mien.data.faceset import FaceSet
from mien.errors import StoppedError, StudyError, TrainingError
from mien.evaluation.scores import read_scores
from mien.experiments.run import run_recipe
from mien.experiments.study import Study
from mien.experiments.study_results import Finished, Planned, Record, keep_result
from mien.inference.classifier import Classifier
from mien.labels import parse_scheme
from mien.models.registry import complete
from mien.recipe import Recipe
from mien.run_folder import RunFolder, best_epoch
from mien.training.device import set_threads, threads
from mien.training.interrupt import interruptible
from mien.training.rate import bare_rate

FacesOfSize = Mapping[int, FaceSet]
"""Side in pixels -> the data, read at that size."""


class StudyWatch(Protocol):
    """Whoever wants to see the study go by."""

    def epochs(self, run: Planned, done: int) -> None:
        """So many epochs of a run are done; 0 when it begins."""

    def ended(self, run: Planned, finished: Finished) -> None:
        """A run has ended and is kept."""


def plan(study: Study, faces_of_size: FacesOfSize, changes: Sequence[str] = ()) -> list[Planned]:
    """Every run of a study, parents before children.

    Args:
        study: checked.
        faces_of_size: the data, at every size that the recipes name.
        changes: ``key=value`` for all recipes, as in :func:`mien.recipe.load_recipe`.

    Raises:
        RecipeError: a change that the recipes do not allow.
        DataError: data that a recipe cannot be trained on.
        StudyError: a variant begins with a seed that its parent is not run with.
    """
    runs: dict[tuple[str, int], Planned] = {}
    most = max(len(study.seeds_of(variant)) for variant in study.variants)
    # The first seed of every variant, then the second ones: a study that is cut short has a whole table.
    for rank in range(most):
        for variant in study.variants:
            if variant.after or rank >= len(study.seeds_of(variant)):
                continue
            seed = study.seeds_of(variant)[rank]
            recipe = study.recipe_of(variant, seed, changes)
            parent = runs.get((variant.start, seed))
            if variant.start and parent is None:
                raise StudyError(
                    f"The variant '{variant.name}' begins with '{variant.start}' of seed {seed}, which is not run with "
                    f"that seed. Give both the same seeds."
                )
            faces = faces_of_size[recipe.input.size_px]
            # What cannot be trained on is missed now, not hours later.
            train_faces_of(recipe, faces)
            faces.with_scheme(parse_scheme(recipe.classes)).of_split("validation")
            runs[variant.name, seed] = Planned(variant.name, recipe, faces.fingerprint, parent)
    return list(runs.values())


def train_faces_of(recipe: Recipe, faces: FaceSet) -> FaceSet:
    """The faces that an epoch of a recipe shows. Raises :class:`DataError`."""
    return balance(faces.with_scheme(parse_scheme(recipe.classes)).of_split("train"), recipe.balance, recipe.seed)


def lacking(
    runs: Sequence[Planned], finished: Mapping[str, Finished], out: Path, only: Collection[str] = ()
) -> list[Planned]:
    """The runs that are not finished, and their parents where no weights of theirs are in ``out``; in their order.

    Args:
        runs: all of a study.
        finished: by key.
        out: where the study's run folders are.
        only: variants that are wanted; empty means all.
    """
    wanted: set[str] = set()
    for run in runs:
        if run.key in finished or (only and run.variant not in only):
            continue
        step: Planned | None = run
        while step is not None and (step is run or not folder_of(step, out).best.is_file()):
            wanted.add(step.key)
            step = step.parent
    return [run for run in runs if run.key in wanted]


def folder_of(run: Planned, out: Path) -> RunFolder:
    """Where a run of a study stands."""
    return RunFolder(out / "runs" / run.folder_name)


@dataclass(frozen=True)
class Yard:
    """What every run of a study needs to know.

    Attributes:
        faces_of_size: the data.
        out: run folders go to ``out/runs``.
        results: where finished runs are kept; see :mod:`mien.experiments.study_results`.
        facts: for environment.json.
    """

    faces_of_size: FacesOfSize
    out: Path
    results: Path
    facts: Mapping[str, Any]


def run_all(runs: Sequence[Planned], yard: Yard, watch: StudyWatch, jobs: int = 1) -> bool:
    """Run all of ``runs``, parents before children.

    A run that was begun before goes on. Ctrl-C ends those under way in order. A run whose loss is not a number is kept
    as failed, and the study goes on.

    Args:
        runs: of :func:`lacking`.
        yard: data and places.
        watch: is told of epochs and ends.
        jobs: how many at once; the cores are shared out among them.

    Returns:
        Whether all ended; False after Ctrl-C.

    Raises:
        MienError: as :func:`mien.experiments.run.run_recipe`, but for :class:`TrainingError`.
        StudyError: a process was killed.
    """
    if jobs > 1:
        return _side_by_side(runs, yard, watch, jobs)
    for run in runs:
        watch.epochs(run, 0)
        finished = execute(run, yard, partial(watch.epochs, run))
        if finished is None:
            return False
        watch.ended(run, finished)
    return True


def execute(run: Planned, yard: Yard, tell: Callable[[int], None], stop: Event | None = None) -> Finished | None:
    """Train and keep one run.

    Args:
        run: its parent's folder must hold weights.
        yard: data and places.
        tell: is told how many epochs are done.
        stop: where another process says that it wants to end.

    Returns:
        What is kept, or None where it was stopped.

    Raises:
        MienError: as :func:`mien.experiments.run.run_recipe`; a loss that is not a number is kept as a failed run.
    """
    folder = folder_of(run, yard.out)
    faces = yard.faces_of_size[run.recipe.input.size_px]
    start = None if run.parent is None else folder_of(run.parent, yard.out)
    failed = ""
    try:
        result = run_recipe(
            run.recipe, faces, folder, resume=True, start=start, watch=_Watch(tell, stop), facts=yard.facts
        )
        if result.outcome.reason == "interrupted":
            return None
    except StoppedError:
        return None
    except TrainingError as error:
        failed = str(error)
    environment, history = folder.read_environment(), folder.read_history()
    record = Record(
        key=run.key,
        variant=run.variant,
        seed=run.recipe.seed,
        recipe_digest=run.recipe.digest,
        data_fingerprint=run.data_fingerprint,
        started_from="" if run.parent is None else run.parent.key,
        train_faces=len(train_faces_of(run.recipe, faces)),
        epochs=len(history),
        best_epoch=best_epoch(history, run.recipe) if history else 0,
        seconds=history[-1]["seconds"] if history else 0.0,
        threads=threads(),
        parameters=0 if failed else Classifier(folder.model).manifest.parameters,
        failed=failed,
        machine={name: str(environment[name]) for name in ("machine", "device", "torch") if name in environment},
    )
    scores = None if failed else read_scores(folder.scores("validation"))
    finished = keep_result(yard.results, run.folder_name, record, folder, scores)
    # It serves --resume alone, and is the largest file by far.
    folder.last.unlink(missing_ok=True)
    return finished


def seconds_left(runs: Sequence[Planned], finished: Mapping[str, Finished], yard: Yard, jobs: int = 1) -> list[float]:
    """About how long each run will take, from finished runs of the same network or else from a few timed steps.

    Args:
        runs: what is to be run.
        finished: runs that may serve as a measure, where they had as many threads as these will.
        yard: data and places.
        jobs: how many at once.

    Raises:
        MienError: a recipe names a network that cannot be built.
    """
    each_has = threads_of(jobs)
    rates: dict[str, float] = {}
    for each in finished.values():
        record = each.record
        if record.threads == each_has and record.seconds > 0:
            shown = record.train_faces * record.epochs
            rates[_cost(RunFolder(each.folder).read_recipe())] = shown / record.seconds
    before = threads()
    set_threads(each_has)
    left = []
    for run in runs:
        faces = train_faces_of(run.recipe, yard.faces_of_size[run.recipe.input.size_px])
        recipe = run.recipe
        cost = _cost(recipe)
        if cost not in rates:
            rates[cost] = bare_rate(recipe, len(faces.classes), seconds=1.0)
        done = len(folder_of(run, yard.out).read_history())
        left.append(max(recipe.epochs - done, 0) * len(faces) / rates[cost])
    set_threads(before)
    return left


def _cost(recipe: Recipe) -> str:
    """What the time of one image depends on."""
    return repr((complete(recipe.model), recipe.input, recipe.batch_size, recipe.precision, recipe.early_sizes))


def threads_of(jobs: int) -> int:
    """Threads of each of so many runs at once: one alone has what torch takes, several share the cores."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(cores // jobs, 1) if jobs > 1 else threads()


class _Watch:
    """A :class:`mien.training.loop.Watch` that tells of epochs, and stops when another process says so."""

    def __init__(self, tell: Callable[[int], None], stop: Event | None) -> None:
        self._tell = tell
        self._stop = stop

    def step(self, epoch: int, images: int, loss: float) -> None:
        if self._stop is not None and self._stop.is_set():
            self._stop = None
            # The loop ends in order on the first Ctrl-C; here it comes from the study's own process.
            signal.raise_signal(signal.SIGINT)

    def epoch(self, line: dict[str, float], is_best: bool) -> None:
        self._tell(int(line["epoch"]))


def _side_by_side(runs: Sequence[Planned], yard: Yard, watch: StudyWatch, jobs: int) -> bool:
    context = get_context("spawn")
    stop = context.Event()
    waiting, going = list(runs), dict[Future[Finished | None], Planned]()
    all_ended = True
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin_worker, initargs=(yard, threads_of(jobs), stop))
    with interruptible() as interrupted, pool:
        try:
            while waiting or going:
                if interrupted.is_set():
                    stop.set()
                    waiting, all_ended = [], False
                pending = {run.key for run in (*waiting, *going.values())}
                ready = [run for run in waiting if run.parent is None or run.parent.key not in pending]
                for run in ready[: jobs - len(going)]:
                    waiting.remove(run)
                    going[pool.submit(_in_worker, run)] = run
                    watch.epochs(run, 0)
                for future in wait(going, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    run, finished = going.pop(future), future.result()
                    if finished is None:
                        all_ended = False
                    else:
                        watch.ended(run, finished)
                for run in going.values():
                    # The history on disk says how far a worker is.
                    watch.epochs(run, len(folder_of(run, yard.out).read_history()))
        except BrokenProcessPool:
            raise StudyError(
                "A process of the study was killed, by hand or for want of memory. Finished runs are kept; give the "
                "command again, perhaps with fewer --jobs."
            ) from None
        finally:
            # After an error, the other runs under way end in order too.
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
    return all_ended


_worker: tuple[Yard, Event] | None = None


def _begin_worker(yard: Yard, each_has: int, stop: Event) -> None:
    global _worker
    # Ctrl-C on a terminal reaches every process; this one ends when the study's own says so.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(each_has)
    _worker = yard, stop


def _in_worker(run: Planned) -> Finished | None:
    assert _worker is not None
    yard, stop = _worker
    return execute(run, yard, lambda done: None, stop)
