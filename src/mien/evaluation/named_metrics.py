"""Metrics of a whole split by name, under any sample weights, as the bootstrap needs them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, nearest
from mien.evaluation import metrics
from mien.evaluation.ferplus import majority, majority_predictions
from mien.evaluation.intervals import resampled_weights
from mien.evaluation.metrics import Floats
from mien.evaluation.predictions import Predictions

_OF_CONFUSION = {"precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1}
VOTE_METRICS: tuple[str, ...] = ("majority_accuracy", "agreed_accuracy")
"""Metrics of data with votes; NaN without votes. ``majority_accuracy``: accuracy by FER+'s protocol
(:mod:`mien.evaluation.ferplus`) of the output trained on votes, or else of the label's output. ``agreed_accuracy``:
accuracy of the label's output where the annotators' majority agrees with the label."""
METRICS: tuple[str, ...] = (
    *("accuracy", "macro_precision", "macro_recall", "macro_f1", "macro_auc", "log_loss", "calibration_error"),
    *VOTE_METRICS,
)
"""Metrics of a whole split. Metrics of one class are named ``precision.CLASS``, ``recall.CLASS`` and ``f1.CLASS``."""


def check_metric(name: str) -> None:
    """Raise :class:`DataError` if no metric has this name."""
    kind, dot, of_class = name.partition(".")
    if name not in METRICS and not (dot and of_class and kind in _OF_CONFUSION):
        known = [*METRICS, *(f"{each}.CLASS" for each in _OF_CONFUSION)]
        raise DataError(f"there is no metric '{name}'." + nearest(name, known).rstrip("."), code="metric-unknown")


class WeightedMetrics:
    """Named metrics of one model's predictions, under any sample weights."""

    def __init__(self, predictions: Predictions, names: Sequence[str]) -> None:
        """Check the names. Raises :class:`DataError` for an unknown metric; a metric of an unknown class is NaN."""
        for name in names:
            check_metric(name)
        self._names = names
        self._classes = predictions.classes
        self._present = np.bincount(predictions.labels, minlength=len(predictions.classes)) > 0
        self._cells = predictions.labels * len(predictions.classes) + predictions.probabilities.argmax(axis=1)
        self._curves = (
            metrics.one_versus_rest(predictions.labels, predictions.probabilities) if "macro_auc" in names else []
        )
        self._losses = metrics.sample_losses(predictions.labels, predictions.probabilities)
        self._bins, self._gaps = metrics.confidence_gaps(predictions.labels, predictions.probabilities)
        self._by_votes = {name: _counted_and_right(predictions, name) for name in names if name in VOTE_METRICS}

    def under(self, weights: Floats) -> Floats:
        """Compute the metrics under weights, float (..., N) -> float64 (..., K), NaN where undefined."""
        count = len(self._classes)
        confusion = _sums(weights, self._cells, count**2).reshape(*weights.shape[:-1], count, count)
        return np.stack([self._metric(name, confusion, weights) for name in self._names], axis=-1)

    def _metric(self, name: str, confusion: Floats, weights: Floats) -> Floats:
        support = metrics.support(confusion)
        kind, _, of_class = name.partition(".")
        if of_class:
            if of_class not in self._classes:
                return np.full(weights.shape[:-1], np.nan)
            return _OF_CONFUSION[kind](confusion)[..., self._classes.index(of_class)]
        if name == "accuracy":
            return metrics.accuracy(confusion)
        if name == "macro_auc":
            areas = np.stack([np.apply_along_axis(each.area, -1, weights) for each in self._curves], axis=-1)
            return self._macro(areas, support)
        if name in self._by_votes:
            counted, right = self._by_votes[name]
            return metrics.divide(weights @ right, weights @ counted)
        if name == "log_loss":
            return metrics.divide(weights @ self._losses, weights.sum(axis=-1))
        if name == "calibration_error":
            gaps = _sums(weights * self._gaps, self._bins, metrics.CALIBRATION_BINS)
            return metrics.divide(np.abs(gaps).sum(axis=-1), weights.sum(axis=-1))
        return self._macro(_OF_CONFUSION[name.removeprefix("macro_")](confusion), support)

    def _macro(self, per_class: Floats, support: npt.NDArray[Any]) -> Floats:
        """Compute the macro average; NaN if a class has weight 0, because that would be another metric."""
        lost = (self._present & (support == 0)).any(axis=-1)
        return np.where(lost, np.nan, metrics.macro_average(per_class, support))


@dataclass(frozen=True, eq=False)
class Resampled:
    """Values of K metrics for one run: on its samples, and on bootstrap resamples of them.

    Attributes:
        values: float64 (K,), metrics on the samples, NaN where undefined.
        drawn: float64 (B, K), metrics on each resample; row b of every run uses the same resample.
        units: number of samples, or groups, that each resample draws.
    """

    values: Floats
    drawn: Floats
    units: int


def resample(runs: Sequence[Predictions], names: Sequence[str], resamples: int = 1000) -> list[Resampled]:
    """Compute metrics of one or more runs on the same samples in the same order, with the same resamples.

    If the predictions have groups, whole groups are drawn. Shared resamples make differences between runs paired, so
    faces that are hard for all runs cancel out. Raises DataError for an unknown metric.
    """
    measured = [WeightedMetrics(predictions, names) for predictions in runs]
    count, groups = len(runs[0]), groups_of(runs)
    chosen = resampled_weights(count, resamples, groups)
    units = count if groups is None else len(np.unique(groups))
    chunks = [[each.under(weights) for each in measured] for weights in chosen]
    drawn = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
    return [Resampled(each.under(np.ones(count)), parts, units) for each, parts in zip(measured, drawn, strict=True)]


def groups_of(runs: Sequence[Predictions]) -> npt.NDArray[np.int64] | None:
    """Return the groups of the first run that has any, int64 (N,); None if none has. All runs have the same samples."""
    return next((each.groups for each in runs if each.groups is not None), None)


def _counted_and_right(predictions: Predictions, name: str) -> tuple[Floats, Floats]:
    """Return which samples a metric of :data:`VOTE_METRICS` uses, and which are right: float64 (N,), 0 or 1."""
    count = len(predictions)
    if predictions.votes is None:
        return np.zeros(count), np.zeros(count)
    votes, classes = predictions.votes, predictions.votes.classes
    truth = majority(votes.counts, classes)
    answers = np.array([classes.index(each) if each in classes else -2 for each in predictions.classes])
    said = answers[predictions.probabilities.argmax(axis=1)]
    if name == "agreed_accuracy":
        counted = truth == answers[predictions.labels]
    elif votes.probabilities is not None:
        counted, said = truth >= 0, majority_predictions(votes.probabilities, classes)
    else:
        # An output with merged classes cannot be compared with votes.
        counted = (truth >= 0) & (answers >= 0).all()
    return counted.astype(np.float64), (counted & (said == truth)).astype(np.float64)


def _sums(values: Floats, places: npt.NDArray[np.int64], count: int) -> Floats:
    """Sum the values that have the same place, 0..count-1: float (..., N) and int64 (N,) -> float64 (..., count)."""
    return np.apply_along_axis(lambda row: np.bincount(places, row, count), -1, values)
