"""Train one run of a study and store its results; also a process of its own, ``python -m mien.runs.worker``.

Such a process reads a job from standard input and prints the answer, both as a line of JSON. The end of standard input
stops the training, so that a run never outlives its study.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np

from mien.base import errors
from mien.base.errors import MienError, StoppedError, TrainingError
from mien.base.files import write_text
from mien.base.progress import set_quiet
from mien.base.recipe import Recipe, dump_recipe
from mien.base.run_folder import HistoryLine, RunFolder
from mien.data.dataset import Dataset
from mien.data.read import read_entry
from mien.evaluation.predictions import Predictions, write_predictions
from mien.pipeline.training_run import run_recipe
from mien.runs.plan import PREDICTIONS, RECORD, RunRecord
from mien.training import checkpoint
from mien.training.callback import Callback
from mien.training.device import set_threads, threads
from mien.training.plan import plan_training


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


def answer(job: str, must_stop: Callable[[], bool] = lambda: False) -> str:
    """Train the run of a job in a process of a study, as :func:`make_job` wrote it. :func:`read_answer` reads this."""
    # Only the study prints to the terminal.
    set_quiet(True)
    content = json.loads(job)
    set_threads(content.pop("threads"))
    dataset, _ = read_entry(Path(content.pop("dataset")))
    try:
        return json.dumps({"ended": RunJob(**content).train(dataset, lambda epoch: None, must_stop)})
    except MienError as error:
        return json.dumps({"error": type(error).__name__, "message": error.message, "code": error.code})


def make_job(job: RunJob, dataset: Path, threads: int) -> str:
    """Write a job for another process, with its data set, as :func:`mien.data.read.write_entry` stores it."""
    return json.dumps({**vars(job), "dataset": str(dataset), "threads": threads})


def read_answer(text: str) -> bool:
    """Return whether the run ended, rather than was stopped. Raises the error of the run."""
    content = json.loads(text)
    if "error" in content:
        raise getattr(errors, content["error"])(content["message"], code=content["code"])
    return bool(content["ended"])


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
