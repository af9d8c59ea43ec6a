"""Classification metrics, from arrays.

Probabilities are float (N, C), rows sum to 1, in all files of this folder. The parts that are sums over rows let
:mod:`mien.evaluation.named_metrics` compute a metric for each resample. An undefined value (the recall of a class
without rows) is NaN, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.base.arrays import Array, Bools, Floats, Ints
from mien.base.labels import NO_EXPRESSION

Labels = Ints
"""int64 (N,), 0..C-1."""

CALIBRATION_BINS = 15
"""Number of equal-width bins of the calibration error, as in Guo et al. 2017."""

MIN_PROBABILITY = 1e-15
"""Smallest probability in the log loss, so that a certain but wrong answer costs 34.5, not infinity."""


def confusion_matrix(labels: Labels, predictions: Labels, class_count: int) -> Ints:
    """Count how often each true class was predicted as each class.

    Args:
        labels: int64 (N,), true classes, 0..C-1.
        predictions: int64 (N,), predicted classes, 0..C-1.
        class_count: number of classes C.

    Returns:
        int64 (C, C), rows are true classes, columns predicted ones.
    """
    return np.bincount(labels * class_count + predictions, minlength=class_count**2).reshape(class_count, class_count)


def accuracy(confusion: Array) -> Floats:
    """Compute the fraction of rows on the diagonal. (..., C, C) -> (...), in 0..1; NaN without rows."""
    return divide(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def support(confusion: Array) -> Array:
    """Count the rows of each true class. (..., C, C) -> (..., C)."""
    return np.asarray(confusion.sum(axis=-1))


def precision(confusion: Array) -> Floats:
    """Compute precision of each class: TP / (TP + FP). (..., C, C) -> (..., C).

    It is 0 for a class that is never predicted, as in scikit-learn with ``zero_division=0``.
    """
    return divide(_diagonal(confusion), confusion.sum(axis=-2), undefined=0.0)


def recall(confusion: Array) -> Floats:
    """Compute recall of each class: TP / (TP + FN). (..., C, C) -> (..., C); NaN for a class without rows."""
    return divide(_diagonal(confusion), support(confusion))


def f1(confusion: Array) -> Floats:
    """Compute the mean of precision and recall: 2 TP / (2 TP + FP + FN). (..., C, C) -> (..., C); NaN without rows."""
    rows = support(confusion)
    return np.where(rows > 0, divide(2.0 * _diagonal(confusion), rows + confusion.sum(axis=-2), undefined=0.0), np.nan)


def cohen_kappa(confusion: Array) -> Floats:
    """Compute Cohen's kappa: (observed - expected agreement) / (1 - expected). (..., C, C) -> (...), at most 1.

    J. Cohen, Educational and Psychological Measurement 20, 1960. NaN if labels and predictions are one class.
    """
    total = confusion.sum(axis=(-2, -1))
    expected = divide((confusion.sum(axis=-1) * confusion.sum(axis=-2)).sum(axis=-1), np.square(total))
    return divide(accuracy(confusion) - expected, np.where(expected < 1, 1 - expected, 0))


def matthews_correlation(confusion: Array) -> Floats:
    """Compute the Matthews correlation coefficient of C classes. (..., C, C) -> (...), -1..1.

    J. Gorodkin, Computational Biology and Chemistry 28, 2004. NaN if labels or predictions are one class.
    """
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total = confusion.sum(axis=(-2, -1))
    covariance = np.trace(confusion, axis1=-2, axis2=-1) * total - (true * predicted).sum(axis=-1)
    variances = [np.square(total) - np.square(each).sum(axis=-1) for each in (true, predicted)]
    return divide(covariance, np.sqrt(variances[0] * variances[1]))


def concordance_and_error(means: Floats) -> tuple[Floats, Floats]:
    """Compute Lin's concordance correlation (Biometrics 45, 1989), -1..1, and the root mean squared error.

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2), NaN if all values are equal. ``means`` are those of
    x, y, x^2, y^2 and xy, float64 (..., 5).
    """
    x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
    return divide(2 * (xy - x * y), xx + yy - 2 * x * y), np.sqrt(np.maximum(xx + yy - 2 * xy, 0))


def concordance(values: Floats, ratings: Floats) -> float:
    """Compute Lin's concordance of values (N,) with ratings (N,), NaN without rating; NaN with fewer than two."""
    values, ratings = np.asarray(values, dtype=np.float64), np.asarray(ratings, dtype=np.float64)
    known = ~np.isnan(ratings)
    if known.sum() < 2:
        return float("nan")
    x, y = values[known] - ratings[known][0], ratings[known] - ratings[known][0]  # equal values: a variance of 0
    return float(
        concordance_and_error(np.array([x.mean(), y.mean(), (x * x).mean(), (y * y).mean(), (x * y).mean()]))[0]
    )


def macro_average(per_class: Floats, rows_per_class: Array) -> Floats:
    """Average over the classes with rows and a defined metric. Two (..., C) -> (...); NaN if there is no such class."""
    return weighted_average(per_class, rows_per_class > 0)


def weighted_average(per_class: Floats, rows_per_class: Array) -> Floats:
    """Average over the same classes as :func:`macro_average`, weighted by their number of rows. (..., C) -> (...)."""
    counted = (rows_per_class > 0) & ~np.isnan(per_class)
    share = np.where(counted, rows_per_class, 0.0)
    return divide((np.where(counted, per_class, 0.0) * share).sum(axis=-1), share.sum(axis=-1))


@dataclass(frozen=True)
class OneVersusRest:
    """The rows of one class against all others, sorted once, so that the ROC area takes one pass for any weights.

    The U distinct scores of the class's rows define 2U + 1 ordered positions: below the first score, at the
    first, between first and second, at the second, and so on.

    Attributes:
        positions: int64 (N,), place of each row's score, 0..2U, plus 2U + 1 for the class's own rows.
        count: number of positions: 2U + 1.
    """

    positions: Ints
    count: int

    @classmethod
    def of(cls, is_positive: Bools, scores: Floats) -> OneVersusRest:
        """Compute the place of each row from its mask, bool (N,), and its score, float (N,)."""
        edges = np.unique(scores[is_positive])
        positions = np.searchsorted(edges, scores, side="left") + np.searchsorted(edges, scores, side="right")
        count = 2 * len(edges) + 1
        return cls(positions + count * is_positive, count)

    def area(self, weights: Floats) -> float:
        """Compute the area under the ROC curve with ``weights``, float (N,); NaN if one side has weight 0.

        It is the probability that a row of the class scores above a row of the others, with ties counted half (the
        Mann-Whitney statistic with mid-ranks: Hanley & McNeil, Radiology 143, 1982).
        """
        negatives, positives = np.bincount(self.positions, weights, 2 * self.count).reshape(2, -1)
        up_to, of_class = negatives.cumsum(), positives[1::2]
        pairs = of_class.sum() * up_to[-1]
        return float("nan") if pairs == 0 else float(of_class @ (up_to[:-1:2] + up_to[1::2]) / (2.0 * pairs))


def one_versus_rest(labels: Labels, probabilities: Floats) -> list[OneVersusRest]:
    """Build one :class:`OneVersusRest` for each class. int64 (N,) and float (N, C) -> C of them."""
    return [OneVersusRest.of(labels == index, column) for index, column in enumerate(probabilities.T)]


def roc_auc(labels: Labels, probabilities: Floats) -> Floats:
    """Compute the one-vs-rest area under the ROC curve of each class, float64 (C,) in 0..1.

    Labels (N,), probabilities (N, C). The area is NaN for a class without rows, or with all of them.
    """
    return np.array([each.area(np.ones(len(labels))) for each in one_versus_rest(labels, probabilities)])


def sample_losses(labels: Labels, probabilities: Floats) -> Floats:
    """Compute the negative log of the true class's probability for each row. (N,), (N, C) -> (N,), 0..34.6.

    Each row is first rescaled to sum to 1, and probabilities are clipped at :data:`MIN_PROBABILITY`.
    """
    of_truth = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    # Use abs, because the negative log of exactly 1 would print as -0.
    return np.asarray(np.abs(np.log(np.clip(of_truth, MIN_PROBABILITY, 1.0))), dtype=np.float64)


def log_loss(labels: Labels, probabilities: Floats) -> float:
    """Compute the mean of :func:`sample_losses`, in nats. int64 (N,), float (N, C)."""
    return float(sample_losses(labels, probabilities).mean())


def equal_width_bins(values: Floats) -> Ints:
    """Return the bin of each value in 0..1: ((m-1)/M, m/M], so a value on an edge is in the lower bin. (N,) -> (N,)."""
    return np.searchsorted(np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)[1:-1], values, side="left").astype(np.int64)


def confidence_gaps(labels: Labels, probabilities: Floats) -> tuple[Ints, Floats]:
    """Return for each row the bin of its top probability, and its hit (0 or 1) minus that probability.

    Returns:
        bins int64 (N,) of :func:`equal_width_bins` and gaps float64 (N,) in -1..1.
    """
    confidence = probabilities.max(axis=1)
    return equal_width_bins(confidence), (probabilities.argmax(axis=1) == labels) - confidence


def calibration_error(labels: Labels, probabilities: Floats) -> float:
    """Compute the expected calibration error of the top label, in 0..1.

    It is 0 if a confidence of, say, 80% means that 80% of such answers are right. Formula: the sum over bins of (rows
    in bin / N) * |accuracy in bin - mean confidence in bin| (Guo et al., On Calibration of Modern Neural Networks, ICML
    2017, equation 3). Arguments are as in :func:`roc_auc`.
    """
    bins, gaps = confidence_gaps(labels, probabilities)
    return float(np.abs(np.bincount(bins, weights=gaps)).sum() / len(labels))


def divide(above: Array, below: Array, undefined: float = np.nan) -> Floats:
    """Divide without warnings; the result is ``undefined`` where ``below`` is 0, and NaN where it is NaN."""
    above, below = np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64)
    out = np.full(np.broadcast(above, below).shape, undefined)
    np.divide(above, below, out=out, where=~(below <= 0))
    return out


def _diagonal(confusion: Array) -> Array:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


_OUTLIER = 1.0
_MIN_PROBABILITY = 1e-12


def majority(votes: Array, classes: Sequence[str]) -> Ints:
    """Compute the majority class of each image, by steps 1 to 3 of FER+'s protocol.

    Ten annotators chose one of eight expressions, "unknown" or "not a face" for each image of FER2013 (Barsoum et al.,
    Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution, ICMI 2016):

    1. Single votes are noise: counts of exactly 1 become 0 (except an image's only vote, or shares of annotators).
    2. The majority of an image is the class with more than half of the remaining votes.
    3. Images without a majority are left out, and so are those whose majority is "unknown" or "not a face".
    4. A prediction is the most probable of the eight expressions. Accuracy is the fraction equal to the majority.

    Args:
        votes: (N, V), number of votes for each class, 0 or more. A row with a fraction, or with a sum of 1, holds
            shares of annotators or a single vote; step 1 does not change it.
        classes: V class names; see :data:`mien.base.labels.NO_EXPRESSION`.

    Returns:
        int64 (N,): index of the majority class; -1 without votes, or if the protocol leaves the image out.
    """
    several = (votes == np.rint(votes)).all(axis=1) & (votes.sum(axis=1) > 1)
    kept = np.where(several[:, np.newaxis] & (votes == _OUTLIER), 0, votes).astype(np.float64)
    best = kept.argmax(axis=1)
    clear = kept.max(axis=1, initial=0) * 2 > kept.sum(axis=1)
    return np.where(clear & np.array([name not in NO_EXPRESSION for name in classes])[best], best, -1).astype(np.int64)


def majority_predictions(probabilities: Floats, classes: Sequence[str]) -> Ints:
    """Return the most probable expression of each image, ignoring other classes: float64 (N, V) -> int64 (N,)."""
    competing = np.array([name not in NO_EXPRESSION for name in classes])
    return np.asarray(np.where(competing, probabilities, -1.0).argmax(axis=1), dtype=np.int64)


def majority_accuracy(votes: Array, probabilities: Floats, classes: Sequence[str]) -> float:
    """Compute the accuracy by FER+'s protocol; NaN if the protocol leaves out all images.

    Votes and classes are as in :func:`majority`; probabilities float64 (N, V), in the same order of classes.
    """
    truth = majority(votes, classes)
    counted = truth >= 0
    if not counted.any():
        return float("nan")
    return float((majority_predictions(probabilities, classes) == truth)[counted].mean())


def sample_cross_entropies(targets: Floats, probabilities: Floats) -> Floats:
    """Compute the cross-entropy ``-sum_k t_k log p_k`` of each row, in nats.

    Args:
        targets: float64 (N, V), rows sum to 1.
        probabilities: float64 (N, V), clipped below at 1e-12.

    Returns:
        float64 (N,), 0 or more.
    """
    return np.asarray(-(targets * np.log(np.maximum(probabilities, _MIN_PROBABILITY))).sum(axis=1))
