"""Run the pending runs of a study: one by one, in several processes, or as Ray tasks.

The scheduler starts a run when its parent is finished. An executor decides where the run is trained or resumed; its
predictions and record, or its error, are then stored. The same call resumes a killed study: finished runs are in the
results, the others in their run folders.
"""

import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context, parent_process
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any, Self
from uuid import uuid4

import numpy as np

from mien.base.errors import MienError, StoppedError, StudyError, TrainingError, arg
from mien.base.files import write_bytes, write_text
from mien.base.processes import available_cores, start_ray
from mien.base.progress import set_quiet
from mien.base.recipe import dump_recipe
from mien.base.run_folder import HistoryLine
from mien.data.cache import read_entry, write_entry
from mien.evaluation.predictions import read_predictions, write_predictions
from mien.pipeline.training_run import run_recipe
from mien.runs.plan import (
    PREDICTIONS,
    RECORD,
    CompletedRun,
    FacesByForm,
    PlannedRun,
    RunRecord,
    StudyCallback,
    folder_of,
    read_run,
)
from mien.training import checkpoint
from mien.training.callback import Callback, interruptible
from mien.training.device import set_threads, threads
from mien.training.plan import plan_training


@dataclass(frozen=True)
class StudyContext:
    """Settings that all runs of a study share.

    Attributes:
        faces_by_form: data by image size and channels.
        out: folder of the study; run folders are in ``out/runs``.
        results: folder of finished runs; see :mod:`mien.runs.plan`.
        metadata: metadata for environment.json.
    """

    faces_by_form: FacesByForm
    out: Path
    results: Path
    metadata: Mapping[str, Any]


def execute(
    run: PlannedRun, context: StudyContext, on_epoch: Callable[[int], None], must_stop: Callable[[], bool]
) -> CompletedRun | None:
    """Train one run and store its results; None if training was stopped.

    If its results are stored, they are kept; only weights are new. If the loss is not a number, no error is raised: the
    run is stored as failed. Raises the other errors of :func:`mien.pipeline.training_run.run_recipe`.
    """
    folder = folder_of(run, context.out)
    start = run.model if run.parent is None else folder_of(run.parent, context.out)
    failed = ""
    if folder.best.is_file() and not folder.last.is_file():
        # A finished run cannot be resumed. If its weights are needed, it is trained again.
        shutil.rmtree(folder.path)
    try:
        run_recipe(
            plan_training(run.recipe, context.faces_by_form[run.recipe.input.stored_as]),
            folder,
            resume=True,
            init_from=start,
            callback=_Callback(on_epoch, must_stop),
            metadata=context.metadata,
        )
    except StoppedError:
        return None
    except TrainingError as error:
        if error.code != "loss-not-finite":
            raise
        failed = error.reason
    results = context.results / run.folder_name
    kept = read_run(results) if (results / RECORD).is_file() else keep(run, failed, context)
    # Remove this largest file, which only --resume needs. A folder without this file counts as finished.
    folder.last.unlink(missing_ok=True)
    return kept


def keep(run: PlannedRun, failed: str, context: StudyContext) -> CompletedRun:
    """Store the results of an ended run; ``failed`` says why it has no predictions, or is ``""``."""
    folder = folder_of(run, context.out)
    history = folder.read_history()
    environment = folder.read_environment() if folder.is_run else {}
    kept = context.results / run.folder_name
    if folder.is_run:
        write_text(kept / "recipe.toml", dump_recipe(folder.read_recipe()))
    file = folder.path / "history.csv"
    if file.is_file():
        write_text(kept / "history.csv", file.read_text(encoding="utf-8"))
    if not failed:
        write_predictions(kept / PREDICTIONS, read_predictions(folder.predictions("validation")), np.float32)
    record = RunRecord(
        key=run.key,
        variant=run.variant,
        seed=run.recipe.seed,
        data_fingerprint=run.data_fingerprint,
        started_from=run.start_digest if run.parent is None else run.parent.key,
        epochs=len(history),
        best_epoch=checkpoint.load(folder.best)[1]["epoch"] if folder.best.is_file() else 0,
        seconds=history[-1]["seconds"] if history else 0.0,
        threads=threads(),
        failed=failed,
        machine={name: str(environment[name]) for name in ("machine", "device", "torch") if name in environment},
    )
    # Write the record last, because it marks the run as finished.
    write_text(kept / RECORD, record.model_dump_json(indent=2) + "\n")
    return CompletedRun(kept, record)


class _Callback(Callback):
    """Reports epochs, and stops the run when the study stops."""

    def __init__(self, on_epoch: Callable[[int], None], must_stop: Callable[[], bool]) -> None:
        self._on_epoch, self._must_stop = on_epoch, must_stop

    def should_stop(self) -> bool:
        return self._must_stop()

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        self._on_epoch(int(metrics["epoch"]))

    def on_train_end(self, reason: str | None) -> None:
        if reason in {"interrupted", "stopped"}:
            # The study resumes it later, so it needs no export and no report now.
            raise StoppedError("The run was stopped.", code="stopped-early")


RETRIES = 5
"""How often Ray restarts a run whose worker died."""

Ended = tuple[CompletedRun | None, MienError | None]
"""Result of a run (None if the run was stopped), or the error that ended the run."""


class Executor:
    """Trains runs one by one in this process, so that Ctrl-C reaches the training. Base class of the other executors.

    Attributes:
        slots: number of runs at the same time.
    """

    def __init__(self, context: StudyContext, callback: StudyCallback | None = None, slots: int = 1) -> None:
        self.slots: int = slots
        self._context, self._callback = context, callback or StudyCallback()
        # Use a unique name, because another study may use the same folder.
        self._stop_file = context.out / "runs" / f".stop-{uuid4().hex}"

    def submit(self, run: PlannedRun) -> Future[Ended]:
        """Train a run."""
        future: Future[Ended] = Future()
        on_epoch = partial(self._callback.on_epochs, run)
        future.set_result((execute(run, self._context, on_epoch, must_stop=lambda: False), None))
        return future

    def stop(self) -> None:
        """Stop active runs in other processes and machines, so that they can be resumed."""
        write_bytes(self._stop_file, b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop_file.unlink(missing_ok=True)


def run_all(
    runs: Sequence[PlannedRun],
    completed: Mapping[str, CompletedRun],
    context: StudyContext,
    callback: StudyCallback,
    executor: Executor | None = None,
) -> bool:
    """Run all of ``runs``; a run starts after the run that provides its weights.

    A run whose loss is not a number is stored as failed, and so are the runs that start from it. If a run is repeated
    only for its weights, its stored results are kept. Returns True if all runs ended, False after Ctrl-C.

    Raises what :func:`mien.pipeline.training_run.run_recipe` raises, except TrainingError, and StudyError if a process
    of the study was killed (``study-process-killed``).
    """
    known, waiting, stopped = dict(completed), list(runs), False
    running: dict[Future[Ended], PlannedRun] = {}

    def end(run: PlannedRun, result: CompletedRun) -> None:
        known[run.key] = result
        callback.on_run_end(run, result)

    with interruptible() as interrupted, executor or Executor(context, callback) as engine:
        while waiting or running:
            if interrupted.is_set() or stopped:
                waiting, stopped = [], True
                if running:
                    engine.stop()
            unfinished = {run.key for run in (*waiting, *running.values())}
            ready = [run for run in waiting if run.parent is None or run.parent.key not in unfinished]
            for run in ready[: engine.slots - len(running)]:
                waiting.remove(run)
                callback.on_epochs(run, 0)
                if run.parent is not None and run.parent.key in known and known[run.parent.key].record.failed:
                    source = f"{run.parent.variant}, seed {run.parent.recipe.seed}"
                    end(run, keep(run, f"It starts from {source}, whose training failed.", context))
                else:
                    running[engine.submit(run)] = run
            for future in wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                run, (result, error) = running.pop(future), future.result()
                if error is not None:
                    raise error
                if result is None:
                    stopped = True
                else:
                    end(run, result)
            for run in running.values():
                # Read the progress of runs in other processes from their history on disk.
                callback.on_epochs(run, len(folder_of(run, context.out).read_history()))
    return not stopped


def _killed(what: str) -> StudyError:
    return StudyError(
        f"{what}. Finished runs are kept; run the study again, perhaps with fewer {arg('jobs')}.",
        code="study-process-killed",
    )


def _run_elsewhere(run: PlannedRun, context: StudyContext, threads: int, stop: Path) -> Ended:
    """Execute a run in another process. A user's error is returned; Ray wraps raised errors in a traceback."""
    # Only the study prints to the terminal.
    set_quiet(True)
    set_threads(threads)
    try:
        return execute(run, context, lambda done: None, must_stop=stop.exists), None
    except MienError as error:
        return None, error


class Processes(Executor):
    """Trains runs in several processes of this machine, which share its cores and one copy of the data."""

    def __init__(self, context: StudyContext, slots: int) -> None:
        super().__init__(context, slots=slots)
        self._threads = max(available_cores() // slots, 1)

    def __enter__(self) -> Self:
        self._shared = TemporaryDirectory(prefix="mien-study-")
        for form, faces in self._context.faces_by_form.items():
            entry = _entry(self._shared.name, form)
            entry.mkdir()
            write_entry(entry, faces, {})
        self._pool = ProcessPoolExecutor(self.slots, get_context("spawn"), _start_worker)
        return self

    def __exit__(self, *error: object) -> None:
        if error[1] is not None:
            self.stop()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._shared.cleanup()
        super().__exit__(*error)
        if isinstance(error[1], BrokenProcessPool):
            causes = "a user killed it, memory ran out, or the script lacks `if __name__ == '__main__':`"
            raise _killed(f"A process of the study ended too soon: {causes}") from None

    def submit(self, run: PlannedRun) -> Future[Ended]:
        """See :class:`Executor`."""
        context = replace(self._context, faces_by_form={})
        task = partial(_run_in_worker, run, context, self._shared.name, self._threads, self._stop_file)
        # Ctrl-C in a terminal reaches all processes. Block it while a worker starts, so that the worker inherits the
        # block until it ignores the signal. The study then receives the signal slightly later.
        if not hasattr(signal, "pthread_sigmask"):
            return self._pool.submit(task)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            return self._pool.submit(task)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])


def _entry(shared: str, form: tuple[int, int]) -> Path:
    """Return the folder from which all workers memory-map the data in one form."""
    return Path(shared) / "{} {}".format(*form)


def _run_in_worker(run: PlannedRun, context: StudyContext, shared: str, threads: int, stop: Path) -> Ended:
    form = run.recipe.input.stored_as
    faces, _ = read_entry(_entry(shared, form))
    return _run_elsewhere(run, replace(context, faces_by_form={form: faces}), threads, stop)


def _start_worker() -> None:
    # Ignore the signal first, which discards a pending one; then unblock it, so that training can handle it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    Thread(target=_end_with_the_study, daemon=True).start()


def _end_with_the_study() -> None:
    """End this worker when the study's process ends, so that a killed study does not go on training."""
    study = parent_process()
    assert study is not None
    study.join()
    signal.raise_signal(signal.SIGTERM)


class RayTasks(Executor):
    """Trains runs as Ray tasks, one core each, on the cluster at ``RAY_ADDRESS`` or on this machine.

    Ray restarts a run whose worker died, and the run resumes from its folder. All machines need the study's folders.
    """

    def __init__(self, context: StudyContext, slots: int) -> None:
        out, results = context.out.absolute(), context.results.absolute()
        super().__init__(replace(context, out=out, results=results), slots=slots)

    def __enter__(self) -> Self:
        self._ray = start_ray()
        self._task = self._ray.remote(num_cpus=1, max_retries=RETRIES)(_run_elsewhere)
        # Keep one copy per machine, which all its workers share.
        self._shared = self._ray.put(self._context)
        return self

    def __exit__(self, *error: object) -> None:
        self._ray.shutdown()
        super().__exit__(*error)
        if isinstance(error[1], self._ray.exceptions.RayError):
            raise _killed(f"A run was lost {RETRIES + 1} times: {str(error[1]).splitlines()[0]}") from None

    def submit(self, run: PlannedRun) -> Future[Ended]:
        """See :class:`Executor`."""
        ended: Future[Ended] = self._task.remote(run, self._shared, 1, self._stop_file).future()
        return ended


def choose_executor(
    context: StudyContext, callback: StudyCallback, engine: str, jobs: int | None, runs: int
) -> Executor:
    """Choose the executor: it trains ``jobs`` runs at the same time, on this machine at most one per core."""
    if engine == "ray" and runs:
        return RayTasks(context, jobs or runs)
    slots = min(jobs or 1, runs, available_cores())
    return Processes(context, slots) if slots > 1 else Executor(context, callback)
