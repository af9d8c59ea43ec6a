"""ROC and precision-recall curves, one class against the rest, with bootstrap bands.

A class without samples, or with all of them, has no ROC curve: its points are empty, its area and its band NaN.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.base.sample_groups import Groups
from mien.evaluation.intervals import check_resamples, percentile_interval, resampled_weight_chunks
from mien.evaluation.metrics import Floats, Labels, divide
from mien.evaluation.results import LEVEL, Estimate, JsonResult

MOST_POINTS = 200
"""Points of a curve that is to be drawn: more cannot be seen, and swell a page."""


def roc_points(is_positive: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Every point of a ROC curve: Fawcett, Pattern Recognition Letters 27, 2006, algorithm 1.

    Args:
        is_positive: bool (N,).
        scores: float (N,), higher speaks for positive. Samples of one score share a point.

    Returns:
        False positive rates, true positive rates and thresholds, float64 (P,), from (0, 0) at infinity; three empty
        arrays without a positive or without a negative.
    """
    ranking = ScoreRanking(is_positive, scores)
    hits, misses = ranking.counts(np.ones((1, len(scores))))
    if hits[0, -1] == 0 or misses[0, -1] == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    return misses[0] / misses[0, -1], hits[0] / hits[0, -1], ranking.thresholds


def precision_recall_points(is_positive: npt.NDArray[np.bool_], scores: Floats) -> tuple[Floats, Floats, Floats]:
    """Every point of a precision-recall curve.

    Arguments as in :func:`roc_points`.

    Returns:
        Recalls (ascending), precisions and thresholds, float64 (P,), from (0, 1) at infinity; three empty arrays
        without a positive.
    """
    ranking = ScoreRanking(is_positive, scores)
    hits, misses = ranking.counts(np.ones((1, len(scores))))
    if hits[0, -1] == 0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    precision = np.concatenate(([1.0], divide(hits[0, 1:], hits[0, 1:] + misses[0, 1:])))
    return hits[0] / hits[0, -1], precision, ranking.thresholds


def thin(across: Floats, up: Floats, most: int = MOST_POINTS) -> npt.NDArray[np.intp]:
    """Choose at most ``most`` points of a curve that look the same, about equally far apart along it.

    Args:
        across: float (P,), horizontal.
        up: float (P,), vertical.
        most: at least 2.

    Returns:
        Indices (Q,), ascending, with both ends; all of them where ``most`` suffices.
    """
    if len(across) <= most:
        return np.arange(len(across))
    along = np.concatenate(([0.0], np.cumsum(np.abs(np.diff(across)) + np.abs(np.diff(up)))))
    chosen = np.searchsorted(along, np.linspace(0.0, along[-1], most))
    chosen[-1] = len(across) - 1
    return np.unique(chosen)


class ScoreRanking:
    """Samples by falling score, sorted once; the counts at every threshold under any weights are then running sums."""

    def __init__(self, is_positive: npt.NDArray[np.bool_], scores: Floats, entries_per_row: int = 1) -> None:
        order = np.argsort(-scores, kind="stable")
        falling = scores[order]
        # Where a run of equal scores ends: between two of them there is no threshold.
        self.ends: npt.NDArray[np.intp] = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
        self.thresholds: Floats = np.concatenate(([np.inf], falling[self.ends]))
        self.is_positive: npt.NDArray[np.bool_] = is_positive[order]
        self.row: npt.NDArray[np.intp] = order // entries_per_row

    def counts(self, weights: Floats) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """True and false positives at each threshold, int32 (B, P), 0 first, under whole weights (B, N)."""
        # int32: these running sums are most of the bootstrap's time.
        ordered = weights.astype(np.int32)[:, self.row]
        rows = np.zeros((len(weights), len(self.ends) + 1), dtype=np.int32)
        hits = np.zeros_like(rows)
        rows[:, 1:] = np.cumsum(ordered, axis=1, dtype=np.int32)[:, self.ends]
        hits[:, 1:] = np.cumsum(ordered * self.is_positive, axis=1, dtype=np.int32)[:, self.ends]
        return hits, rows - hits


GRID: Floats = np.linspace(0.0, 1.0, 101)
"""False positive rates (ROC) and recalls (precision-recall) at which bands and averages are taken."""


@dataclass(frozen=True, eq=False)
class RocCurve(JsonResult):
    """True against false positives as the threshold falls, from (0, 0) to (1, 1).

    Attributes:
        false_positive_rate: float64 (P,), 0..1, ascending; P <= :data:`MOST_POINTS`, 0 where undefined.
        true_positive_rate: float64 (P,), 0..1, ascending.
        thresholds: float64 (P,): a sample counts as positive from this probability up; infinity first. NaN in the
            macro average, which mixes thresholds.
        area: area under the whole curve, not only under the points kept for drawing.
        low: float64 (G,), lower end of the pointwise 95% band of the true positive rate over :data:`GRID`.
        high: float64 (G,), upper end.
    """

    false_positive_rate: Floats
    true_positive_rate: Floats
    thresholds: Floats
    area: Estimate
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class RocCurves(JsonResult):
    """The curve of each class against the rest, in their order, and the two averages."""

    per_class: tuple[RocCurve, ...]
    macro: RocCurve
    micro: RocCurve


@dataclass(frozen=True, eq=False)
class PrecisionRecallCurve(JsonResult):
    """Precision against recall as the threshold falls, from (recall 0, precision 1).

    Attributes:
        recall: float64 (P,), 0..1, ascending; P <= :data:`MOST_POINTS`, 0 where the class has no sample.
        precision: float64 (P,), 0..1.
        thresholds: float64 (P,), infinity first.
        average_precision: of the whole curve, not only of the points kept for drawing.
        prevalence: fraction of the samples that are of the class: the average precision of chance.
        low: float64 (G,), lower end of the pointwise 95% band of the precision at each recall of :data:`GRID`.
        high: float64 (G,), upper end.
    """

    recall: Floats
    precision: Floats
    thresholds: Floats
    average_precision: Estimate
    prevalence: float
    low: Floats
    high: Floats


def roc_curves(
    labels: Labels, probabilities: Floats, resamples: int = 1000, seed: int = 0, groups: Groups | None = None
) -> RocCurves:
    """ROC curves of each class against the rest, their macro and micro averages, with bootstrap bands.

    Macro: the mean true positive rate of the classes at each false positive rate (vertical averaging, Fawcett 2006);
    its area is the mean of their areas. Micro: the N x C decisions "is this sample of this class?" pooled. Samples are
    resampled as in ``evaluate_predictions``: with its seed, the macro area's interval is that of the headline's AUC.

    Args:
        labels: int64 (N,), 0..C-1.
        probabilities: float (N, C).
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
        groups: int64 (N,), samples of one number, such as those of a person, are drawn together; None: every sample by
            itself.

    Raises:
        DataError: ``resamples`` is less than 1.
    """
    check_resamples(resamples)
    class_count = probabilities.shape[1]
    classes = [ScoreRanking(labels == index, column) for index, column in enumerate(probabilities.T)]
    one_hot = labels[:, np.newaxis] == np.arange(class_count)
    pooled = ScoreRanking(one_hot.ravel(), probabilities.ravel(), class_count)

    def measure(weights: Floats) -> tuple[Floats, Floats]:
        """Areas (B, C + 2) and true positive rates over the grid (B, C + 2, G): classes, macro, micro."""
        each = [_roc_under(ranking, weights) for ranking in (*classes, pooled)]
        areas, rates = np.stack([area for area, _ in each], axis=1), np.stack([rate for _, rate in each], axis=1)
        macro_areas, macro_rates = (_mean_of_defined(values[:, :-1]) for values in (areas, rates))
        return (
            np.insert(areas, class_count, macro_areas, axis=1),
            np.insert(rates, class_count, macro_rates, axis=1),
        )

    areas, rates = measure(np.ones((1, len(labels))))
    drawn = [measure(chunk) for chunk in resampled_weight_chunks(len(labels), resamples, seed, class_count, groups)]
    drawn_areas = np.concatenate([each for each, _ in drawn])
    drawn_rates = np.concatenate([each for _, each in drawn])

    def curve(index: int, points: tuple[Floats, Floats, Floats]) -> RocCurve:
        kept = thin(points[0], points[1])
        across, up, thresholds = (each[kept] for each in points)
        area = percentile_interval(float(areas[0, index]), drawn_areas[:, index])
        return RocCurve(across, up, thresholds, area, *_band(rates[0, index], drawn_rates[:, index]))

    per_class = tuple(curve(index, roc_points(labels == index, column)) for index, column in enumerate(probabilities.T))
    mean = rates[0, class_count]
    defined = not np.isnan(mean).any()
    macro_points = (
        np.concatenate(([0.0], GRID)) if defined else np.zeros(0),
        np.concatenate(([0.0], mean)) if defined else np.zeros(0),
        np.full(len(GRID) + 1 if defined else 0, np.nan),
    )
    micro_points = roc_points(one_hot.ravel(), probabilities.ravel())
    return RocCurves(per_class, curve(class_count, macro_points), curve(class_count + 1, micro_points))


def precision_recall_curves(
    labels: Labels, probabilities: Floats, resamples: int = 1000, seed: int = 0, groups: Groups | None = None
) -> tuple[PrecisionRecallCurve, ...]:
    """Precision-recall curve of each class against the rest, in their order. Arguments as in :func:`roc_curves`.

    The average precision is the sum over thresholds of (gain in recall) * precision, without interpolation, as in
    scikit-learn. The band is over the precision at the first threshold that reaches a recall.

    Raises:
        DataError: ``resamples`` is less than 1.
    """
    check_resamples(resamples)
    rankings = [ScoreRanking(labels == index, column) for index, column in enumerate(probabilities.T)]

    def measure(weights: Floats) -> tuple[Floats, Floats]:
        """Average precisions (B, C) and precisions over the grid (B, C, G)."""
        each = [_precision_recall_under(ranking, weights) for ranking in rankings]
        return np.stack([value for value, _ in each], axis=1), np.stack([at for _, at in each], axis=1)

    values, at_recalls = measure(np.ones((1, len(labels))))
    drawn = [measure(chunk) for chunk in resampled_weight_chunks(len(labels), resamples, seed, groups=groups)]
    drawn_values = np.concatenate([each for each, _ in drawn])
    drawn_at_recalls = np.concatenate([each for _, each in drawn])
    curves = []
    for index, column in enumerate(probabilities.T):
        points = precision_recall_points(labels == index, column)
        kept = thin(points[0], points[1])
        recall, precision, thresholds = (each[kept] for each in points)
        average = percentile_interval(float(values[0, index]), drawn_values[:, index])
        prevalence = float((labels == index).mean())
        band = _band(at_recalls[0, index], drawn_at_recalls[:, index])
        curves.append(PrecisionRecallCurve(recall, precision, thresholds, average, prevalence, *band))
    return tuple(curves)


def _roc_under(ranking: ScoreRanking, weights: Floats) -> tuple[Floats, Floats]:
    """Area (B,) and true positive rate at each false positive rate of the grid (B, G); NaN where undefined."""
    hits, misses = ranking.counts(weights)
    positives, negatives = hits[:, -1].astype(np.float64), misses[:, -1].astype(np.float64)
    # Trapezoids: twice the area is the sum of steps across times the heights at both of their ends.
    doubled = np.einsum("bp,bp->b", np.diff(misses), hits[:, 1:] + hits[:, :-1], dtype=np.float64)
    areas = divide(doubled, 2 * positives * negatives)
    rates = np.full((len(weights), len(GRID)), np.nan)
    for index in np.flatnonzero(~np.isnan(areas)):
        # Of a vertical step, interp takes the upper end; beside it the lower, and 0.29 * 100 is 28.999999999999996.
        places = GRID * negatives[index]
        whole = np.rint(places)
        places = np.where(np.abs(places - whole) < 1e-9, whole, places)
        rates[index] = np.interp(places, misses[index], hits[index]) / positives[index]
    return areas, rates


def _precision_recall_under(ranking: ScoreRanking, weights: Floats) -> tuple[Floats, Floats]:
    """Average precision (B,) and precision at each recall of the grid (B, G); NaN without a positive."""
    hits, misses = ranking.counts(weights)
    positives = hits[:, -1].astype(np.float64)
    precision = divide(hits, hits + misses, undefined=1.0)
    averages = divide(np.einsum("bp,bp->b", np.diff(hits), precision[:, 1:]), positives)
    at_recalls = np.full((len(weights), len(GRID)), np.nan)
    for index in np.flatnonzero(positives):
        # Down by a hair, because 0.29 * 100 is 28.999999999999996.
        first = np.searchsorted(hits[index], GRID * positives[index] - 1e-6)
        at_recalls[index] = precision[index, first]
    return averages, at_recalls


def _mean_of_defined(values: Floats) -> Floats:
    """Mean over axis 1 without NaN; NaN where all are. (B, C, ...) -> (B, ...)."""
    defined = ~np.isnan(values)
    return divide(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1))


def _band(value: Floats, of_resamples: Floats) -> tuple[Floats, Floats]:
    """Pointwise percentiles over the resamples that are defined. (G,), (B, G) -> two (G,)."""
    defined = of_resamples[~np.isnan(of_resamples).any(axis=1)]
    if np.isnan(value).any() or not len(defined):
        return np.full(len(GRID), np.nan), np.full(len(GRID), np.nan)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
