"""Whether data and a model belong to given predictions. No torch."""

from __future__ import annotations

import numpy as np

from mien.data.dataset import SPLITS, Dataset
from mien.errors import DataError
from mien.evaluation.predictions import LARGEST_DIFFERENCE, Predictions
from mien.inference.predictor import Predictor
from mien.labels import SCHEMES

CHECKED_SAMPLES = 64
"""Samples on which a model is compared with its predictions."""


def faces_of_predictions(faces: Dataset, predictions: Predictions) -> Dataset:
    """The data under the classes of the predictions, by renaming or by a named label scheme.

    Two schemes may have the same classes, as both binary ones do: the first one that matches is used.

    Raises:
        DataError: classes, samples or labels differ.
    """
    misfit: DataError | None = None
    schemes = [None, *(scheme for scheme in SCHEMES.values() if set(scheme.classes) == set(predictions.classes))]
    for scheme in schemes:
        try:
            renamed = faces.with_scheme(scheme).with_classes(predictions.classes)
        except DataError:
            continue
        try:
            match_faces(renamed, predictions)
        except DataError as error:
            misfit = misfit or error
            continue
        return renamed
    raise misfit or DataError(
        f"The predictions have the classes {', '.join(predictions.classes)}; the data has {', '.join(faces.classes)}. "
        f"Rename classes of the data with --map, or give the data of the predictions.",
        code="classes-differ",
    )


def check_fingerprint(faces: Dataset, predictions: Predictions) -> None:
    """Check that predictions are for this data, whatever size it was read at. Without a fingerprint they pass.

    Raises:
        DataError: the fingerprints differ.
    """
    found = faces.fingerprint_for_predictions(predictions.split)
    if predictions.data_fingerprint not in {"", found} and not faces.is_of(predictions.data_fingerprint):
        raise DataError(
            f"The predictions are for data {predictions.data_fingerprint[:19]}...; found {found[:19]}.... "
            f"Give the data of the predictions, with the same --clean and --map.",
            code="data-differs",
        )


def match_faces(faces: Dataset, predictions: Predictions) -> Dataset:
    """The faces of the predictions, in their order, from data under the same classes.

    Raises:
        DataError: samples or labels differ.
    """
    if predictions.split in SPLITS:
        faces = faces.of_split(predictions.split)
        lone = np.setxor1d(faces.rows, predictions.sample_ids)
    else:
        lone = np.setdiff1d(predictions.sample_ids, faces.rows)
    if len(lone):
        raise DataError(
            f"Predictions and data must have the same samples; found {len(predictions)} predictions for "
            f"'{predictions.split}' and {len(faces)} faces. {len(lone)} samples are in one of the two only, such as "
            f"sample {lone[0]}.",
            code="samples-differ",
        )
    chosen = faces.subset(faces.places(predictions.sample_ids))
    other = np.flatnonzero(chosen.labels != predictions.labels)
    if len(other):
        first = other[0]
        raise DataError(
            f"Predictions and data must have the same labels; sample {predictions.sample_ids[first]} is "
            f"{predictions.classes[predictions.labels[first]]} in the predictions and "
            f"{predictions.classes[chosen.labels[first]]} in the data. Samples that differ: {len(other)}.",
            code="labels-differ",
        )
    return chosen


def holds_test(predictions: Predictions, chosen: Dataset | None) -> bool:
    """Whether a sample is of the test split, by the predictions' split or by the split of the faces."""
    return predictions.split == "test" or (chosen is not None and bool((chosen.split == "test").any()))


def check_model(model: Predictor, chosen: Dataset, predictions: Predictions) -> float | None:
    """Check that a model made the predictions, on some samples outside the test split.

    Args:
        model: with the classes of the predictions.
        chosen: the faces of the predictions, in their order.
        predictions: made at temperature 1 or at the model's own.

    Returns:
        The temperature at which the predictions were made; None if all samples are of the test split.

    Raises:
        DataError: the model predicts otherwise.
    """
    checkable = np.flatnonzero((chosen.split != "test") & (predictions.split != "test"))
    if not len(checkable):
        return None
    some = checkable[np.unique(np.linspace(0, len(checkable) - 1, CHECKED_SAMPLES).astype(np.int64))]
    stored = predictions.probabilities[some]
    gaps = {
        temperature: np.abs(model.probabilities(chosen.images[some], temperature) - stored).max(axis=1)
        for temperature in (1.0, model.manifest.temperature)
    }
    temperature, gap = min(gaps.items(), key=lambda each: float(each[1].max()))
    if gap.max() > LARGEST_DIFFERENCE and predictions.note:
        raise DataError(
            f"The predictions are {predictions.note}; without test-time augmentation the model "
            f"'{model.manifest.full_name}' gives other ones. Report without a model: mien report --predictions FILE",
            code="model-did-not-predict",
        )
    if gap.max() > LARGEST_DIFFERENCE:
        raise DataError(
            f"The model '{model.manifest.full_name}' did not make the predictions: of {len(some)} samples that were "
            f"predicted again, {(gap > LARGEST_DIFFERENCE).sum()} differ, by up to {gap.max():.2g}. Give the model "
            f"that made them, or none.",
            code="model-did-not-predict",
        )
    return temperature
