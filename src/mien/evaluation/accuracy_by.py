"""Accuracy as a function of a value per sample, such as vote entropy, brightness or sharpness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.sample_groups import Groups
from mien.evaluation.calibration import equal_mass_bins
from mien.evaluation.intervals import proportion_among
from mien.evaluation.metrics import Floats
from mien.evaluation.results import Estimate, JsonResult


@dataclass(frozen=True)
class ValueBin(JsonResult):
    """The samples with a value in one range.

    Attributes:
        low: the smallest value in the bin.
        high: the greatest value.
        mean: the mean value.
        count: samples in the bin, at least 1.
        accuracy: fraction of correct predictions, with its 95% Wilson interval.
    """

    low: float
    high: float
    mean: float
    count: int
    accuracy: Estimate


@dataclass(frozen=True)
class AccuracyBy(JsonResult):
    """Accuracy in bins of a value, ascending; without empty bins.

    Attributes:
        bins: the bins.
        missing: samples without a finite value, which are in no bin.
    """

    bins: tuple[ValueBin, ...]
    missing: int


def accuracy_by(
    values: npt.NDArray[Any],
    correct: npt.NDArray[np.bool_],
    bins: int = 5,
    groups: Groups | None = None,
) -> AccuracyBy:
    """Accuracy in each bin of a value.

    Args:
        values: float or integers (N,), one per sample.
        correct: bool (N,), whether the sample was predicted correctly.
        bins: the number of bins, which hold equally many samples; equal values share a bin, and with few distinct
            values each has its own.
        groups: int64 (N,), samples of one number, such as those of a person, are drawn together, and count in the
            intervals as in :func:`mien.evaluation.intervals.proportion_among`; None: every sample by itself.

    """
    numbers = np.asarray(values, dtype=np.float64)
    known = np.isfinite(numbers)
    numbers, hits = numbers[known], np.asarray(correct, dtype=np.bool_)[known]
    groups = None if groups is None else groups[known]
    bin_of = _bin_numbers(numbers, bins)
    parts = []
    for number in np.unique(bin_of):
        inside = bin_of == number
        held = numbers[inside]
        accuracy = proportion_among(hits, inside, groups)
        parts.append(ValueBin(float(held.min()), float(held.max()), float(held.mean()), len(held), accuracy))
    return AccuracyBy(tuple(parts), int((~known).sum()))


def _bin_numbers(values: Floats, bins: int) -> npt.NDArray[np.int64]:
    distinct, value_of = np.unique(values, return_inverse=True)
    return value_of.astype(np.int64) if len(distinct) <= bins else equal_mass_bins(values, bins)
