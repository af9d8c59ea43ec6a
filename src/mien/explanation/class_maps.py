"""Where a model looks on average: by class, over the faces it got right and those it got wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import DataError


@dataclass(frozen=True, eq=False)
class ClassMaps:
    """Mean maps of one true class.

    Attributes:
        name: the class.
        right, wrong: float32 (S, S), mean over the faces that were predicted as the class, and over those that were
            not; None where there is no such face.
        right_count, wrong_count: how many faces each is of.
    """

    name: str
    right: npt.NDArray[np.float32] | None
    wrong: npt.NDArray[np.float32] | None
    right_count: int
    wrong_count: int


def average_maps(
    maps: npt.NDArray[np.float32],
    labels: npt.NDArray[np.int64],
    predictions: npt.NDArray[np.int64],
    classes: tuple[str, ...],
) -> list[ClassMaps]:
    """Mean map of each true class over right and over wrong faces.

    Each map is first divided by its largest absolute value: gradients differ by orders of magnitude between faces,
    and the mean would be of the few largest.

    Args:
        maps: float (N, S, S).
        labels: int64 (N,), true classes.
        predictions: int64 (N,), predicted classes.
        classes: C names.

    Returns:
        C entries, in the order of the classes.

    Raises:
        DataError: numbers of maps, labels and predictions that differ.
    """
    if not len(maps) == len(labels) == len(predictions):
        raise DataError(
            f"{len(maps)} maps, {len(labels)} labels and {len(predictions)} predictions do not match.",
            code="maps-shape",
        )
    largest = np.abs(maps).max(axis=(1, 2), keepdims=True, initial=0)
    scaled = np.divide(maps, largest, out=np.zeros(maps.shape, dtype=np.float32), where=largest > 0)

    def mean_over(chosen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32] | None:
        return scaled[chosen].mean(axis=0) if chosen.any() else None

    averages = []
    for index, name in enumerate(classes):
        right = (labels == index) & (predictions == index)
        wrong = (labels == index) & (predictions != index)
        averages.append(ClassMaps(name, mean_over(right), mean_over(wrong), int(right.sum()), int(wrong.sum())))
    return averages
