"""Run the pending runs of a study as Ray tasks, on one machine or many.

A run is a task. One whose worker dies is started again by Ray, and resumes from its run folder; one whose machine dies
does so where all machines see the study's folder. What has ended is in the study's results, as without Ray, and a
study that is started again finds it there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from mien.cluster import start_ray
from mien.errors import MienError, StudyError
from mien.progress import set_quiet
from mien.runs.execute import StudyContext, execute, without_parent
from mien.runs.plan import folder_of
from mien.runs.scheduler import StudyCallback
from mien.runs.store import CompletedRun, PlannedRun
from mien.training.device import set_threads
from mien.training.interrupt import interruptible

_RETRIES = 5
"""How often Ray starts a run again whose worker died."""


def run_all_on_ray(
    runs: Sequence[PlannedRun],
    finished: Mapping[str, CompletedRun],
    context: StudyContext,
    callback: StudyCallback,
    jobs: int | None = None,
) -> bool:
    """As :func:`mien.runs.scheduler.run_all`, with tasks of Ray, each on one core.

    Args:
        runs: of :func:`mien.runs.plan.pending`, parents before children.
        finished: what is kept already, by key.
        context: data and folders; its folders are seen by all machines.
        callback: called for epochs and ends.
        jobs: how many at once; None is as many as the cluster has cores.

    Returns:
        Whether all ended; False after Ctrl-C.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: there is no cluster.
        MienError: as :func:`mien.runs.scheduler.run_all`.
        StudyError: a run's worker died again and again (``study-process-killed``).
    """
    ray = start_ray()
    try:
        with interruptible() as interrupted:
            return _run_all(ray, list(runs), dict(finished), context, callback, jobs or len(runs), interrupted)
    finally:
        ray.shutdown()


def _run_all(
    ray: Any,
    waiting: list[PlannedRun],
    known: dict[str, CompletedRun],
    context: StudyContext,
    callback: StudyCallback,
    jobs: int,
    interrupted: Any,
) -> bool:
    task = ray.remote(num_cpus=1, max_retries=_RETRIES)(_in_task)
    # One copy a machine, which all its workers map.
    faces = ray.put(dict(context.faces_by_form))
    places = replace(context, faces_by_form={}, out=context.out.absolute(), results=context.results.absolute())
    going: dict[Any, PlannedRun] = {}
    stopped = False
    while waiting or going:
        if interrupted.is_set() and not stopped:
            stopped, waiting = True, []
            for reference in going:
                # Ctrl-C in the task, which ends its run in order.
                ray.cancel(reference)
        pending = {run.key for run in (*waiting, *going.values())}
        for run in [run for run in waiting if run.parent is None or run.parent.key not in pending]:
            if len(going) >= jobs:
                break
            waiting.remove(run)
            callback.epochs(run, 0)
            lost = without_parent(run, known, context)
            if lost is not None:
                known[run.key] = lost
                callback.ended(run, lost)
            else:
                going[task.remote(run, known.get(run.key), places, faces)] = run
        for reference in ray.wait(list(going), timeout=1.0)[0] if going else ():
            run = going.pop(reference)
            ended = _result_of(ray, reference, run, stopped)
            if ended is not None:
                known[run.key] = ended
                callback.ended(run, ended)
            else:
                stopped = True
        for run in going.values():
            # The history on disk says how far a task is.
            callback.epochs(run, len(folder_of(run, context.out).read_history()))
    return not stopped


def _in_task(
    run: PlannedRun, kept: CompletedRun | None, context: StudyContext, faces: Any
) -> tuple[CompletedRun | None, MienError | None]:
    """A run, or the error of one that is a user's: Ray would wrap it into its traceback."""
    # The study's own line is the only one on the terminal.
    set_quiet(True)
    set_threads(1)
    try:
        return execute(run, kept, replace(context, faces_by_form=faces), lambda done: None, lambda: False), None
    except MienError as error:
        return None, error


def _result_of(ray: Any, reference: Any, run: PlannedRun, stopped: bool) -> CompletedRun | None:
    """What a task left; None where it was stopped."""
    from ray.exceptions import RayError, TaskCancelledError

    try:
        ended, failure = ray.get(reference)
    except (TaskCancelledError, KeyboardInterrupt):
        return None
    except RayError as error:
        if stopped:
            return None
        raise StudyError(
            f"The run of {run.variant}, seed {run.recipe.seed}, was lost {_RETRIES + 1} times: "
            f"{str(error).splitlines()[0]} Finished runs are kept; run the command again.",
            code="study-process-killed",
        ) from None
    if failure is not None:
        raise failure
    found: CompletedRun | None = ended
    return found
