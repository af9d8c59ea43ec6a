"""Run what a study lacks: in this process, or side by side in several. Killed at any moment, it goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import Any, Protocol

from mien.artifact import read_manifest
from mien.data.cache import read_entry, write_entry
from mien.errors import StoppedError, StudyError, TrainingError
from mien.evaluation.scores import read_scores
from mien.experiments.run import run_recipe
from mien.experiments.study_plan import FacesOfSize, cores, folder_of, threads_of
from mien.experiments.study_results import Finished, Planned, Record, keep_result
from mien.progress import set_quiet
from mien.run_folder import best_epoch
from mien.training.device import set_threads, threads
from mien.training.interrupt import interruptible


class StudyWatch(Protocol):
    """Whoever wants to see the study go by."""

    def epochs(self, run: Planned, done: int) -> None:
        """So many epochs of a run are done; 0 when it begins."""

    def ended(self, run: Planned, finished: Finished) -> None:
        """A run has ended and is kept."""


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


def run_all(
    runs: Sequence[Planned], finished: Mapping[str, Finished], yard: Yard, watch: StudyWatch, jobs: int = 1
) -> bool:
    """Run all of ``runs``, parents before children.

    A run that was begun before goes on. Ctrl-C ends those under way in order. A run whose loss is not a number is kept
    as failed, and so are the runs that would begin with it; the study goes on. What is kept already stays as it is,
    where a run is repeated for its weights.

    Args:
        runs: of :func:`mien.experiments.study_plan.lacking`.
        finished: what is kept already, by key.
        yard: data and places.
        watch: is told of epochs and ends.
        jobs: how many at once, no more than there are runs and cores; the cores are shared out among them.

    Returns:
        Whether all ended; False after Ctrl-C.

    Raises:
        MienError: as :func:`mien.experiments.run.run_recipe`, but for :class:`TrainingError`.
        StudyError: a process was killed.
    """
    known = dict(finished)
    jobs = min(jobs, len(runs), cores())
    if jobs > 1:
        return _side_by_side(runs, known, yard, watch, jobs)
    with interruptible() as interrupted:
        for run in runs:
            watch.epochs(run, 0)
            ended = _without_parent(run, known, yard) or execute(
                run, known.get(run.key), yard, partial(watch.epochs, run), _never
            )
            if ended is None:
                return False
            known[run.key] = ended
            watch.ended(run, ended)
            if interrupted.is_set():
                return False
    return True


def _never() -> bool:
    """Ctrl-C reaches the training itself, which shares this block's event."""
    return False


def execute(
    run: Planned,
    kept: Finished | None,
    yard: Yard,
    tell: Callable[[int], None],
    must_stop: Callable[[], bool],
) -> Finished | None:
    """Train and keep one run.

    Args:
        run: its parent's folder must hold weights.
        kept: what is kept of it already, which stays.
        yard: data and places.
        tell: is told how many epochs are done.
        must_stop: whether to end at the next step.

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
            run.recipe, faces, folder, resume=True, start=start, watch=_Watch(tell, must_stop), facts=yard.facts
        )
        if result.outcome.reason == "interrupted":
            return None
    except StoppedError:
        return None
    except TrainingError as error:
        failed = str(error)
    if kept is None:
        history = folder.read_history()
        record = _record(
            run,
            failed,
            epochs=len(history),
            best_epoch=best_epoch(history, run.recipe) if history else 0,
            seconds=history[-1]["seconds"] if history else 0.0,
            parameters=0 if failed else read_manifest(folder.model).parameters,
            environment=folder.read_environment(),
        )
        scores = None if failed else read_scores(folder.scores("validation"))
        kept = keep_result(yard.results, run.folder_name, record, folder, scores)
    # It serves --resume alone, and is the largest file by far; without it the folder counts as finished.
    folder.last.unlink(missing_ok=True)
    return kept


def _without_parent(run: Planned, known: Mapping[str, Finished], yard: Yard) -> Finished | None:
    """A run whose parent could not be trained is kept as failed; None where it can begin."""
    parent = None if run.parent is None else known.get(run.parent.key)
    if run.parent is None or parent is None or not parent.record.failed:
        return None
    failed = f"It begins with {run.parent.variant}, seed {run.parent.recipe.seed}, which could not be trained."
    return keep_result(yard.results, run.folder_name, _record(run, failed), folder_of(run, yard.out), None)


def _record(
    run: Planned,
    failed: str,
    *,
    epochs: int = 0,
    best_epoch: int = 0,
    seconds: float = 0.0,
    parameters: int = 0,
    environment: Mapping[str, Any] | None = None,
) -> Record:
    facts = environment or {}
    return Record(
        key=run.key,
        variant=run.variant,
        seed=run.recipe.seed,
        recipe_digest=run.recipe.digest,
        data_fingerprint=run.data_fingerprint,
        started_from=run.start_digest if run.parent is None else run.parent.key,
        train_faces=run.train_faces,
        epochs=epochs,
        best_epoch=best_epoch,
        seconds=seconds,
        threads=threads(),
        parameters=parameters,
        failed=failed,
        machine={name: str(facts[name]) for name in ("machine", "device", "torch") if name in facts},
    )


class _Watch:
    """A :class:`mien.training.loop.Watch` that tells of epochs, and ends the run when it must."""

    def __init__(self, tell: Callable[[int], None], must_stop: Callable[[], bool]) -> None:
        self._tell = tell
        self._must_stop = must_stop
        self._stopped = False

    def step(self, epoch: int, images: int, loss: float) -> None:
        if not self._stopped and self._must_stop():
            self._stopped = True
            # The loop ends in order on the first Ctrl-C; here it comes from the study's own process.
            signal.raise_signal(signal.SIGINT)

    def epoch(self, line: dict[str, float], is_best: bool) -> None:
        self._tell(int(line["epoch"]))


def _side_by_side(
    runs: Sequence[Planned], known: dict[str, Finished], yard: Yard, watch: StudyWatch, jobs: int
) -> bool:
    context = get_context("spawn")
    # Not an Event: its lock would stay taken for ever by a process that is killed while it looks.
    stop = context.RawValue("b", 0)
    waiting, going = list(runs), dict[Future[Finished | None], Planned]()
    all_ended = True
    with interruptible() as interrupted, TemporaryDirectory(prefix="mien-study-") as shared:
        # Through files: a process that is killed before it has taken over a large argument would block this one for
        # ever, and so all share one copy in memory.
        for size_px, faces in yard.faces_of_size.items():
            (Path(shared) / str(size_px)).mkdir()
            write_entry(Path(shared) / str(size_px), faces, {})
        arguments = (replace(yard, faces_of_size={}), Path(shared), threads_of(jobs), stop)
        pool = ProcessPoolExecutor(jobs, context, initializer=_begin_worker, initargs=arguments)
        try:
            while waiting or going:
                if interrupted.is_set():
                    stop.value = 1
                    waiting, all_ended = [], False
                pending = {run.key for run in (*waiting, *going.values())}
                ready = [run for run in waiting if run.parent is None or run.parent.key not in pending]
                for run in ready[: jobs - len(going)]:
                    waiting.remove(run)
                    watch.epochs(run, 0)
                    lost = _without_parent(run, known, yard)
                    if lost is not None:
                        known[run.key] = lost
                        watch.ended(run, lost)
                        continue
                    with _ctrl_c_waits():
                        going[pool.submit(_in_worker, run, known.get(run.key))] = run
                for future in wait(going, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    run, ended = going.pop(future), future.result()
                    if ended is None:
                        all_ended = False
                    else:
                        known[run.key] = ended
                        watch.ended(run, ended)
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
            stop.value = 1
            pool.shutdown(wait=True, cancel_futures=True)
    return all_ended


@contextmanager
def _ctrl_c_waits() -> Iterator[None]:
    """Hold Ctrl-C back while a process begins, which takes it over held back.

    A terminal's Ctrl-C reaches every process, those too that still import and would end with a traceback: they end when
    the study says so. Beginning one takes seconds, in which the study's own must not be lost.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


_worker: tuple[Yard, Any] | None = None
_at_work = Lock()


def _begin_worker(yard: Yard, shared: Path, each_has: int, stop: Any) -> None:
    global _worker
    faces_of_size = {int(folder.name): read_entry(folder)[0] for folder in shared.iterdir()}
    # Ignored first, which forgets what came while it was held back; then free for the training to listen.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    # The study's own line is the only one on the terminal.
    set_quiet(True)
    set_threads(each_has)
    _worker = replace(yard, faces_of_size=faces_of_size), stop
    Thread(target=_end_with_the_study, args=(stop,), daemon=True).start()


def _end_with_the_study(stop: Any) -> None:
    """A study that is killed cannot stop its workers: left alone they would train on beside the study's next call."""
    study = parent_process()
    assert study is not None
    study.join()
    stop.value = 1
    with _at_work:
        os._exit(1)


def _in_worker(run: Planned, kept: Finished | None) -> Finished | None:
    assert _worker is not None
    yard, stop = _worker
    with _at_work:
        return execute(run, kept, yard, lambda done: None, lambda: bool(stop.value))
