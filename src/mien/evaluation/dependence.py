"""How accuracy depends on a number of each face: how much its voters disagreed, how dark or blurred it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.evaluation.calibration import equal_mass_bins
from mien.evaluation.intervals import check_resamples, percentile_interval, resampled_weights, share_of
from mien.evaluation.metrics import Floats, OneVersusRest
from mien.evaluation.results import Estimate, fields_to_dict


@dataclass(frozen=True)
class ValueBin:
    """The rows whose number lies in one range.

    Attributes:
        low: the least number in the bin.
        high: the greatest.
        mean: their mean.
        count: rows in the bin, at least 1.
        accuracy: share of right ones, with its 95 % Wilson interval.
    """

    low: float
    high: float
    mean: float
    count: int
    accuracy: Estimate

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return fields_to_dict(self)


@dataclass(frozen=True)
class AccuracyBy:
    """Accuracy over the bins of a number, by rising number; empty bins are left out.

    Attributes:
        bins: the bins.
        missing: rows without a number (NaN or infinite), which are in no bin.
        rank_correlation: Kendall's tau-b between the number and being right, -1..1, with its 95 % bootstrap
            interval: below 0 where high numbers go wrong. NaN where all numbers, or all rows, are alike.
    """

    bins: tuple[ValueBin, ...]
    missing: int
    rank_correlation: Estimate

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return fields_to_dict(self)


def accuracy_by(
    values: npt.NDArray[Any],
    correct: npt.NDArray[np.bool_],
    bins: int | Sequence[float] = 5,
    resamples: int = 1000,
    seed: int = 0,
) -> AccuracyBy:
    """Accuracy of the rows in each bin of a number, and the rank correlation of the two.

    Args:
        values: float or whole numbers (N,), one for each row.
        correct: bool (N,), whether the row was right.
        bins: as many bins with the same number of rows, equal numbers in the same bin (each number its own bin where
            that suffices); or ascending cuts, of which each begins a bin.
        resamples: number of bootstrap resamples behind the correlation's interval.
        seed: seed of the resampling.

    Raises:
        DataError: not one value for each row, no bin, cuts that do not ascend, or ``resamples`` less than 1.
    """
    check_resamples(resamples)
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != np.shape(correct) or numbers.ndim != 1:
        raise DataError(f"Accuracy by a number needs one for each of {len(correct)} rows; found {numbers.shape}.")
    known = np.isfinite(numbers)
    numbers, hits = numbers[known], np.asarray(correct, dtype=np.bool_)[known]
    number_of_row = _bin_numbers(numbers, bins)
    parts = []
    for number in np.unique(number_of_row):
        inside = number_of_row == number
        held = numbers[inside]
        accuracy = share_of(hits[inside].sum(), inside.sum())
        parts.append(ValueBin(float(held.min()), float(held.max()), float(held.mean()), len(held), accuracy))
    return AccuracyBy(tuple(parts), int((~known).sum()), _correlation(numbers, hits, resamples, seed))


def kendall_tau(values: Floats, correct: npt.NDArray[np.bool_], weights: Floats | None = None) -> float:
    """Kendall's tau-b between a number and a yes-or-no: Kendall, Biometrika 33, 1945.

    Between a number and a yes-or-no, concordant minus discordant pairs are (2 AUC - 1) * yes * no.

    Args:
        values: float (N,).
        correct: bool (N,).
        weights: whole numbers (N,), how often each row counts; None counts every row once.

    Returns:
        -1..1; NaN where all values, or all answers, are alike.
    """
    weights = np.ones(len(values)) if weights is None else weights
    return _KendallTau(values, correct).under(weights)


class _KendallTau:
    """Kendall's tau-b under any weights; the sorting is done once."""

    def __init__(self, values: Floats, correct: npt.NDArray[np.bool_]) -> None:
        self.correct = correct
        self.against = OneVersusRest.of(correct, values)
        self.value_of_row = np.unique(values, return_inverse=True)[1]

    def under(self, weights: Floats) -> float:
        right = float(weights @ self.correct)
        total = float(weights.sum())
        alike = np.bincount(self.value_of_row, weights=weights)
        answers_differ = right * (total - right)
        values_differ = (total**2 - float(alike @ alike)) / 2
        if answers_differ <= 0 or values_differ <= 0:
            return math.nan
        return (2 * self.against.area(weights) - 1) * math.sqrt(answers_differ / values_differ)


def _correlation(values: Floats, correct: npt.NDArray[np.bool_], resamples: int, seed: int) -> Estimate:
    if not len(values):
        return Estimate(math.nan, math.nan, math.nan)
    tau = _KendallTau(values, correct)
    drawn = np.array([tau.under(weights) for weights in resampled_weights(len(values), resamples, seed)])
    return percentile_interval(tau.under(np.ones(len(values))), drawn)


def _bin_numbers(values: Floats, bins: int | Sequence[float]) -> npt.NDArray[np.int64]:
    if isinstance(bins, int):
        if bins < 1:
            raise DataError(f"Accuracy by a number needs at least 1 bin; found {bins}.")
        distinct, value_of_row = np.unique(values, return_inverse=True)
        return value_of_row.astype(np.int64) if len(distinct) <= bins else equal_mass_bins(values, bins)
    cuts = np.asarray(bins, dtype=np.float64)
    if not (np.diff(cuts) > 0).all():
        raise DataError(f"Cuts between bins must ascend; found {', '.join(f'{cut:g}' for cut in cuts)}.")
    return np.searchsorted(cuts, values, side="right").astype(np.int64)
