"""Classification metrics and their confidence intervals, from arrays.

Probabilities are float (N, C), rows sum to 1, in all files of this folder. The parts that are sums over rows let
:mod:`mien.evaluation.named_metrics` compute a metric for each resample. An undefined value (the recall of a class
without rows) is NaN, never 0. Intervals are of the bootstrap over samples for any metric, Wilson's for a proportion.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from mien.base.arrays import Array, Bools, Floats, Groups, Ints
from mien.base.labels import NO_EXPRESSION
from mien.evaluation.results import LEVEL, SEED, Estimate

Labels = Ints
"""int64 (N,), 0..C-1."""

CALIBRATION_BINS = 15
"""Number of equal-width bins of the calibration error, as in Guo et al. 2017."""

MIN_PROBABILITY = 1e-15
"""Smallest probability in the log loss, so that a certain but wrong answer costs 34.5, not infinity."""


def confusion_matrix(labels: Labels, predictions: Labels, class_count: int) -> Ints:
    """Count how often each true class was predicted as each class.

    Labels and predictions are int64 (N,), 0..C-1, for ``class_count`` C classes. Returns int64 (C, C): rows are true
    classes, columns predicted ones.
    """
    return np.bincount(labels * class_count + predictions, minlength=class_count**2).reshape(class_count, class_count)


def accuracy(confusion: Array) -> Floats:
    """Compute the fraction of rows on the diagonal. (..., C, C) -> (...), in 0..1; NaN without rows."""
    return divide(np.trace(confusion, axis1=-2, axis2=-1), confusion.sum(axis=(-2, -1)))


def precision(confusion: Array) -> Floats:
    """Compute precision of each class: TP / (TP + FP). (..., C, C) -> (..., C).

    It is 0 for a class that is never predicted, as in scikit-learn with ``zero_division=0``.
    """
    return divide(_diagonal(confusion), confusion.sum(axis=-2), undefined=0.0)


def recall(confusion: Array) -> Floats:
    """Compute recall of each class: TP / (TP + FN). (..., C, C) -> (..., C); NaN for a class without rows."""
    return divide(_diagonal(confusion), confusion.sum(axis=-1))


def f1(confusion: Array) -> Floats:
    """Compute the mean of precision and recall: 2 TP / (2 TP + FP + FN). (..., C, C) -> (..., C); NaN without rows."""
    rows = confusion.sum(axis=-1)
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

    Attributes:
        positions: int64 (N,), place of each row's score, 0..2U, among the U distinct scores of the class's rows: at or
            between two of them; plus 2U + 1 for the class's own rows.
        count: number of positions: 2U + 1.
    """

    positions: Ints
    count: int

    @classmethod
    def of(cls, is_positive: Bools, scores: Floats) -> "OneVersusRest":
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
    """Compute the one-vs-rest area under the ROC curve of each class, (C,); NaN for a class without rows, or all."""
    return np.array([each.area(np.ones(len(labels))) for each in one_versus_rest(labels, probabilities)])


def sample_losses(labels: Labels, probabilities: Floats) -> Floats:
    """Compute the negative log of the true class's probability for each row, which is rescaled to sum to 1: (N,)."""
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
    """Return the bin of each row's top probability, int64 (N,), and its hit (0 or 1) minus that probability, (N,)."""
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
    """Compute the accuracy of float64 (N, V) by FER+'s protocol, :func:`majority`; NaN if it leaves out all images."""
    truth = majority(votes, classes)
    counted = truth >= 0
    if not counted.any():
        return float("nan")
    return float((majority_predictions(probabilities, classes) == truth)[counted].mean())


def sample_cross_entropies(targets: Floats, probabilities: Floats) -> Floats:
    """Compute the cross-entropy ``-sum_k t_k log p_k`` of each row, in nats, of (N, V) each; p is at least 1e-12."""
    return np.asarray(-(targets * np.log(np.maximum(probabilities, _MIN_PROBABILITY))).sum(axis=1))


_CHUNK_CELLS = 2_000_000
"""Largest number of weights in memory at a time (16 MB)."""

_DEVIATIONS = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""A normal distribution has the fraction LEVEL within so many standard deviations of its mean: 1.96."""

FEW_GROUPS = 5
"""If fewer groups contain a hit (or a miss), the variance between groups is not used."""


def resampled_weights(count: int, resamples: int, groups: Groups | None = None) -> Iterator[Floats]:
    """Yield how often each of ``count`` samples was drawn, for some resamples at a time: float64 (B, N).

    With ``groups``, int64 (N,), whole groups are drawn, as many as exist (cluster bootstrap: Davison & Hinkley,
    Bootstrap Methods and their Application, 1997, section 3.8). One group alone gives NaN: all its resamples would be
    equal.
    """
    generator = np.random.default_rng(SEED)
    group_of = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    units = int(group_of.max(initial=-1)) + 1
    at_once = max(1, _CHUNK_CELLS // count)
    for first in range(0, resamples, at_once):
        drawn = generator.integers(0, units, size=(min(at_once, resamples - first), units))
        weights = np.stack([np.bincount(each, minlength=units) for each in drawn]).astype(np.float64)
        if units == 1:
            weights[:] = np.nan
        yield weights[:, group_of]


def percentile_interval(value: float, of_resamples: Floats) -> Estimate:
    """Compute the percentile interval of a metric over its value in each resample, float (B,), NaN where undefined.

    If all others are equal, the interval is NaN: a few samples would look certain.
    """
    drawn = of_resamples[~np.isnan(of_resamples)]
    if math.isnan(value) or not len(drawn) or np.allclose(drawn, drawn[0], rtol=1e-9, atol=1e-12):
        return Estimate(float(value))
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))


def share_interval(hits: Bools, of_resamples: Floats, groups: Groups | None) -> Estimate:
    """Compute :func:`percentile_interval`; without one or below :data:`FEW_GROUPS` groups :func:`proportion_among`."""
    few = groups is not None and len(np.unique(groups)) < FEW_GROUPS
    found = percentile_interval(float(hits.mean()), of_resamples)
    return proportion_among(hits, groups=groups) if few or math.isnan(found.low) else found


def bootstrap_means(columns: Floats, resamples: int, groups: Groups | None = None) -> Floats:
    """Compute the mean of each column in each resample of the rows or ``groups``: (N, K) -> (resamples, K)."""
    chunks = resampled_weights(len(columns), resamples, groups)
    return np.concatenate([weights @ columns / weights.sum(axis=1, keepdims=True) for weights in chunks], axis=0)


def bootstrap_mean(values: Floats, resamples: int = 1000, groups: Groups | None = None) -> Estimate:
    """Return the mean of float (N,) with its bootstrap interval; ``groups`` as in :func:`bootstrap_means`."""
    return percentile_interval(float(values.mean()), bootstrap_means(values[:, np.newaxis], resamples, groups)[:, 0])


def wilson_interval(hits: float, count: float) -> tuple[float, float]:
    """Return both ends of the 95% score interval of a proportion, 0..1: Wilson, JASA 22, 1927; NaN without trials.

    Unlike the normal interval it has a positive width even at 0 and 1. ``hits`` and ``count`` may be fractions.
    """
    if not count:
        return math.nan, math.nan
    share, squared = hits / count, _DEVIATIONS**2
    centre, scale = share + squared / 2 / count, 1 + squared / count
    half = _DEVIATIONS * math.sqrt(share * (1 - share) / count + squared / 4 / count**2)
    # At 0 and 1 set the end exactly, to avoid rounding errors.
    return 0.0 if hits == 0 else (centre - half) / scale, 1.0 if hits == count else (centre + half) / scale


def proportion(hits: int | np.integer[Any], count: int | np.integer[Any]) -> Estimate:
    """Return ``hits / count`` with its :func:`wilson_interval`; all NaN if ``count`` is 0."""
    return Estimate(int(hits) / int(count) if count else math.nan, *wilson_interval(int(hits), int(count)))


def proportion_among(hits: Bools, among: Bools | None = None, groups: Groups | None = None) -> Estimate:
    """Compute the fraction of hits among some samples, bool (N,) each, with its :func:`wilson_interval`; NaN without
    any.

    With groups, int64 (N,), the number of samples is divided by the design effect, at least 1: the variance of the
    fraction between groups over that of independent samples. (Rao & Scott, Biometrics 48, 1992, without the factor G /
    (G - 1), so that groups of one sample change nothing.) If fewer than :data:`FEW_GROUPS` groups contain a hit, or a
    miss, this variance is unreliable. The effective number of samples is then at most the number of groups, as for
    groups without variation inside (Kish, Survey Sampling, 1965, chapter 5).
    """
    if among is not None:
        hits, groups = hits[among], None if groups is None else groups[among]
    found = proportion(hits.sum(), len(hits))
    if groups is None or not len(hits):
        return found
    distinct, group_of = np.unique(groups, return_inverse=True)
    count, share = len(distinct), found.value
    with_hit, with_miss = (len(np.unique(group_of[which])) for which in (hits, ~hits))
    worth = float(count)
    if with_hit and with_miss:
        deviations = np.bincount(group_of, weights=hits - share)
        worth = len(hits) / max(float(deviations @ deviations) / (len(hits) * share * (1 - share)), 1.0)
        worth = min(worth, float(count)) if min(with_hit, with_miss) < FEW_GROUPS else worth
    return Estimate(share, *wilson_interval(share * worth, worth))


def share_difference(hits: Bools, inside: Bools, groups: Groups | None = None) -> tuple[Estimate, float]:
    """Compute the fraction of hits in a part minus that outside, its 95% interval, and a two-sided p-value.

    The interval is Newcombe's (Statistics in Medicine 17, 1998, method 10), the p-value a normal distribution's with
    it.
    """
    one, other = proportion_among(hits, inside, groups), proportion_among(hits, ~inside, groups)
    value = one.value - other.value
    below = math.hypot(one.value - one.low, other.high - other.value)
    above = math.hypot(one.high - one.value, other.value - other.low)
    deviations = _DEVIATIONS * abs(value) / (below if value > 0 else above)
    return Estimate(value, value - below, value + above), math.erfc(deviations / math.sqrt(2))
