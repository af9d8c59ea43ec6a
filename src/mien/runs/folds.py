"""Out-of-fold predictions: cross-validation in which no model is trained on its samples or on copies of them.

    <folder>/fold-1/ ... fold-5/               one run for each fold, trained on the other folds
                     predictions_out-of-fold.npz  its predictions on its own fold
    <folder>/predictions_out-of-fold.npz       all predictions

Train and validation are split into folds that keep groups (or copies) together. A tenth of the samples that a fold may
train on choose its epoch and its temperature instead, so no sample influences its own prediction. The test split is
never used. Two uses:

- ``mien audit``: the model of a fold is trained on the train samples of the other folds, so that no label of validation
  influences predictions on train.
- ``mien train --folds K``: it is trained on all samples of the other folds, and each class has the same share in every
  fold as far as the groups allow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.balance import balanced_counts
from mien.data.dataset import Dataset
from mien.errors import DataError, RecipeError, RunError
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions
from mien.evaluation.temperature import FOLDS, assign_folds
from mien.inference.onnx_classifier import BATCH
from mien.inference.predictor import Predictor
from mien.labels import parse_scheme
from mien.models.registry import build_model, completed, starts_from_scratch
from mien.pipeline.split_predictions import with_model_classes
from mien.pipeline.training_run import run_recipe
from mien.progress import slices, track
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.training.callback import Callback
from mien.training.plan import TrainingPlan, plan_training
from mien.training.state import check_network, file_digest

VALIDATION_FOLDS = 10
"""One in so many training samples of a fold is used for validation instead."""

SPLIT = "out-of-fold"
"""Name of the split in the predictions file."""

ProgressView = Callable[[TrainingPlan], AbstractContextManager[Callback]]


class Folds:
    """Which samples the model of each fold predicts, and which it is trained on."""

    def __init__(self, faces: Dataset, groups: npt.NDArray[np.int64]) -> None:
        self._faces, self._groups = faces, groups
        self._predicted = np.flatnonzero(faces.split != "test")
        self._fold_of = self._assign()
        self.count: int = int(self._fold_of.max()) + 1

    def _assign(self) -> npt.NDArray[np.int64]:
        return assign_folds(self._groups[self._predicted], FOLDS)

    def held_out(self, fold: int) -> Dataset:
        """The samples of train and validation in a fold."""
        return self._faces.subset(self._predicted[self._fold_of == fold])

    def training(self, fold: int) -> Dataset:
        """The train samples of the other folds; some of them are the validation split. Copies stay together."""
        others = self._predicted[self._fold_of != fold]
        train = others[self._faces.split[others] == "train"]
        validates = assign_folds(self._groups[train], VALIDATION_FOLDS) == 0
        # This validation split is not that of the data, cleaned or not.
        return replace(self._faces.subset(train), split=np.where(validates, "validation", "train"), cleaned_from=())


def cross_val_predictions(
    recipe: Recipe,
    faces: Dataset,
    groups: npt.NDArray[np.int64],
    folder: Path,
    *,
    progress: ProgressView,
    notify: Callable[[str], None],
    environment: Mapping[str, Any] | None = None,
) -> Predictions | None:
    """The out-of-fold predictions of an audit: as :func:`predict_folds`, with :data:`FOLDS` folds.

    Args:
        recipe: with all classes of the data.
        faces: all of the data, at the image size of the recipe.
        groups: int64 (N,), group ids: copies share one, and a fold.
        folder: output folder.
        progress: as in :func:`predict_folds`.
        notify: likewise.
        environment: likewise.

    Raises:
        MienError: as :func:`check_recipe` and :func:`predict_folds`.
    """
    check_recipe(recipe, faces, folder)
    return predict_folds(
        recipe, faces, Folds(faces, groups), folder, progress=progress, notify=notify, environment=environment
    )


def predict_folds(
    recipe: Recipe,
    faces: Dataset,
    folds: Folds,
    folder: Path,
    *,
    progress: ProgressView,
    notify: Callable[[str], None],
    environment: Mapping[str, Any] | None = None,
    init_from: RunFolder | None = None,
    device: str = "auto",
) -> Predictions | None:
    """Train one model for each fold and gather their predictions on the samples that they did not see.

    Finished folds in the folder are kept: the same call resumes after an interruption.

    Args:
        recipe: what to train.
        faces: all of the data, at the image size of the recipe.
        folds: of these faces.
        folder: output folder.
        progress: makes the callback of a training run, such as a progress display.
        notify: called with one line at the start of each fold.
        environment: for environment.json and the report of each run.
        init_from: a run whose weights are the initial weights of every fold.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns:
        Predictions on all samples of train and validation; None if a run was interrupted.

    Raises:
        MienError: as :func:`mien.pipeline.training_run.run_recipe`.
        DataError, RunError: a fold cannot be trained, or was started on other data or weights; nothing is trained.
    """
    _check_folds(recipe, folds, folder, init_from)
    parts = []
    for fold in range(folds.count):
        run = RunFolder(folder / f"fold-{fold + 1}")
        held_out, training = folds.held_out(fold), folds.training(fold)
        # A label scheme may drop samples.
        expected = held_out.with_scheme(parse_scheme(recipe.classes)).rows
        predictions = _finished(run, training, expected, faces.fingerprint_for_predictions(SPLIT))
        if predictions is None:
            notify(f"fold {fold + 1} of {folds.count}: {run.path}")
            plan = plan_training(recipe, training)
            with progress(plan) as callback:
                result = run_recipe(
                    plan,
                    run,
                    resume=run.is_run,
                    init_from=init_from,
                    callback=callback,
                    metadata=environment,
                    device=device,
                )
            if result.outcome.was_stopped:
                return None
            classifier = Predictor(run.model).for_labels()
            predictions = _predict(classifier, held_out, faces.fingerprint_for_predictions(SPLIT))
            write_predictions(run.predictions(SPLIT), predictions)
        parts.append(predictions)
    sample_ids = np.concatenate([each.sample_ids for each in parts])
    together = Predictions(
        sample_ids=sample_ids,
        labels=np.concatenate([each.labels for each in parts]),
        probabilities=np.concatenate([each.probabilities for each in parts]),
        classes=parts[0].classes,
        split=SPLIT,
        data_fingerprint=faces.fingerprint_for_predictions(SPLIT),
        groups=None if faces.groups is None else faces.groups[faces.places(sample_ids)],
    )
    write_predictions(RunFolder(folder).predictions(SPLIT), together)
    return together


def check_recipe(recipe: Recipe, faces: Dataset, folder: Path) -> None:
    """Refuse recipes and data that cannot be used, before the slow search for copies. Faces may have any size.

    Raises:
        RecipeError: the recipe merges or drops classes, or its network cannot be built.
        DataError: there is no train split, or it has no samples of some class.
        ModelError: pretrained weights are missing, damaged or another network's, or cannot be downloaded.
        RunError: a fold in the folder was started with another recipe.
    """
    scheme = parse_scheme(recipe.classes)
    if scheme is not None and set(scheme.classes) != set(faces.classes):
        raise RecipeError(
            f"The recipe '{recipe.name}' merges or drops classes ({recipe.classes}). A label review needs all classes "
            "of the data: choose a recipe with classes = 'all'.",
            code="recipe-merges-classes",
        )
    if not (faces.split == "train").any():
        raise DataError(
            "Out-of-fold predictions need a train split; the data has none. Give --predictions FILE instead.",
            code="no-train-split",
        )
    absent = [name for name, count in zip(faces.classes, faces.counts("train"), strict=True) if not count]
    if absent:
        raise DataError(
            f"The train split has no samples of the class '{absent[0]}', so no model can predict it. Rename the class "
            f"with --map, remove its samples, or move some of them into train.",
            code="class-missing-in-train",
        )
    check_network(recipe, len(faces.classes))
    check_fold_runs(recipe, len(faces.classes), folder, FOLDS)


def check_fold_runs(recipe: Recipe, class_count: int, folder: Path, count: int) -> None:
    """Refuse pretrained weights that cannot be had, and folds that were started with another recipe.

    Raises:
        ModelError, RunError: see :func:`check_recipe`.
    """
    runs = [RunFolder(folder / f"fold-{fold + 1}") for fold in range(count)]
    if not all(run.last.is_file() for run in runs):
        build_model(recipe.model, class_count, *recipe.input.seen_as).load_pretrained()
    digest = completed(recipe).digest
    for run in runs:
        if run.is_run and completed(run.read_recipe()).digest != digest:
            raise RunError(
                f"{run.path} was started with another recipe. Give that recipe, or choose another folder with --out.",
                code="other-recipe",
            )


def training_size(faces: Dataset, recipe: Recipe) -> int:
    """Approximate number of training faces of one fold, after class balancing."""
    fraction = (1 - 1 / FOLDS) * (1 - 1 / VALIDATION_FOLDS)
    # A limit for each class holds for what the folds leave.
    limit = round(recipe.balance.faces_per_class / fraction)
    balance = recipe.balance.model_copy(update={"faces_per_class": limit})
    return int(balanced_counts(faces.counts("train"), balance).sum() * fraction)


def _check_folds(recipe: Recipe, folds: Folds, folder: Path, init_from: RunFolder | None) -> None:
    """Refuse before the first fold what would fail in a later one, hours later, and finished folds of another start."""
    start = None if init_from is None else file_digest(init_from.best)
    for fold in range(folds.count):
        run, training = RunFolder(folder / f"fold-{fold + 1}"), folds.training(fold)
        try:
            plan_training(recipe, training)
        except DataError as error:
            raise DataError(f"Fold {fold + 1} of {folds.count} cannot be trained. {error}", code=error.code) from None
        if run.is_run and not training.matches_training_data(str(run.read_environment().get("data_fingerprint"))):
            raise RunError(
                f"{run.path} was started on other data. Choose another folder with --out.", code="other-data"
            )
        begun = run.read_environment().get("started_from") if run.is_run else start
        # Without --from, pretrained weights are those that the recipe names.
        if begun != start and (init_from is not None or starts_from_scratch(recipe.model)):
            raise RunError(
                f"{run.path} began with {begun or 'random weights'}. Give the same --from, or choose another folder "
                f"with --out.",
                code="run-other-start",
            )


def _finished(
    run: RunFolder, training: Dataset, expected: npt.NDArray[np.int64], fingerprint: str
) -> Predictions | None:
    """The predictions of a finished fold; None if it is not finished, or is of other samples or data."""
    file = run.predictions(SPLIT)
    if not run.is_run or not file.is_file():
        return None
    predictions = read_predictions(file)
    same = predictions.data_fingerprint == fingerprint and np.array_equal(predictions.sample_ids, expected)
    return (
        predictions
        if same and run.read_environment().get("data_fingerprint") == training.fingerprint_without_test
        else None
    )


def _predict(classifier: Predictor, held_out: Dataset, fingerprint: str) -> Predictions:
    faces = with_model_classes(classifier, held_out)
    batches = slices(len(faces), BATCH)
    shown = track(batches, len(batches), "predicting the fold", "batches")
    return Predictions(
        sample_ids=faces.rows,
        labels=faces.labels,
        probabilities=np.concatenate([classifier.probabilities(faces.images[batch]) for batch in shown]),
        classes=classifier.classes,
        split=SPLIT,
        data_fingerprint=fingerprint,
        temperature=classifier.manifest.temperature,
    )
