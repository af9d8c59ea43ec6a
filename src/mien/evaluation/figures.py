"""Figures of a whole split by name, under any weights of its rows: what is resampled for intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import DataError, nearest
from mien.evaluation import metrics
from mien.evaluation.intervals import check_resamples, resampled_weight_chunks
from mien.evaluation.metrics import Floats
from mien.evaluation.scores import Scores

_OF_CONFUSION = {"precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1}
FIGURES = ("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc", "log_loss", "calibration_error")
"""Figures of a whole split. Those of one class are ``precision.CLASS``, ``recall.CLASS`` and ``f1.CLASS``."""


def check_figure(name: str) -> None:
    """Refuse a name that is no figure. Raises :class:`DataError`."""
    kind, dot, of_class = name.partition(".")
    if name not in FIGURES and not (dot and of_class and kind in _OF_CONFUSION):
        known = [*FIGURES, *(f"{each}.CLASS" for each in _OF_CONFUSION)]
        raise DataError(f"there is no figure '{name}'." + nearest(name, known).rstrip("."))


class Figures:
    """Named figures of one model's scores, under any weights of the rows."""

    def __init__(self, scores: Scores, names: Sequence[str]) -> None:
        """Check the names. Raises :class:`DataError` for one that is no figure; one of a class not there is NaN."""
        for name in names:
            check_figure(name)
        self._names = names
        self._classes = scores.classes
        self._cells = scores.labels * len(scores.classes) + scores.probabilities.argmax(axis=1)
        self._curves = metrics.one_versus_rest(scores.labels, scores.probabilities) if "macro_auc" in names else []
        self._losses = metrics.row_losses(scores.labels, scores.probabilities)
        self._bins, self._gaps = metrics.confidence_gaps(scores.labels, scores.probabilities)

    def under(self, weights: Floats) -> Floats:
        """Float (..., N) -> float64 (..., K), NaN where undefined."""
        count = len(self._classes)
        confusion = _sums(weights, self._cells, count**2).reshape(*weights.shape[:-1], count, count)
        return np.stack([self._figure(name, confusion, weights) for name in self._names], axis=-1)

    def _figure(self, name: str, confusion: Floats, weights: Floats) -> Floats:
        rows = metrics.support(confusion)
        kind, _, of_class = name.partition(".")
        if of_class:
            if of_class not in self._classes:
                return np.full(weights.shape[:-1], np.nan)
            return _OF_CONFUSION[kind](confusion)[..., self._classes.index(of_class)]
        if name == "accuracy":
            return metrics.accuracy(confusion)
        if name == "macro_auc":
            areas = np.stack([np.apply_along_axis(each.area, -1, weights) for each in self._curves], axis=-1)
            return metrics.macro_average(areas, rows)
        if name == "log_loss":
            return metrics.divide(weights @ self._losses, weights.sum(axis=-1))
        if name == "calibration_error":
            gaps = _sums(weights * self._gaps, self._bins, metrics.CALIBRATION_BINS)
            return metrics.divide(np.abs(gaps).sum(axis=-1), weights.sum(axis=-1))
        return metrics.macro_average(_OF_CONFUSION[name.removeprefix("macro_")](confusion), rows)


@dataclass(frozen=True, eq=False)
class Resampled:
    """K figures of one run, of its rows and of resamples of them.

    Attributes:
        values: float64 (K,), NaN where undefined.
        drawn: float64 (B, K); run by run, line b is of the same resample of the same rows.
    """

    values: Floats
    drawn: Floats


def resample(runs: Sequence[Scores], names: Sequence[str], resamples: int = 1000, seed: int = 0) -> list[Resampled]:
    """Figures of one or more runs of the same rows in the same order, and of the same resamples for all.

    What is hard for all does not blur their differences then.

    Raises:
        DataError: a name that is no figure, or ``resamples`` is less than 1.
    """
    check_resamples(resamples)
    figures = [Figures(scores, names) for scores in runs]
    count = len(runs[0])
    drawn: list[list[Floats]] = [[] for _ in runs]
    for weights in resampled_weight_chunks(count, resamples, seed):
        for each, parts in zip(figures, drawn, strict=True):
            parts.append(each.under(weights))
    return [
        Resampled(each.under(np.ones(count)), np.concatenate(parts)) for each, parts in zip(figures, drawn, strict=True)
    ]


def _sums(values: Floats, places: npt.NDArray[np.int64], count: int) -> Floats:
    """The sum of the values in each place, 0..count-1: float (..., N) and int64 (N,) -> float64 (..., count)."""
    return np.apply_along_axis(lambda row: np.bincount(places, row, count), -1, values)
