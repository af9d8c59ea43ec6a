"""Execute one run of a study: train or resume it, then store its predictions and record, or its error."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.errors import StoppedError, TrainingError
from mien.base.files import write_text
from mien.base.recipe import dump_recipe
from mien.base.run_folder import HistoryLine
from mien.evaluation.predictions import read_predictions, write_predictions
from mien.pipeline.training_run import run_recipe
from mien.runs.plan import FacesByForm, PlannedRun, folder_of
from mien.runs.store import PREDICTIONS, RECORD, CompletedRun, RunRecord, read_run
from mien.training import checkpoint
from mien.training.callback import Callback
from mien.training.device import threads
from mien.training.plan import plan_training


@dataclass(frozen=True)
class StudyContext:
    """Settings that all runs of a study share.

    Attributes:
        faces_by_form: data by image size and channels.
        out: folder of the study; run folders are in ``out/runs``.
        results: folder of finished runs; see :mod:`mien.runs.store`.
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
        result = run_recipe(
            plan_training(run.recipe, context.faces_by_form[run.recipe.input.stored_as]),
            folder,
            resume=True,
            init_from=start,
            callback=_Callback(on_epoch, must_stop),
            metadata=context.metadata,
        )
        if result.was_stopped:
            return None
    except StoppedError:
        return None
    except TrainingError as error:
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
