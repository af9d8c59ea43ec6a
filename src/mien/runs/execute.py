"""One run of a study: train or resume it, then store its predictions and record, or why it failed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mien.base.errors import StoppedError, TrainingError
from mien.base.model_file import read_manifest
from mien.base.run_folder import RunFolder, best_epoch
from mien.data.dataset import Dataset
from mien.evaluation.corruptions import corrupt_mixed
from mien.evaluation.predictions import Predictions, read_predictions
from mien.inference.predictor import Predictor
from mien.pipeline.split_predictions import predict_split
from mien.pipeline.training_run import run_recipe
from mien.runs.plan import FacesByForm, PlannedRun, folder_of
from mien.runs.store import RECORD, CompletedRun, RunRecord, keep_result, read_run
from mien.training.callback import Callback, HistoryLine
from mien.training.device import threads
from mien.training.plan import plan_training


@dataclass(frozen=True)
class StudyContext:
    """What every run of a study needs to know.

    Attributes:
        faces_by_form: the data.
        out: run folders go to ``out/runs``.
        results: where finished runs are kept; see :mod:`mien.runs.store`.
        metadata: for environment.json.
    """

    faces_by_form: FacesByForm
    out: Path
    results: Path
    metadata: Mapping[str, Any]


def execute(
    run: PlannedRun,
    context: StudyContext,
    on_epoch: Callable[[int], None],
    must_stop: Callable[[], bool],
) -> CompletedRun | None:
    """Train and keep one run. What is kept of it already stays: then it is trained for its weights alone.

    Args:
        run: its parent's folder must hold weights.
        context: data and folders.
        on_epoch: called with the number of finished epochs.
        must_stop: whether to end at the next step.

    Returns:
        What is kept, or None where it was stopped.

    Raises:
        MienError: as :func:`mien.pipeline.training_run.run_recipe`; a loss that is not a number is kept as a failed
            run.
    """
    folder = folder_of(run, context.out)
    faces = context.faces_by_form[run.form]
    start = run.model if run.parent is None else folder_of(run.parent, context.out)
    failed = ""
    if folder.best.is_file() and not folder.last.is_file():
        # A finished run has nothing to resume: where it is needed once more, it is trained again.
        shutil.rmtree(folder.path)
    try:
        result = run_recipe(
            plan_training(run.recipe, faces),
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
    kept = read_run(results) if (results / RECORD).is_file() else None
    if kept is None or not kept.is_complete(run.corrupted):
        predictions = {} if failed else _predictions(run, faces, folder)
        kept = keep_result(context.results, run.folder_name, _record(run, failed, folder), folder, predictions)
    # It serves --resume alone, and is the largest file by far; without it the folder counts as finished.
    folder.last.unlink(missing_ok=True)
    return kept


def without_parent(run: PlannedRun, known: Mapping[str, CompletedRun], context: StudyContext) -> CompletedRun | None:
    """A run whose parent could not be trained is kept as failed; None where it can begin."""
    parent = None if run.parent is None else known.get(run.parent.key)
    if run.parent is None or parent is None or not parent.record.failed:
        return None
    folder = folder_of(run, context.out)
    failed = f"It starts from {run.parent.variant}, seed {run.parent.recipe.seed}, which could not be trained."
    return keep_result(context.results, run.folder_name, _record(run, failed, folder), folder, {})


def _predictions(run: PlannedRun, faces: Dataset, folder: RunFolder) -> dict[bool, Predictions]:
    """On validation, by whether its images are corrupted."""
    # Validation is never cleaned: the predictions of all variants are of the same data.
    found = replace(read_predictions(folder.predictions("validation")), data_fingerprint=run.data_fingerprint)
    return {False: found, True: _corrupted(run, faces, folder)} if run.corrupted else {False: found}


def _corrupted(run: PlannedRun, faces: Dataset, folder: RunFolder) -> Predictions:
    # The whole split: a face is corrupted in one way, whichever classes a run leaves out.
    validation = faces.of_split("validation")
    corrupted = replace(validation, images=corrupt_mixed(validation.images))
    found = predict_split(Predictor(folder.model).for_labels(), corrupted, "validation")
    return replace(found, data_fingerprint=run.data_fingerprint, note="each image corrupted (corrupt_mixed, seed 0)")


def _record(run: PlannedRun, failed: str, folder: RunFolder) -> RunRecord:
    history = folder.read_history()
    environment = folder.read_environment() if folder.is_run else {}
    return RunRecord(
        key=run.key,
        variant=run.variant,
        seed=run.recipe.seed,
        recipe_digest=run.recipe.digest,
        data_fingerprint=run.data_fingerprint,
        started_from=run.start_digest if run.parent is None else run.parent.key,
        train_faces=run.train_faces,
        epochs=len(history),
        best_epoch=best_epoch(history, run.recipe) if history else 0,
        seconds=history[-1]["seconds"] if history else 0.0,
        threads=threads(),
        parameters=0 if failed else read_manifest(folder.model).parameters,
        failed=failed,
        cleaned=run.cleaned,
        cleaned_fingerprint=run.cleaned_fingerprint,
        machine={name: str(environment[name]) for name in ("machine", "device", "torch") if name in environment},
    )


class _Callback(Callback):
    """Reports epochs, and stops the run when the study does."""

    def __init__(self, on_epoch: Callable[[int], None], must_stop: Callable[[], bool]) -> None:
        self._on_epoch = on_epoch
        self._must_stop = must_stop

    def should_stop(self) -> bool:
        """See :class:`mien.training.callback.Callback`."""
        return self._must_stop()

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.callback.Callback`."""
        self._on_epoch(int(metrics["epoch"]))
