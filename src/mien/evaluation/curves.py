"""ROC and precision-recall curves, one class against the rest.

A class without samples, or with all of them, has no ROC curve: its points are empty and its area is NaN.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mien.base.arrays import Bools, Floats, Groups
from mien.evaluation import metrics
from mien.evaluation.results import Estimate, JsonResult

MAX_POINTS = 200
"""Largest number of points of a drawn curve. More points would be invisible and enlarge the page."""

GRID: Floats = np.linspace(0.0, 1.0, 101)
"""False positive rates at which the macro-average curve is computed."""

Points: TypeAlias = tuple[Floats, Floats]
"""Horizontal and vertical coordinate of each point of a curve, float64 (P,) each."""


@dataclass(frozen=True, eq=False)
class Curve(JsonResult):
    """A curve: one point per threshold. ROC: true over false positive rate. Precision-recall: precision over recall.

    Attributes:
        across: float64 (P,), 0..1, ascending: false positive rate, or recall. P <= :data:`MAX_POINTS`; 0 if undefined.
        up: float64 (P,), 0..1: true positive rate or precision.
        area: area under the ROC curve with its 95% interval, or average precision without one; computed from all
            points, also those that are not kept.
    """

    across: Floats
    up: Floats
    area: Estimate


@dataclass(frozen=True, eq=False)
class RocCurves(JsonResult):
    """ROC curves of each class against the rest, in order, and their macro and micro averages."""

    per_class: tuple[Curve, ...]
    macro: Curve
    micro: Curve


def roc_points(is_positive: Bools, scores: Floats) -> Points:
    """Compute all points of a ROC curve: Fawcett, Pattern Recognition Letters 27, 2006, algorithm 1.

    Returns false and true positive rates, from (0, 0); two empty arrays without positive or without negative samples.
    """
    hits, misses = _counts(is_positive, scores)
    if hits[-1] == 0 or misses[-1] == 0:
        return np.zeros(0), np.zeros(0)
    return misses / misses[-1], hits / hits[-1]


def precision_recall_points(is_positive: Bools, scores: Floats) -> Points:
    """Compute recalls, rising, and precisions, from (0, 1), at all thresholds; both empty without positive samples."""
    hits, misses = _counts(is_positive, scores)
    if hits[-1] == 0:
        return np.zeros(0), np.zeros(0)
    return hits / hits[-1], metrics.divide(hits, hits + misses, undefined=1.0)


def roc_curves(
    labels: metrics.Labels, probabilities: Floats, resamples: int = 1000, groups: Groups | None = None
) -> RocCurves:
    """Compute ROC curves of each class against the rest, and their macro and micro averages.

    Macro: the mean true positive rate of the classes at each false positive rate (vertical averaging, Fawcett 2006);
    its area is the mean of the areas. Micro: the N x C decisions "is this sample of this class?" pooled. Resamples are
    those of ``evaluate_predictions``, so the macro area's interval equals the headline AUC's. Shapes (N,), (N, C).
    """
    count, class_count = probabilities.shape
    one_hot = (labels[:, np.newaxis] == np.arange(class_count)).ravel()
    ranked = metrics.one_versus_rest(labels, probabilities)
    pooled = metrics.OneVersusRest.of(one_hot, probabilities.ravel())

    def areas_under(weights: Floats) -> Floats:
        """Compute the areas of the classes, macro and micro: float64 (C + 2,)."""
        areas = np.array([each.area(weights) for each in ranked])
        return np.array(
            [*areas, metrics.macro_average(areas, np.ones(class_count)), pooled.area(weights.repeat(class_count))]
        )

    chunks = metrics.resampled_weights(count, resamples, groups)
    drawn = np.array([areas_under(weights) for chunk in chunks for weights in chunk])
    own = areas_under(np.ones(count))
    # Like the headline AUC, the macro area is undefined if a resample lacks a class.
    drawn[np.isnan(drawn[:, ~np.isnan(own)]).any(axis=1), -2] = np.nan
    areas = [metrics.percentile_interval(*pair) for pair in zip(own, drawn.T, strict=True)]
    points = [roc_points(labels == index, column) for index, column in enumerate(probabilities.T)]
    points += [_macro_points(points), roc_points(one_hot, probabilities.ravel())]
    *per_class, macro, micro = (_curve(*pair) for pair in zip(points, areas, strict=True))
    return RocCurves(tuple(per_class), macro, micro)


def precision_recall_curves(labels: metrics.Labels, probabilities: Floats) -> tuple[Curve, ...]:
    """Compute the precision-recall curve of each class against the rest, in order.

    The average precision is the sum over thresholds of (gain in recall) * precision, as in scikit-learn.
    """
    curves = []
    for index, column in enumerate(probabilities.T):
        points = recall, precision = precision_recall_points(labels == index, column)
        average = float(np.diff(recall) @ precision[1:]) if len(recall) else math.nan
        curves.append(_curve(points, Estimate(average)))
    return tuple(curves)


def coverage_curve(confidence: Floats, correct: Bools) -> Points:
    """Compute the accuracy of answering only the most confident samples (El-Yaniv & Wiener, JMLR 11, 2010).

    Returns the fraction of the N samples that are answered, rising to 1, and the accuracy on them; samples of equal
    confidence (N,) share a point.
    """
    hits, misses = (counts[1:] for counts in _counts(correct, confidence))
    coverage, accuracy = (hits + misses) / len(confidence), hits / (hits + misses)
    kept = thin(coverage, accuracy)
    return coverage[kept], accuracy[kept]


def thin(across: Floats, up: Floats, most: int = MAX_POINTS) -> npt.NDArray[np.intp]:
    """Choose at most ``most`` points, equally spaced along a curve (P,), with both ends: indices (Q,), ascending."""
    if len(across) <= most:
        return np.arange(len(across))
    along = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(across)) + np.abs(np.diff(up)))))
    chosen = np.searchsorted(along, np.linspace(0.0, along[-1], most))
    chosen[-1] = len(across) - 1
    return np.unique(chosen)


def _counts(is_positive: Bools, scores: Floats) -> Points:
    """Count true and false positives at each threshold; the first point is 0."""
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    # Keep only the end of each run of equal scores: no threshold lies between equal scores.
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    hits = np.append(0.0, np.cumsum(is_positive[order])[ends])
    return hits, np.append(0.0, ends + 1.0) - hits


def _macro_points(per_class: list[Points]) -> Points:
    rates = [np.interp(GRID, false, true) for false, true in per_class if len(false)]
    if not rates:
        return np.zeros(0), np.zeros(0)
    return np.append(0.0, GRID), np.append(0.0, np.mean(rates, axis=0))


def _curve(points: Points, area: Estimate) -> Curve:
    kept = thin(*points)
    return Curve(points[0][kept], points[1][kept], area)
