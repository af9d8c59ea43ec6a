"""Run the pending runs of a study, in this process or in several. After a kill, the same command resumes them."""

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
from mien.progress import set_quiet
from mien.runs.duration import side_by_side, threads_of
from mien.runs.execute import StudyContext, execute, without_parent
from mien.runs.plan import folder_of
from mien.runs.store import CompletedRun, DataForm, PlannedRun
from mien.training.device import set_threads
from mien.training.interrupt import interruptible


class StudyCallback(Protocol):
    """Called as a study proceeds."""

    def epochs(self, run: PlannedRun, done: int) -> None:
        """``done`` epochs of a run are finished; 0 when it starts."""

    def ended(self, run: PlannedRun, finished: CompletedRun) -> None:
        """A run has ended and its results are stored."""


def run_all(
    runs: Sequence[PlannedRun],
    finished: Mapping[str, CompletedRun],
    context: StudyContext,
    callback: StudyCallback,
    jobs: int = 1,
) -> bool:
    """Run all of ``runs``, parents before children.

    A run that was begun before goes on. Ctrl-C ends those under way in order. A run whose loss is not a number is kept
    as failed, and so are the runs that would begin with it; the study goes on. What is kept already stays as it is,
    where a run is repeated for its weights.

    Args:
        runs: of :func:`mien.runs.plan.pending`.
        finished: what is kept already, by key.
        context: data and folders.
        callback: called for epochs and ends.
        jobs: how many at once, no more than there are runs and cores; the cores are shared out among them.

    Returns:
        Whether all ended; False after Ctrl-C.

    Raises:
        MienError: as :func:`mien.pipeline.training_run.run_recipe`, except :class:`TrainingError`.
        StudyError: a process was killed.
    """
    known = dict(finished)
    jobs = side_by_side(jobs, len(runs))
    if jobs > 1:
        return _side_by_side(runs, known, context, callback, jobs)
    with interruptible() as interrupted:
        for run in runs:
            callback.epochs(run, 0)
            ended = without_parent(run, known, context) or execute(
                run, known.get(run.key), context, partial(callback.epochs, run), _never
            )
            if ended is None:
                return False
            known[run.key] = ended
            callback.ended(run, ended)
            if interrupted.is_set():
                return False
    return True


def _never() -> bool:
    """Ctrl-C reaches the training itself, which shares this block's event."""
    return False


def _side_by_side(
    runs: Sequence[PlannedRun],
    known: dict[str, CompletedRun],
    context: StudyContext,
    callback: StudyCallback,
    jobs: int,
) -> bool:
    processes = get_context("spawn")
    # Not an Event: its lock would stay taken for ever by a process that is killed while it looks.
    stop = processes.RawValue("b", 0)
    waiting, going = list(runs), dict[Future[CompletedRun | None], PlannedRun]()
    all_ended = True
    with interruptible() as interrupted, TemporaryDirectory(prefix="mien-study-") as shared:
        # Through files: a process that is killed before it has taken over a large argument would block this one for
        # ever, and so all share one copy in memory.
        for form, faces in context.faces_by_form.items():
            entry = Path(shared) / _folder_name(form)
            entry.mkdir()
            write_entry(entry, faces, {})
        arguments = (replace(context, faces_by_form={}), Path(shared), threads_of(jobs), stop)
        pool = ProcessPoolExecutor(jobs, processes, initializer=_begin_worker, initargs=arguments)
        try:
            while waiting or going:
                if interrupted.is_set():
                    stop.value = 1
                    waiting, all_ended = [], False
                pending = {run.key for run in (*waiting, *going.values())}
                ready = [run for run in waiting if run.parent is None or run.parent.key not in pending]
                for run in ready[: jobs - len(going)]:
                    waiting.remove(run)
                    callback.epochs(run, 0)
                    lost = without_parent(run, known, context)
                    if lost is not None:
                        known[run.key] = lost
                        callback.ended(run, lost)
                        continue
                    with _ctrl_c_waits():
                        going[pool.submit(_in_worker, run, known.get(run.key))] = run
                for future in wait(going, timeout=1.0, return_when=FIRST_COMPLETED).done:
                    run, ended = going.pop(future), future.result()
                    if ended is None:
                        all_ended = False
                    else:
                        known[run.key] = ended
                        callback.ended(run, ended)
                for run in going.values():
                    # The history on disk says how far a worker is.
                    callback.epochs(run, len(folder_of(run, context.out).read_history()))
        except BrokenProcessPool:
            raise StudyError(
                "A process of the study was killed, by a user or for lack of memory. Finished runs are kept; run the "
                "command again, perhaps with fewer --jobs.",
                code="study-process-killed",
            ) from None
        finally:
            # After an error, the other runs under way end in order too.
            stop.value = 1
            pool.shutdown(wait=True, cancel_futures=True)
    return all_ended


def _folder_name(form: DataForm) -> str:
    return " ".join((str(form.size_px), str(form.channels), *form.cleaned))


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


_worker: tuple[StudyContext, Any] | None = None
_at_work = Lock()


def _begin_worker(context: StudyContext, shared: Path, each_has: int, stop: Any) -> None:
    global _worker
    faces_by_form = {}
    for folder in shared.iterdir():
        size_px, channels, *cleaned = folder.name.split(" ")
        faces_by_form[DataForm(int(size_px), int(channels), tuple(cleaned))] = read_entry(folder)[0]
    # Ignored first, which forgets what came while it was held back; then free for the training to listen.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    # The study's own line is the only one on the terminal.
    set_quiet(True)
    set_threads(each_has)
    _worker = replace(context, faces_by_form=faces_by_form), stop
    Thread(target=_end_with_the_study, args=(stop,), daemon=True).start()


def _end_with_the_study(stop: Any) -> None:
    """A study that is killed cannot stop its workers: left alone they would train on beside the study's next call."""
    study = parent_process()
    assert study is not None
    study.join()
    stop.value = 1
    with _at_work:
        os._exit(1)


def _in_worker(run: PlannedRun, kept: CompletedRun | None) -> CompletedRun | None:
    assert _worker is not None
    context, stop = _worker
    with _at_work:
        return execute(run, kept, context, lambda done: None, lambda: bool(stop.value))
