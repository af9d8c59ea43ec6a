"""Metrics without leaked samples: which samples of a split have a copy that was seen before. No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.checks.copies import in_conflict, leaked
from mien.data.copy_groups import near_copy_groups
from mien.data.dataset import Dataset
from mien.data.splits import group_identical
from mien.evaluation.estimates import evaluate_subsets
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import SubsetMetrics
from mien.inference.predictor import Predictor

ALL_SAMPLES = "all samples"
WITHOUT_LEAKED = "without leaked samples"


def without_copies(faces: Dataset, predictions: Predictions, resamples: int = 1000) -> list[SubsetMetrics]:
    """Metrics on all samples, on those without leakage, and on those without conflicting copies.

    Args:
        faces: as :func:`subset_masks`.
        predictions: for one split, under any classes. Of another split than validation and test nothing is leaked,
            and the result is empty.
        resamples: bootstrap resamples behind each interval.
    """
    return evaluate_subsets(predictions, subset_masks(faces, predictions), resamples)


def subset_masks(faces: Dataset, predictions: Predictions) -> dict[str, npt.NDArray[np.bool_]]:
    """Which samples are in the subsets of :func:`without_copies`: bool (N,) by name; empty where it is.

    A validation sample is leaked if an identical image or a near-copy is in train; a test sample, if one is in train or
    validation. A sample has a conflicting copy if an identical image, of whatever split, has another label. Where the
    data has groups that its splits cut apart, the samples of groups that were not trained on are measured too.

    Args:
        faces: all of the data that the model was trained on and that ``predictions`` are for. Under the model's own
            classes: a label scheme that merges its predictions may drop copies that it was trained on. Under the data's
            classes if the model is unknown.
        predictions: N samples of one split.
    """
    if predictions.split not in {"validation", "test"}:
        return {}
    if predictions.split == "validation":
        # The result for validation must not depend on whether the test split is at hand.
        faces = faces.subset(faces.split != "test")
    images = np.asarray(faces.images)
    groups = faces.groups
    places = faces.places(predictions.sample_ids)
    kept = {
        ALL_SAMPLES: np.ones(len(predictions), dtype=np.bool_),
        WITHOUT_LEAKED: ~leaked(near_copy_groups(images), faces.split)[places],
        "without conflicting copies": ~in_conflict(group_identical(images), faces.labels)[places],
    }
    if groups is not None and (known := leaked(groups, faces.split)[places]).any():
        kept[f"without groups seen before ({faces.group_column})"] = ~known
    return kept


def leaked_identical(faces: Dataset, predictions: Predictions) -> npt.NDArray[np.bool_]:
    """Which samples have an identical image in an earlier split; arguments as :func:`subset_masks`: bool (N,)."""
    return leaked(group_identical(faces.images), faces.split)[faces.places(predictions.sample_ids)]


def leakage_reference(models: Sequence[Predictor], faces: Dataset, uncleaned: Dataset | None) -> Dataset:
    """The faces in which :func:`without_copies` looks for copies.

    A model that was not trained on the cleaned data may have been trained on what the list of changes drops. So this is
    the data before cleaning, unless every model was trained on the cleaned data.

    Args:
        models: the models that are measured; none if they are unknown.
        faces: all of the data, as it was read and cleaned.
        uncleaned: the same before it was cleaned; None if nothing was cleaned.
    """
    if uncleaned is None or (
        models and all(faces.matches_training_data(model.manifest.data_fingerprint) for model in models)
    ):
        return faces
    return uncleaned
