"""Run what a study lacks: in this process, or side by side in several. Killed at any moment, it goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock, Thread
from typing import Any, Protocol

from mien.data.cache import read_entry, write_entry
from mien.errors import StudyError
from mien.experiments.study_plan import folder_of
from mien.experiments.study_results import Finished, Planned
from mien.experiments.study_run import Yard, execute, without_parent
from mien.experiments.study_time import side_by_side, threads_of
from mien.progress import set_quiet
from mien.training.device import set_threads
from mien.training.interrupt import interruptible


class StudyWatch(Protocol):
    """Whoever wants to see the study go by."""

    def epochs(self, run: Planned, done: int) -> None:
        """So many epochs of a run are done; 0 when it begins."""

    def ended(self, run: Planned, finished: Finished) -> None:
        """A run has ended and is kept."""


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
    jobs = side_by_side(jobs, len(runs))
    if jobs > 1:
        return _side_by_side(runs, known, yard, watch, jobs)
    with interruptible() as interrupted:
        for run in runs:
            watch.epochs(run, 0)
            ended = without_parent(run, known, yard) or execute(
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
                    lost = without_parent(run, known, yard)
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
