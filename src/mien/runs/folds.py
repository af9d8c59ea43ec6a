"""Out-of-fold predictions by cross-validation: no model is trained on samples that it predicts, or on copies of them.

    <folder>/fold-1/ ... fold-5/               one run for each fold, trained on the other folds
                     predictions_out-of-fold.npz  its predictions on its own fold
    <folder>/predictions_out-of-fold.npz       all predictions

Train and validation are split into folds that keep groups (or copies) together and have similar shares of each class. A
tenth of each fold's training samples is used to choose the epoch and to fit the temperature. Thus no sample influences
its own prediction. The test split is never used. ``mien train --folds K`` trains each fold's model on all samples of
the other folds. ``mien audit`` uses only those of train, so that no validation label influences predictions on train.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.arrays import Bools, Ints
from mien.base.errors import DataError, RecipeError, RunError, StoppedError
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.data.splits import check_class_groups, cut_groups, deal_groups
from mien.evaluation.estimates import evaluate_predictions, evaluate_subsets
from mien.evaluation.predictions import Predictions, RatedValues, read_predictions, write_predictions
from mien.evaluation.results import BreakDown, Evaluation
from mien.inference.predictor import Predictor
from mien.models.registry import completed, starts_from_scratch
from mien.pipeline.split_predictions import predict_split
from mien.pipeline.training_run import run_recipe
from mien.training.callback import Callback
from mien.training.heads import target_fingerprints
from mien.training.plan import plan_training
from mien.training.state import check_network, file_digest

VALIDATION_FOLDS = 10
"""One in so many training samples of a fold is used for validation instead."""

FOLDS = 5
"""Number of folds of an audit."""

SPLIT = "out-of-fold"
"""Name of the split in the predictions file."""


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """The samples that each fold's model predicts, and the samples that it is trained on.

    Attributes:
        groups: int64 (N,), group of each sample. A group is never divided between folds.
        fold_of: int64 (N,), 0..count-1, fold of each sample; -1 for test samples, which are not predicted.
        trained_on: bool (N,), samples that models of other folds may be trained on.
    """

    faces: Dataset
    groups: Ints
    fold_of: Ints
    trained_on: Bools

    @property
    def count(self) -> int:
        """Number of folds."""
        return int(self.fold_of.max()) + 1

    def held_out(self, fold: int) -> Dataset:
        """Return the samples of a fold."""
        return self.faces.subset(np.flatnonzero(self.fold_of == fold))

    def training(self, fold: int) -> Dataset:
        """Return the training data of a fold's model, including its validation split. Groups stay together."""
        others = np.flatnonzero((self.fold_of >= 0) & (self.fold_of != fold) & self.trained_on)
        validates = cut_groups(self.groups[others], self.faces.labels[others], share=1 / VALIDATION_FOLDS)
        # Drop the fingerprints of cleaned data, because this validation split is not the data's own.
        return replace(self.faces.subset(others), split=np.where(validates, "validation", "train"), cleaned_from=())


def make_folds(faces: Dataset, groups: Ints, count: int, *, only_train: bool = False) -> FoldPlan:
    """Assign train and validation to folds; with ``only_train``, no model is trained on validation samples."""
    predicted = faces.split != "test"
    fold_of = np.full(len(faces), -1, dtype=np.int64)
    fold_of[predicted] = deal_groups(groups[predicted], faces.labels[predicted], count)
    return FoldPlan(faces, groups, fold_of, faces.split == "train" if only_train else predicted)


def check_groups(faces: Dataset, groups: Ints, count: int) -> None:
    """Raise a DataError if there are fewer groups than ``count`` folds, or one holds every face of a class."""
    predicted = faces.split != "test"
    own, labels = groups[predicted], faces.labels[predicted]
    found = len(np.unique(own))
    if count not in range(2, found + 1):
        words = f"--folds {count}: train and validation have {found:,} groups. Give 2 to {found} folds."
        raise DataError(words, code="options")
    names = np.unique(faces.columns[faces.group_column])[own] if faces.group_column else own
    check_class_groups(names, labels, faces.classes, named=bool(faces.group_column))


def predict_folds(
    recipe: Recipe, folds: FoldPlan, folder: Path, *, callback: Callback | None = None, notify: Callable[[str], None],
    environment: Mapping[str, Any] | None = None, init_from: RunFolder | None = None, device: str = "auto",
    advice: str = "",
) -> Predictions:  # fmt: skip
    """Train one model per fold, unless it is finished in ``folder``, and return predictions for train and validation.

    Raises as :func:`mien.pipeline.training_run.run_recipe`, and before any training if one fold cannot be trained.
    """
    faces = folds.faces
    _check_folds(recipe, folds, folder, init_from)
    parts = []
    for fold in range(folds.count):
        run = RunFolder(folder / f"fold-{fold + 1}")
        # _check_folds has already refused folds that were started with other data.
        if not (run.is_run and run.predictions(SPLIT).is_file()):
            notify(f"fold {fold + 1} of {folds.count}: {run.path}")
            result = run_recipe(
                plan_training(recipe, folds.training(fold)),
                run,
                resume=run.is_run,
                init_from=init_from,
                callback=callback,
                metadata=environment,
                device=device,
            )
            if result.was_stopped:
                raise StoppedError(f"Stopped; finished folds are kept in {folder}.", advice, code="stopped")
            held_out = folds.held_out(fold)
            unseen = replace(held_out, split=np.full(len(held_out), "test"))
            predictions = predict_split(Predictor(run.model).for_labels(), unseen, "test")
            fingerprint = faces.fingerprint_for_predictions(SPLIT)
            write_predictions(run.predictions(SPLIT), replace(predictions, split=SPLIT, data_fingerprint=fingerprint))
        parts.append(read_predictions(run.predictions(SPLIT)))
    sample_ids = np.concatenate([each.sample_ids for each in parts])
    rated = [each.rated for each in parts if each.rated is not None]
    joined = [np.concatenate([getattr(each, name) for each in rated]) for name in ("values", "ratings") if rated]
    together = Predictions(
        sample_ids=sample_ids,
        labels=np.concatenate([each.labels for each in parts]),
        probabilities=np.concatenate([each.probabilities for each in parts]),
        classes=parts[0].classes,
        split=SPLIT,
        data_fingerprint=faces.fingerprint_for_predictions(SPLIT),
        groups=None if faces.groups is None else faces.groups[faces.places(sample_ids)],
        rated=RatedValues(rated[0].names, *joined) if len(rated) == len(parts) else None,
    )
    write_predictions(RunFolder(folder).predictions(SPLIT), together)
    return together


def check_audited(recipe: Recipe, faces: Dataset) -> None:
    """Raise RecipeError or DataError, before the slow search for copies, for what an audit cannot train or measure."""
    scheme = parse_scheme(recipe.classes)
    if scheme is not None and set(scheme.classes) != set(faces.classes):
        words = f"A label review needs all classes of the data; the recipe '{recipe.name}' has '{recipe.classes}'."
        raise RecipeError(words, code="not-auditable")
    absent = [name for name, count in zip(faces.classes, faces.counts("train"), strict=True) if not count]
    if absent:
        words = f"The train split has no samples of the class '{absent[0]}'. Remove its samples, or give --predictions."
        raise DataError(words, code="not-auditable")
    check_network(recipe, len(faces.classes))


def _check_folds(recipe: Recipe, folds: FoldPlan, folder: Path, init_from: RunFolder | None) -> None:
    """Check all folds before training the first, because a failure in a later fold would cost hours."""
    start = None if init_from is None else file_digest(init_from.best)
    digest = completed(recipe).digest
    for fold in range(folds.count):
        run, training = RunFolder(folder / f"fold-{fold + 1}"), folds.training(fold)
        try:
            plan_training(recipe, training)
        except DataError as error:
            raise DataError(f"Fold {fold + 1} of {folds.count} cannot be trained. {error}", code=error.code) from None
        if not (run.best.is_file() or run.predictions(SPLIT).is_file()):
            continue  # nothing is trained yet; a killed process may have left half of the first files
        environment = run.read_environment()
        begun = environment.get("started_from")
        # Without --from, a pretrained network starts from the weights that the recipe names.
        names_start = init_from is not None or starts_from_scratch(recipe.model)
        targets, data = target_fingerprints(recipe, training), str(environment.get("data_fingerprint"))
        for differs, what in (
            (completed(run.read_recipe()).digest != digest, "another recipe"),
            (not training.matches_training_data(data), "other data or another number of folds"),
            (environment | targets != environment, "other votes or ratings"),
            (begun != start and names_start, "another --from"),
        ):
            if differs:
                words = f"{run.path} was started with {what}. Give the same, or another --out."
                raise RunError(words, code="run-other")


def measure_folds(predictions: Predictions, folds: FoldPlan) -> Evaluation:
    """Compute metrics of out-of-fold predictions, for all folds together and for each fold."""
    kept = {"all folds": np.ones(len(predictions), dtype=np.bool_)}
    for fold in range(folds.count):
        kept[f"fold {fold + 1}"] = np.isin(predictions.sample_ids, folds.held_out(fold).rows)
    return replace(evaluate_predictions(predictions), by=BreakDown("fold", tuple(evaluate_subsets(predictions, kept))))
