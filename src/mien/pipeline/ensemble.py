"""Ensembles: the mean of several models' probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mien.data.dataset import Dataset
from mien.errors import DataError
from mien.evaluation.averaging import average_predictions
from mien.evaluation.predictions import Predictions
from mien.inference.predictor import Predictor
from mien.pipeline.split_predictions import fitted_on, predict_split, temperature_description, with_model_classes

Member = tuple[Predictor, Dataset]
"""A model, and the data at its input size."""


def check_members(members: Sequence[Member]) -> None:
    """Check that all models have the same classes, and the data no others. Raises :class:`DataError`."""
    first = members[0][0]
    for predictor, faces in members:
        if set(predictor.classes) != set(first.classes):
            raise DataError(
                f"Only models with the same classes can be averaged; {first.manifest.full_name} has "
                f"{', '.join(first.classes)}, {predictor.manifest.full_name} has {', '.join(predictor.classes)}.",
                code="ensemble-classes-differ",
            )
        with_model_classes(predictor, faces)


def predict_ensemble(
    members: Sequence[Member], split: str, views: int = 1, temperature: float | None = None
) -> Predictions:
    """The mean of the models' probabilities for each face of a split, each with its own temperature.

    Args:
        members: at least one, all with the same data.
        split: train, validation or test.
        views: how many views of each face each model averages.
        temperature: as in :func:`mien.pipeline.split_predictions.predict_split`.

    Raises:
        DataError: as :func:`mien.pipeline.split_predictions.predict_split`; models with different classes.
    """
    first, *others = (predict_split(predictor, faces, split, views, temperature) for predictor, faces in members)
    if not others:
        return first
    # Faces of another size have another fingerprint; samples and labels are still compared.
    mean = average_predictions([first, *(replace(each, data_fingerprint="") for each in others)])
    names = ", ".join(predictor.manifest.full_name for predictor, _ in members)
    return replace(
        mean, note=f"the mean of {len(members)} models ({names})" + (f", {first.note}" if first.note else "")
    )


def temperatures_description(members: Sequence[Member], split: str) -> str:
    """In words, what :func:`predict_ensemble` did with the models' temperatures."""
    if len(members) == 1:
        return temperature_description(*members[0], split)
    if all(fitted_on(predictor, faces, split) for predictor, faces in members):
        return "without the models' temperatures, which were fitted on these samples"
    return "; ".join(
        f"{predictor.manifest.full_name} {temperature_description(predictor, faces, split)}"
        for predictor, faces in members
    )
