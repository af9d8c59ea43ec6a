"""Calibration of a classifier's probabilities, before and after temperature scaling.

Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2: logits are divided by one number T. The
log of a probability equals its logit up to a constant per sample, which the softmax ignores. Scaling is cross-fitted:
no sample is scaled by a temperature fitted on it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.base.arrays import Bools, Floats, Groups, Ints, join_groups
from mien.base.heads import softmax
from mien.evaluation import metrics
from mien.evaluation.metrics import Labels, bootstrap_means, percentile_interval, proportion_among
from mien.evaluation.results import Estimate, JsonResult, Reliability

FOLDS = 5
FOLD_SEED = 0

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.05, 20.0
"""Bounds of the fit. Without bounds, T would be 0 if all predictions are right, and infinite if all are wrong."""


def assign_folds(groups: Ints, folds: int = FOLDS) -> Ints:
    """Assign groups to folds at random, int64 (N,), 0..F-1; the numbers of groups per fold differ by at most one.

    A group's fold does not depend on the order of the samples. Fewer groups than folds give fewer folds.
    """
    distinct, group_of_row = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(FOLD_SEED).permutation(len(distinct)) % folds)[group_of_row].astype(np.int64)


def fit_temperature(targets: Labels | Floats, probabilities: Floats) -> float:
    """Find the temperature that minimises the log loss; it is above 1 for an overconfident classifier.

    With distributions as targets, (N, C), the loss is the cross-entropy ``-sum_k t_k log p_k``. The loss is convex in
    1/T. Newton's method finds the zero of its slope, with bisection as a safeguard. A probability of 0 counts as
    :data:`~mien.evaluation.metrics.MIN_PROBABILITY`, or as the sample's smallest probability if that is less.

    Returns the temperature, :data:`MIN_TEMPERATURE`..:data:`MAX_TEMPERATURE`; 1 if the loss is the same for all
    (uniform samples); NaN without samples.
    """
    if not len(targets):
        return float("nan")
    logits = _logits(probabilities)
    if targets.ndim == 1:
        of_truth = logits[np.arange(len(targets)), targets.astype(np.int64)]
    else:
        of_truth = (targets * logits).sum(axis=1)
    low, high, inverse = 1 / MAX_TEMPERATURE, 1 / MIN_TEMPERATURE, 1.0
    for _ in range(200):
        weights = softmax(inverse * logits)
        mean = (weights * logits).sum(axis=1)
        slope = float((mean - of_truth).mean())
        curvature = float((weights * np.square(logits - mean[:, np.newaxis])).sum(axis=1).mean())
        if abs(slope) <= 1e-13:  # for uniform samples, the slope is only a rounding error
            break
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else low
        # If Newton's step leaves the bracket, use the bracket's geometric mean.
        following = step if low < step < high else float(np.sqrt(low * high))
        if abs(following - inverse) <= 1e-12 * inverse:
            break
        inverse = following
    return 1 / inverse


def apply_temperature(probabilities: Floats, temperature: float | Floats) -> Floats:
    """Compute probabilities (N, C) at another temperature above 0, one or (N,): softmax(log p / T). NaN stays NaN."""
    divisor = np.broadcast_to(np.asarray(temperature, dtype=np.float64), len(probabilities))
    return softmax(_logits(probabilities) / divisor[:, np.newaxis])


def cross_fit_temperature(labels: Labels, probabilities: Floats, groups: Ints | None = None) -> tuple[Floats, Floats]:
    """Rescale each sample with the temperature fitted on the other folds of :func:`assign_folds`.

    Returns probabilities, float64 (N, C), and the temperature of each fold, float64 (F,); NaN with a single fold.
    """
    fold_of_row = assign_folds(np.arange(len(labels)) if groups is None else groups)
    temperatures = np.array(
        [
            fit_temperature(labels[fold_of_row != fold], probabilities[fold_of_row != fold])
            for fold in range(int(fold_of_row.max(initial=-1)) + 1)
        ]
    )
    return apply_temperature(probabilities, temperatures[fold_of_row]), temperatures


def _logits(probabilities: Floats) -> Floats:
    probabilities = np.asarray(probabilities, dtype=np.float64)
    positive = np.where(probabilities > 0, probabilities, np.inf)
    floor = np.minimum(positive.min(axis=1, keepdims=True), metrics.MIN_PROBABILITY)
    return np.log(np.where(probabilities > 0, probabilities, floor))


@dataclass(frozen=True, eq=False)
class CalibrationMetrics(JsonResult):
    """Calibration metrics of one set of probabilities, with bootstrap intervals.

    Attributes:
        log_loss: nats, 0..34.6.
        brier: mean over samples of the squared differences from the truth, summed over classes, 0..2 (Brier 1950).
            Uniform probabilities give 1 - 1/C.
        calibration_error: value of :func:`mien.evaluation.metrics.calibration_error`, 0..1.
        reliability: reliability diagram with the same bins.
    """

    log_loss: Estimate
    brier: Estimate
    calibration_error: float
    reliability: Reliability


@dataclass(frozen=True, eq=False)
class Calibration(JsonResult):
    """Calibration before and after temperature scaling.

    Attributes:
        before: metrics of the given probabilities.
        after: metrics with a temperature fitted on the other folds; NaN if there is only one fold.
        temperature: temperature fitted on all samples, for new data. No metric here uses this temperature.
        fold_temperatures: float64 (F,), temperatures used for ``after``.
    """

    before: CalibrationMetrics
    after: CalibrationMetrics
    temperature: float
    fold_temperatures: Floats


def reliability(confidence: Floats, correct: Bools, groups: Groups | None = None) -> Reliability:
    """Bin samples by confidence (N,), 0..1, and compute the accuracy in each bin.

    Confidence is the top probability, and ``correct`` says whether the answer is right. For one class, they are its
    column of probabilities and ``labels == index``.
    """
    number = metrics.equal_width_bins(confidence)
    return binned(
        confidence, [proportion_among(correct, number == at, groups) for at in range(metrics.CALIBRATION_BINS)]
    )


def binned(confidence: Floats, accuracy: Sequence[Estimate]) -> Reliability:
    """Return the reliability diagram of samples' confidence (N,) with the accuracy of each bin."""
    number, edges = metrics.equal_width_bins(confidence), np.linspace(0.0, 1.0, metrics.CALIBRATION_BINS + 1)
    count = np.bincount(number, minlength=metrics.CALIBRATION_BINS)
    mean = metrics.divide(np.bincount(number, weights=confidence, minlength=metrics.CALIBRATION_BINS), count)
    value, low, high = np.array([(each.value, each.low, each.high) for each in accuracy]).T
    return Reliability(edges[:-1].copy(), edges[1:].copy(), count, mean, value, low, high)


def calibrate(
    labels: Labels,
    probabilities: Floats,
    groups: Groups | None = None,
    resamples: int = 1000,
    *,
    copies: Groups | None = None,
) -> Calibration:
    """Compute calibration metrics before and after cross-fitted temperature scaling.

    A group stays in one fold and is resampled as a whole. Copies (``copies`` int64 (N,), equal for copies) stay in one
    fold too, but are resampled separately. The temperatures are not refitted in each resample.
    """
    fitted, temperatures = cross_fit_temperature(labels, probabilities, join_groups(len(labels), groups, copies))
    before, after = (_metrics_of(labels, each, resamples, groups) for each in (probabilities, fitted))
    return Calibration(before, after, fit_temperature(labels, probabilities), temperatures)


def _metrics_of(labels: Labels, probabilities: Floats, resamples: int, groups: Groups | None) -> CalibrationMetrics:
    if np.isnan(probabilities).any():
        unknown, nothing = Estimate(math.nan), np.zeros(0)
        return CalibrationMetrics(unknown, unknown, math.nan, reliability(nothing, nothing.astype(np.bool_)))
    briers = np.square(probabilities - (labels[:, np.newaxis] == np.arange(probabilities.shape[1]))).sum(axis=1)
    columns = np.stack([metrics.sample_losses(labels, probabilities), briers], axis=1)
    log_loss, brier = map(
        percentile_interval, columns.mean(axis=0).tolist(), bootstrap_means(columns, resamples, groups=groups).T
    )
    diagram = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, groups)
    return CalibrationMetrics(log_loss, brier, metrics.calibration_error(labels, probabilities), diagram)
