"""Calibration of a classifier's probabilities, before and after temperature scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.base.sample_groups import Groups, join_groups
from mien.evaluation.intervals import bootstrap_means, percentile_interval, proportion_among
from mien.evaluation.metrics import (
    CALIBRATION_BINS,
    Floats,
    Labels,
    calibration_error,
    divide,
    equal_width_bins,
    sample_losses,
)
from mien.evaluation.results import Estimate, JsonResult, Reliability
from mien.evaluation.temperature import cross_fit_temperature, fit_temperature


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


def reliability(confidence: Floats, correct: npt.NDArray[np.bool_], groups: Groups | None = None) -> Reliability:
    """Bin samples by confidence (N,), 0..1, and compute the accuracy in each bin.

    Confidence is the top probability, and ``correct`` says whether the answer is right. For one class, they are its
    column of probabilities and ``labels == index``.
    """
    bins = CALIBRATION_BINS
    number = equal_width_bins(confidence)
    count = np.bincount(number, minlength=bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    mean = divide(np.bincount(number, weights=confidence, minlength=bins), count)
    accuracy = [proportion_among(correct, number == index, groups) for index in range(bins)]
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


def accuracy_against_coverage(
    confidence: Floats, correct: npt.NDArray[np.bool_], most_points: int = 200
) -> tuple[Floats, Floats]:
    """Compute the accuracy of answering only the most confident samples (El-Yaniv & Wiener, JMLR 11, 2010).

    ``confidence`` (N,) is higher for more confident predictions, N at least 1; ``most_points`` are kept at most.
    Returns the fraction of samples that are answered, rising to 1, and the accuracy on them: float64 (P,) each.
    """
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    # Samples of equal confidence are all answered or all left out.
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    kept = ends[np.unique(np.linspace(0, len(ends) - 1, min(most_points, len(ends))).round().astype(np.int64))]
    answered = kept + 1
    hits = np.cumsum(correct[order], dtype=np.float64)[kept]
    return answered / len(confidence), hits / answered


def _metrics_of(labels: Labels, probabilities: Floats, resamples: int, groups: Groups | None) -> CalibrationMetrics:
    if np.isnan(probabilities).any():
        unknown, nothing = Estimate(math.nan, math.nan, math.nan), np.zeros(0)
        return CalibrationMetrics(unknown, unknown, math.nan, reliability(nothing, nothing.astype(np.bool_)))
    truth = labels[:, np.newaxis] == np.arange(probabilities.shape[1])
    briers = np.square(probabilities - truth).sum(axis=1)
    columns = np.stack([sample_losses(labels, probabilities), briers], axis=1)
    log_loss, brier = map(
        percentile_interval, columns.mean(axis=0).tolist(), bootstrap_means(columns, resamples, groups=groups).T
    )
    diagram = reliability(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, groups)
    return CalibrationMetrics(log_loss, brier, calibration_error(labels, probabilities), diagram)
