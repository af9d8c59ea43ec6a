"""Run the pending runs of a study: one by one, in several processes, or as Ray tasks.

The scheduler starts a run when its parent is finished. The same call resumes a killed study: finished runs are in the
results, the others in their run folders. ``python -m mien.runs.scheduler`` is a process that trains one run: it reads a
job from standard input and prints the answer, both as a line of JSON. The end of standard input stops the training, so
that a run never outlives its study.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import numpy as np

from mien.base import errors
from mien.base.errors import MienError, ModelError, Notice, RecipeError, StoppedError, StudyError, TrainingError
from mien.base.files import write_text
from mien.base.processes import available_cores, start_ray
from mien.base.progress import set_quiet
from mien.base.recipe import Recipe, Settings, dump_recipe
from mien.base.run_folder import HistoryLine, RunFolder, find_trained
from mien.data.dataset import Dataset
from mien.data.read import read_entry, write_entry
from mien.evaluation.predictions import Predictions, write_predictions
from mien.models.registry import completed
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
from mien.runs.spec import Study, Variant
from mien.training import checkpoint
from mien.training.callback import Callback, interruptible
from mien.training.device import set_threads, threads
from mien.training.heads import target_fingerprints
from mien.training.plan import plan_training, recipe_warnings
from mien.training.state import check_network, file_digest

RETRIES = 5
"""How often Ray restarts a run whose worker died."""

Submit = Callable[[PlannedRun], "Future[str]"]
"""Starts a run. The result is an answer for :func:`read_answer`."""


@dataclass(frozen=True)
class RunJob:
    """A run to train, as plain values; see :class:`mien.runs.plan.PlannedRun`. Folders are absolute paths, or ""."""

    recipe: Mapping[str, Any]
    key: str
    variant: str
    data_fingerprint: str
    started_from: str
    run: str
    results: str
    init_from: str
    metadata: Mapping[str, Any]

    def train(self, dataset: Dataset, on_epoch: Callable[[int], None], must_stop: Callable[[], bool]) -> bool:
        """Train or resume the run and store its results. Returns False if training was stopped.

        If its results are stored, they are kept; only weights are new. If the loss is not a number, no error is raised:
        the run is stored as failed. Raises the other errors of :func:`mien.pipeline.training_run.run_recipe`.
        """
        folder, failed, predictions = RunFolder(Path(self.run)), "", None
        if folder.best.is_file() and not folder.last.is_file():
            # A finished run cannot be resumed. If its weights are needed, it is trained again.
            shutil.rmtree(folder.path)
        try:
            predictions = run_recipe(
                plan_training(Recipe.model_validate(self.recipe), dataset),
                folder,
                resume=True,
                init_from=RunFolder(Path(self.init_from)) if self.init_from else None,
                callback=_Callback(on_epoch, must_stop),
                metadata=self.metadata,
                has_page=False,
            ).predictions
        except StoppedError:
            return False
        except TrainingError as error:
            if error.code != "loss-not-finite":
                raise
            failed = error.reason
        if not (Path(self.results) / RECORD).is_file():
            self.store(predictions, failed)
        # Remove this largest file, which only --resume needs. A folder without this file counts as finished.
        folder.last.unlink(missing_ok=True)
        return True

    def store(self, predictions: Predictions | None, failed: str) -> None:
        """Store the results of an ended run; ``failed`` says why it has no predictions, or is ``""``."""
        folder, results = RunFolder(Path(self.run)), Path(self.results)
        history = folder.read_history()
        environment = folder.read_environment() if folder.is_run else {}
        if folder.is_run:
            write_text(results / "recipe.toml", dump_recipe(folder.read_recipe()))
        if history:
            write_text(results / "history.csv", (folder.path / "history.csv").read_text(encoding="utf-8"))
        if predictions is not None:
            write_predictions(results / PREDICTIONS, predictions, np.float32)
        record = RunRecord(
            key=self.key,
            variant=self.variant,
            seed=self.recipe["seed"],
            data_fingerprint=self.data_fingerprint,
            started_from=self.started_from,
            epochs=len(history),
            best_epoch=checkpoint.load(folder.best)[1]["epoch"] if folder.best.is_file() else 0,
            seconds=history[-1]["seconds"] if history else 0.0,
            threads=threads(),
            failed=failed,
            machine={name: str(environment[name]) for name in ("machine", "device", "torch") if name in environment},
        )
        # Write the record last, because it marks the run as finished.
        write_text(results / RECORD, record.model_dump_json(indent=2) + "\n")


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
            # The study resumes it later, so it needs no export now.
            raise StoppedError("The run was stopped.", code="stopped")


@dataclass(frozen=True)
class StudyContext:
    """Settings of all runs of a study: data by size and channels, folders of runs and of results, metadata."""

    faces_by_form: FacesByForm
    out: Path
    results: Path
    metadata: Mapping[str, Any]

    def job(self, run: PlannedRun) -> RunJob:
        """Return the job of a run. Its paths are absolute, for other processes and machines."""
        start = run.model if run.parent is None else folder_of(run.parent, self.out)
        return RunJob(
            recipe=run.recipe.model_dump(mode="json", exclude_unset=True),
            key=run.key,
            variant=run.variant,
            data_fingerprint=run.data_fingerprint,
            started_from=run.start_digest if run.parent is None else run.parent.key,
            run=str(folder_of(run, self.out).path.absolute()),
            results=str((self.results / run.folder_name).absolute()),
            init_from="" if start is None else str(start.path.absolute()),
            metadata=self.metadata,
        )


def run_all(
    runs: Sequence[PlannedRun],
    completed: Mapping[str, CompletedRun],
    context: StudyContext,
    callback: StudyCallback,
    jobs: int | None = None,
    engine: str = "local",
) -> bool:
    """Run all of ``runs``, ``jobs`` at the same time, by default one or, with Ray, all; parents first.

    A run whose loss is not a number is stored as failed, and so are the runs that start from it. Stored results are
    kept when a run is repeated for its weights. Returns False after Ctrl-C. Raises as
    :func:`mien.pipeline.training_run.run_recipe`, and StudyError (``study-process-killed``).
    """
    if not runs:
        return True
    known, waiting, stopped = dict(completed), list(runs), False
    running: dict[Future[str], PlannedRun] = {}
    if engine == "ray":
        slots, chosen = jobs or len(runs), _ray_tasks(context)
    else:
        slots = min(jobs or 1, len(runs), available_cores())
        chosen = _processes(context, slots) if slots > 1 else _this_process(context, callback)

    def end(run: PlannedRun) -> None:
        known[run.key] = read_run(context.results / run.folder_name)
        callback.on_run_end(run, known[run.key])

    # Leaving the engine stops the runs that are active.
    with interruptible() as interrupted, chosen as submit:
        while (waiting or running) and not stopped:
            unfinished = {run.key for run in (*waiting, *running.values())}
            ready = [run for run in waiting if run.parent is None or run.parent.key not in unfinished]
            for run in ready[: slots - len(running)]:
                waiting.remove(run)
                callback.on_epochs(run, 0)
                if run.parent is not None and run.parent.key in known and known[run.parent.key].record.failed:
                    source = f"{run.parent.variant}, seed {run.parent.recipe.seed}"
                    context.job(run).store(None, f"It starts from {source}, whose training failed.")
                    end(run)
                else:
                    running[submit(run)] = run
            for future in wait(running, timeout=1.0, return_when=FIRST_COMPLETED).done:
                run = running.pop(future)
                if read_answer(future.result()):
                    end(run)
                else:
                    stopped = True
            for run in running.values():
                # Read the progress of runs in other processes from their history on disk.
                callback.on_epochs(run, len(folder_of(run, context.out).read_history()))
            stopped = stopped or interrupted.is_set()
    return not stopped


@contextmanager
def _this_process(context: StudyContext, callback: StudyCallback) -> Iterator[Submit]:
    """Train runs in this process, so that Ctrl-C reaches the training."""

    def submit(run: PlannedRun) -> Future[str]:
        future: Future[str] = Future()
        dataset = context.faces_by_form[run.recipe.input.size_and_channels]
        ended = context.job(run).train(dataset, lambda done: callback.on_epochs(run, done), lambda: False)
        future.set_result(json.dumps({"ended": ended}))
        return future

    yield submit


@contextmanager
def _shared(context: StudyContext, parent: Path | None = None) -> Iterator[Callable[[PlannedRun, int], str]]:
    """Store the data for all processes to map, in ``parent``; yield a function that writes the job of a run."""
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="mien-study-", dir=parent, ignore_cleanup_errors=True) as folder:
        entries = {form: Path(folder).absolute() / "{}-{}".format(*form) for form in context.faces_by_form}
        for form, entry in entries.items():
            entry.mkdir()
            write_entry(entry, context.faces_by_form[form], {})

        def job_of(run: PlannedRun, threads: int) -> str:
            entry = entries[run.recipe.input.size_and_channels]
            return json.dumps({**vars(context.job(run)), "dataset": str(entry), "threads": threads})

        yield job_of


@contextmanager
def _processes(context: StudyContext, slots: int) -> Iterator[Submit]:
    """Train runs in several processes of this machine, which share its cores and one copy of the data."""
    command = [sys.executable, "-m", "mien.runs.scheduler"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    active: list[subprocess.Popen[str]] = []

    def read(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        with process.stdout as printed:
            lines = printed.read().splitlines()
        # A user's code may print too. The answer is the last line.
        if process.wait() or not lines:
            raise _killed("A process of the study ended too soon: a user killed it, or memory ran out")
        return lines[-1]

    with _shared(context) as job_of, ThreadPoolExecutor(slots) as pool:

        def submit(run: PlannedRun) -> Future[str]:
            # In a session of its own, so that Ctrl-C in a terminal reaches the study alone.
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment,
                start_new_session=True,
            )  # fmt: skip
            active.append(process)
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it was killed
                process.stdin.write(job_of(run, max(available_cores() // slots, 1)) + "\n")
                process.stdin.flush()
            return pool.submit(read, process)

        try:
            yield submit
        finally:
            for process in active:
                # The end of its input stops a process.
                process.stdin.close()  # type: ignore[union-attr]


@contextmanager
def _ray_tasks(context: StudyContext) -> Iterator[Submit]:
    """Train runs as Ray tasks, one core each, with all folders shared; Ray restarts a run whose worker died."""
    ray = start_ray()
    task = ray.remote(num_cpus=1, max_retries=RETRIES)(answer)
    try:
        with _shared(context, context.out) as job_of:
            yield lambda run: task.remote(job_of(run, 1)).future()
    except ray.exceptions.RayError as error:
        raise _killed(f"A run was lost {RETRIES + 1} times: {str(error).splitlines()[0]}") from None
    finally:
        ray.shutdown()


def _killed(what: str) -> StudyError:
    words = f"{what}. Finished runs are kept; run the study again, perhaps with fewer --jobs."
    return StudyError(words, code="study-process-killed")


def answer(job: str, must_stop: Callable[[], bool] = lambda: False) -> str:
    """Train the run of a job, a line of JSON, in a process of a study. :func:`read_answer` reads what this returns."""
    # Only the study prints to the terminal.
    set_quiet(True)
    content = json.loads(job)
    set_threads(content.pop("threads"))
    dataset, _ = read_entry(Path(content.pop("dataset")))
    try:
        return json.dumps({"ended": RunJob(**content).train(dataset, lambda epoch: None, must_stop)})
    except MienError as error:
        return json.dumps({"error": type(error).__name__, "message": error.message, "code": error.code})


def read_answer(text: str) -> bool:
    """Return whether the run ended, rather than was stopped. Raises the error of the run."""
    content = json.loads(text)
    if "error" in content:
        raise getattr(errors, content["error"])(content["message"], code=content["code"])
    return bool(content["ended"])


def make_plan(study: Study, faces_by_form: FacesByForm, changes: Settings = ()) -> tuple[PlannedRun, ...]:
    """Return all runs of a study, parents first, each checked as :meth:`mien.api.train.TrainingJob.check` does.

    First seeds come first, so that an interrupted study has a complete table. Raises StudyError for two equal variants.
    """
    runs: dict[tuple[str, int], PlannedRun] = {}
    variant_of: dict[str, str] = {}
    for variant in study.trained:
        first = _first_run(study, variant, faces_by_form, changes)
        for seed in study.seeds_of(variant):
            recipe = completed(study.recipe_of(variant, seed, changes))
            run = replace(first, recipe=recipe, parent=runs.get((variant.init_from, seed)))
            runs[variant.name, seed] = run
            other = variant_of.setdefault(run.key, variant.name)
            if other != variant.name:
                words = f"The variants '{other}' and '{variant.name}' have the same recipe. Change or remove one."
                raise StudyError(words, code="study-value")
    ranks = {
        (variant.name, seed): rank for variant in study.trained for rank, seed in enumerate(study.seeds_of(variant))
    }
    return tuple(runs[key] for key in sorted(runs, key=ranks.__getitem__))


def notices_of(runs: Sequence[PlannedRun]) -> list[Notice]:
    """Return what to read before these runs are trained, once for each variant."""
    return [
        Notice(f"{name}: {each}", code=each.code)
        for name, run in reversed({run.variant: run for run in reversed(runs)}.items())
        for each in recipe_warnings(run.recipe, from_run=bool(run.parent or run.model), train_faces=run.train_faces)
    ]


def _first_run(study: Study, variant: Variant, faces_by_form: FacesByForm, changes: Settings) -> PlannedRun:
    try:
        recipe = study.recipe_of(variant, study.seeds_of(variant)[0], changes)
        plan = plan_training(recipe, faces_by_form[recipe.input.size_and_channels])
        model = None if study.model_of(variant) is None else find_trained(variant.init_from)
        network = check_network(plan.recipe, plan.logits)
        weights = None if model is None else model.best
        if not variant.init_from:
            weights = network.load_pretrained()
            if weights is None and recipe.tuning.fit_head:
                words = 'a head needs a trained network. Name it in the study, as with: from = "default"'
                raise RecipeError(words, code="fit-head")
    except MienError as error:
        how = ""
        if isinstance(error, ModelError) and not variant.init_from and not recipe.model.settings.get("weights"):
            how = f" In this study: --set {variant.name}:model.weights=FILE, or choose others with --only."
        raise type(error)(f"The variant '{variant.name}': {error}{how}", code=error.code) from None
    return PlannedRun(
        variant.name,
        plan.recipe,
        # Validation predictions show that a run is finished.
        plan.dataset.fingerprint_for_predictions("validation"),
        plan.validation.classes,
        len(plan.chosen),
        start_digest="" if weights is None else file_digest(weights),
        targets_fingerprint=" ".join(target_fingerprints(plan.recipe, plan.dataset).values()),
        model=model,
    )


def main() -> None:
    """Run the job on standard input."""
    job, ended = sys.stdin.readline(), Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        ended.set()

    Thread(target=wait_for_the_end, daemon=True).start()
    text = answer(job, ended.is_set)
    sys.stdout.flush()
    with suppress(BrokenPipeError):  # the study was killed
        os.write(sys.stdout.fileno(), f"\n{text}\n".encode())


if __name__ == "__main__":
    main()
