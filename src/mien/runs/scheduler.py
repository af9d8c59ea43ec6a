"""Run the pending runs of a study: in turn, in several processes, or as tasks of Ray.

One scheduler starts a run when its parent is finished. An executor says where a run is trained. What was killed is
resumed by the same call: finished runs are in the results, the others in their run folders.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Protocol, Self

from mien.base.errors import MienError, StudyError
from mien.base.processes import available_cores, start_ray
from mien.base.progress import set_quiet
from mien.data.cache import read_entry, write_entry
from mien.runs.execute import StudyContext, execute, without_parent
from mien.runs.plan import DataForm, PlannedRun, StudyCallback, folder_of
from mien.runs.store import CompletedRun
from mien.training.callback import interruptible
from mien.training.device import set_threads

RETRIES = 5
"""How often Ray starts a run again whose worker died."""


class Executor(Protocol):
    """Where runs are trained.

    Attributes:
        slots: how many at the same time.
    """

    slots: int

    def submit(self, run: PlannedRun) -> Future[CompletedRun | None]:
        """Train a run; its result is None where it was stopped."""
        ...

    def stop(self) -> None:
        """End the runs under way in order, so that they can be resumed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def run_all(
    runs: Sequence[PlannedRun],
    completed: Mapping[str, CompletedRun],
    context: StudyContext,
    callback: StudyCallback,
    executor: Executor | None = None,
) -> bool:
    """Run all of ``runs``, parents before children.

    A run whose loss is not a number is kept as failed, and so are the runs that start from it. What is kept already
    stays as it is, where a run is repeated for its weights.

    Args:
        runs: of :func:`mien.runs.plan.pending`.
        completed: what is kept already, by key.
        context: data and folders.
        callback: called for epochs and ends.
        executor: where to train; in this process by default.

    Returns:
        Whether all ended; False after Ctrl-C.

    Raises:
        MienError: as :func:`mien.pipeline.training_run.run_recipe`, except :class:`mien.base.errors.TrainingError`.
        StudyError: a process of the study was killed (``study-process-killed``).
    """
    known, waiting, stopped = dict(completed), list(runs), False
    running: dict[Future[CompletedRun | None], PlannedRun] = {}

    def end(run: PlannedRun, result: CompletedRun) -> None:
        known[run.key] = result
        callback.on_run_end(run, result)

    with interruptible() as interrupted, executor or InTurn(context, callback) as engine:
        while waiting or running:
            if interrupted.is_set() or stopped:
                waiting, stopped = [], True
                engine.stop()
            unfinished = {run.key for run in (*waiting, *running.values())}
            ready = [run for run in waiting if run.parent is None or run.parent.key not in unfinished]
            for run in ready[: engine.slots - len(running)]:
                waiting.remove(run)
                callback.on_epochs(run, 0)
                failed = without_parent(run, known, context)
                if failed is None:
                    running[engine.submit(run)] = run
                else:
                    end(run, failed)
            for future in wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                run, result = running.pop(future), future.result()
                if result is None:
                    stopped = True
                else:
                    end(run, result)
            for run in running.values():
                # The history on disk says how far another process is.
                callback.on_epochs(run, len(folder_of(run, context.out).read_history()))
    return not stopped


class InTurn:
    """One run after another in this process. Ctrl-C reaches the training itself."""

    slots = 1

    def __init__(self, context: StudyContext, callback: StudyCallback) -> None:
        self._context, self._callback = context, callback

    def submit(self, run: PlannedRun) -> Future[CompletedRun | None]:
        """See :class:`Executor`."""
        future: Future[CompletedRun | None] = Future()
        future.set_result(execute(run, self._context, partial(self._callback.on_epochs, run), must_stop=lambda: False))
        return future

    def stop(self) -> None:
        """See :class:`Executor`."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class Processes:
    """Several processes of this machine, which share its cores and one copy of the data in memory."""

    def __init__(self, context: StudyContext, slots: int) -> None:
        """As many processes as ``slots``, of :func:`parallel_runs`."""
        self.slots, self._context = slots, context

    def __enter__(self) -> Self:
        processes = get_context("spawn")
        self._stop = processes.RawValue("b", 0)
        self._shared = TemporaryDirectory(prefix="mien-study-")
        for form, faces in self._context.faces_by_form.items():
            entry = Path(self._shared.name) / " ".join((str(form.size_px), str(form.channels), *form.cleaned))
            entry.mkdir()
            write_entry(entry, faces, {})
        threads = max(available_cores() // self.slots, 1)
        arguments = (replace(self._context, faces_by_form={}), Path(self._shared.name), threads, self._stop)
        self._pool = ProcessPoolExecutor(self.slots, processes, _start_worker, arguments)
        return self

    def __exit__(self, *error: object) -> None:
        # After an error, the other runs under way end in order too.
        self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._shared.cleanup()
        if isinstance(error[1], BrokenProcessPool):
            raise StudyError(
                "A process of the study was killed, by a user or for lack of memory. Finished runs are kept; run the "
                "command again, perhaps with fewer --jobs.",
                code="study-process-killed",
            ) from None

    def submit(self, run: PlannedRun) -> Future[CompletedRun | None]:
        """See :class:`Executor`."""
        # A terminal's Ctrl-C reaches every process. A worker that starts now inherits that it is held back, until it
        # ignores it; that of the study itself is only late.
        if not hasattr(signal, "pthread_sigmask"):
            return self._pool.submit(_run_in_worker, run)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            return self._pool.submit(_run_in_worker, run)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])

    def stop(self) -> None:
        """See :class:`Executor`."""
        self._stop.value = 1


_worker: tuple[StudyContext, Any] | None = None


def _start_worker(context: StudyContext, shared: Path, threads: int, stop: Any) -> None:
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
    set_threads(threads)
    _worker = replace(context, faces_by_form=faces_by_form), stop
    Thread(target=_end_with_the_study, daemon=True).start()


def _end_with_the_study() -> None:
    """A study that is killed cannot stop its workers, which would train on beside its next call."""
    study = parent_process()
    assert study is not None
    study.join()
    os._exit(1)


def _run_in_worker(run: PlannedRun) -> CompletedRun | None:
    assert _worker is not None
    context, stop = _worker
    return execute(run, context, lambda done: None, must_stop=lambda: bool(stop.value))


class RayTasks:
    """Tasks of Ray, each on one core, on the cluster at ``RAY_ADDRESS`` or on this machine.

    A run whose worker dies is started again by Ray and resumes from its run folder. On several machines all of them
    must see the study's folders.
    """

    def __init__(self, context: StudyContext, slots: int) -> None:
        self.slots, self._context = slots, context
        self._tasks: dict[Future[CompletedRun | None], Any] = {}

    def __enter__(self) -> Self:
        self._ray = start_ray()
        context = self._context
        self._task = self._ray.remote(num_cpus=1, max_retries=RETRIES)(_run_in_task)
        # One copy a machine, which all its workers map.
        self._faces = self._ray.put(dict(context.faces_by_form))
        out, results = context.out.absolute(), context.results.absolute()
        self._folders = replace(context, faces_by_form={}, out=out, results=results)
        return self

    def __exit__(self, *error: object) -> None:
        self._ray.shutdown()

    def submit(self, run: PlannedRun) -> Future[CompletedRun | None]:
        """See :class:`Executor`."""
        task = self._task.remote(run, self._folders, self._faces)
        result: Future[CompletedRun | None] = Future()
        self._tasks[result] = task
        task.future().add_done_callback(partial(self._pass_on, run, result))
        return result

    def stop(self) -> None:
        """See :class:`Executor`."""
        while self._tasks:
            # Ctrl-C in the task, which ends its run in order.
            self._ray.cancel(self._tasks.popitem()[1])

    def _pass_on(self, run: PlannedRun, result: Future[CompletedRun | None], ended: Future[Any]) -> None:
        from ray.exceptions import RayError, TaskCancelledError

        error, is_stopping = ended.exception(), self._tasks.pop(result, None) is None
        if isinstance(error, (TaskCancelledError, KeyboardInterrupt)) or (is_stopping and isinstance(error, RayError)):
            result.set_result(None)
        elif isinstance(error, RayError):
            lost = StudyError(
                f"The run of {run.variant}, seed {run.recipe.seed}, was lost {RETRIES + 1} times: "
                f"{str(error).splitlines()[0]} Finished runs are kept; run the command again.",
                code="study-process-killed",
            )
            result.set_exception(lost)
        elif error is not None:
            result.set_exception(error)
        else:
            completed, failure = ended.result()
            if failure is None:
                result.set_result(completed)
            else:
                result.set_exception(failure)


def _run_in_task(run: PlannedRun, context: StudyContext, faces: Any) -> tuple[CompletedRun | None, MienError | None]:
    """A run, or the error of one that is a user's: Ray would wrap it into its traceback."""
    set_quiet(True)
    set_threads(1)
    try:
        context = replace(context, faces_by_form=faces)
        return execute(run, context, lambda done: None, must_stop=lambda: False), None
    except MienError as error:
        return None, error


def parallel_runs(jobs: int, runs: int) -> int:
    """How many of so many runs go at once where ``jobs`` were asked for: no more than there are runs and cores."""
    return max(min(jobs, runs, available_cores()), 1)
