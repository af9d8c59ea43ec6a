"""Whether a classifier's probabilities mean what they say, before and after a temperature is fitted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.sample_groups import Groups, join_groups
from mien.evaluation.intervals import bootstrap_means, check_resamples, percentile_interval, proportion_among
from mien.evaluation.metrics import (
    CALIBRATION_BINS,
    Floats,
    Labels,
    confidence_gaps,
    divide,
    equal_width_bins,
    sample_losses,
)
from mien.evaluation.results import Estimate, JsonResult, fields_to_dict
from mien.evaluation.temperature import cross_fit_temperature, fit_temperature

Bins = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Reliability(JsonResult):
    """A reliability diagram: how often answers of about the same confidence are right.

    Attributes:
        lower: float64 (M,), least confidence that a bin may hold.
        upper: float64 (M,), greatest.
        count: int64 (M,), samples in each bin.
        confidence: float64 (M,), mean confidence in the bin; NaN where it is empty, as all that follow.
        accuracy: float64 (M,), fraction of right samples.
        low: float64 (M,), lower end of the accuracy's 95% Wilson interval.
        high: float64 (M,), upper end.
    """

    lower: Floats
    upper: Floats
    count: npt.NDArray[np.int64]
    confidence: Floats
    accuracy: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class CalibrationMetrics(JsonResult):
    """How well the probabilities of one set of scores are calibrated; the intervals are bootstrap intervals.

    Attributes:
        log_loss: nats, 0..34.6.
        brier: 0..2, summed over classes.
        calibration_error: expected calibration error of the top label, bins of equal width, 0..1.
        adaptive_calibration_error: the same over bins of equal mass, 0..1.
        reliability: the diagram over the bins of equal width.
    """

    log_loss: Estimate
    brier: Estimate
    calibration_error: Estimate
    adaptive_calibration_error: Estimate
    reliability: Reliability


@dataclass(frozen=True, eq=False)
class Calibration:
    """Calibration as it is, and as one fitted temperature would make it.

    Attributes:
        before: of the probabilities as they are.
        after: of probabilities whose temperature was fitted on other folds; NaN where there is no other fold.
        temperature: fitted on all samples: the one to use from now on. No metric here is computed with it.
        fold_temperatures: float64 (F,), the ones behind ``after``.
        calibrated: float64 (N, C), the probabilities behind ``after``.
    """

    before: CalibrationMetrics
    after: CalibrationMetrics
    temperature: float
    fold_temperatures: Floats
    calibrated: Floats

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None; without ``calibrated``, which is as large as the scores."""
        return fields_to_dict(self, leave_out=("calibrated",))


@dataclass(frozen=True, eq=False)
class CoverageCurve(JsonResult):
    """Accuracy on the most confident part of the samples, as that part grows to all of them.

    Attributes:
        coverage: float64 (P,), fraction of samples answered, ascending to 1.
        accuracy: float64 (P,), fraction of right ones among them.
        thresholds: float64 (P,), the confidence down to which samples are answered.
        risk_area: mean over the N coverages of the fraction of wrong samples (AURC), 0..1; less is better.
        best_risk_area: what it would be with every right sample above every wrong one.
    """

    coverage: Floats
    accuracy: Floats
    thresholds: Floats
    risk_area: float
    best_risk_area: float


def equal_mass_bins(values: Floats, bins: int = CALIBRATION_BINS) -> Bins:
    """Bin of each value by its rank, the same number of samples in each. (N,) -> int64 (N,), 0..bins-1, ascending.

    Equal values share a bin, whatever their order, so that with ties bins may differ in size or stay empty.
    """
    below = np.searchsorted(np.sort(values), values, side="left")
    return (below * bins // max(len(values), 1)).astype(np.int64)


def reliability(
    confidence: Floats,
    correct: npt.NDArray[np.bool_],
    groups: Groups | None = None,
) -> Reliability:
    """Bin samples by confidence and compare it with how many are right.

    Args:
        confidence: float (N,), 0..1. For one class instead of the top label: its column of the probabilities.
        correct: bool (N,). For one class: ``labels == index``.
        groups: int64 (N,), as in :func:`mien.evaluation.intervals.proportion_among`.
    """
    bins = CALIBRATION_BINS
    number = equal_width_bins(confidence)
    count = np.bincount(number, minlength=bins)
    edges = np.linspace(0.0, 1.0, bins + 1)
    mean = divide(np.bincount(number, weights=confidence, minlength=bins), count)
    accuracy = [proportion_among(correct, number == index, groups) for index in range(bins)]
    value, low, high = np.array([(each.value, each.low, each.high) for each in accuracy]).T
    return Reliability(edges[:-1].copy(), edges[1:].copy(), count, mean, value, low, high)


def adaptive_calibration_error(labels: Labels, probabilities: Floats) -> float:
    """Expected calibration error of the top label over bins of equal mass, in 0..1.

    Equal widths put most samples of a sure classifier into the last bin; equal masses do not: Nguyen & O'Connor,
    EMNLP 2015. int64 (N,), float (N, C).
    """
    columns = _gap_columns(labels, probabilities, equal_mass_bins)
    return float(np.abs(columns.mean(axis=0)).sum())


def brier_score(labels: Labels, probabilities: Floats) -> float:
    """Mean over samples of the squared differences to the truth, summed over classes, in 0..2: Brier 1950.

    A uniform answer gives 1 - 1/C. int64 (N,), float (N, C).
    """
    return float(_sample_briers(labels, probabilities).mean())


def calibrate(
    labels: Labels,
    probabilities: Floats,
    groups: Groups | None = None,
    resamples: int = 1000,
    seed: int = 0,
    *,
    copies: Groups | None = None,
) -> Calibration:
    """Metrics of calibration before and after temperature scaling, the latter cross-fitted.

    Args:
        labels: int64 (N,), 0..C-1; N at least 1.
        probabilities: float (N, C).
        groups: int64 (N,), samples of one number, such as those of a person, share a fold and are drawn together; None:
            every sample by itself.
        resamples: number of bootstrap resamples; the temperatures are not refitted in each.
        seed: seed of the resampling.
        copies: int64 (N,), samples of one number, such as identical images, share a fold, and are drawn by themselves.

    Raises:
        DataError: fewer than 1 resample.
    """
    check_resamples(resamples)
    fit = cross_fit_temperature(labels, probabilities, join_groups(len(labels), groups, copies))
    return Calibration(
        _metrics_of(labels, probabilities, resamples, seed, groups),
        _metrics_of(labels, fit.probabilities, resamples, seed, groups),
        fit_temperature(labels, probabilities),
        fit.temperatures,
        fit.probabilities,
    )


def accuracy_against_coverage(
    confidence: Floats, correct: npt.NDArray[np.bool_], most_points: int = 200
) -> CoverageCurve:
    """How accurate a classifier is that answers only where it is most confident (risk-coverage curve).

    El-Yaniv & Wiener, JMLR 11, 2010; the area as in Geifman et al., ICLR 2019. Samples of equal confidence count as in
    random order: their hits are spread evenly.

    Args:
        confidence: float (N,), anything that is higher where the classifier is surer.
        correct: bool (N,).
        most_points: thresholds kept for drawing; the areas are those of the whole curve.
    """
    count = len(confidence)
    if not count:
        return CoverageCurve(np.zeros(0), np.zeros(0), np.zeros(0), math.nan, math.nan)
    order = np.argsort(-confidence, kind="stable")
    falling = confidence[order]
    ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True))
    hits_at_ends = np.cumsum(correct[order], dtype=np.float64)[ends]
    answered = np.arange(1, count + 1)
    hits = np.interp(answered, np.append(0, ends + 1), np.append(0.0, hits_at_ends))
    best = np.minimum(answered, hits_at_ends[-1])
    kept = np.unique(np.linspace(0, len(ends) - 1, min(most_points, len(ends))).round().astype(np.int64))
    return CoverageCurve(
        (ends[kept] + 1) / count,
        hits_at_ends[kept] / (ends[kept] + 1),
        falling[ends[kept]],
        float((1 - hits / answered).mean()),
        float((1 - best / answered).mean()),
    )


def _metrics_of(
    labels: Labels, probabilities: Floats, resamples: int, seed: int, groups: Groups | None
) -> CalibrationMetrics:
    if np.isnan(probabilities).any():
        unknown, nothing = Estimate(math.nan, math.nan, math.nan), np.zeros(0)
        return CalibrationMetrics(unknown, unknown, unknown, unknown, reliability(nothing, nothing.astype(np.bool_)))
    # Each metric is a mean over samples, or a sum of absolute means: one product of matrices resamples them all.
    means = np.stack([sample_losses(labels, probabilities), _sample_briers(labels, probabilities)], axis=1)
    widths = _gap_columns(labels, probabilities, equal_width_bins)
    masses = _gap_columns(labels, probabilities, equal_mass_bins)
    columns = np.concatenate([means, widths, masses], axis=1)

    def metrics_under(averages: Floats) -> Floats:
        gaps = np.abs(averages[:, 2:]).reshape(len(averages), 2, CALIBRATION_BINS).sum(axis=2)
        return np.concatenate([averages[:, :2], gaps], axis=1)

    values, drawn = (
        metrics_under(columns.mean(axis=0, keepdims=True))[0],
        metrics_under(bootstrap_means(columns, resamples, seed, groups)),
    )
    log_loss, brier, error, adaptive = (
        percentile_interval(float(value), of_resamples) for value, of_resamples in zip(values, drawn.T, strict=True)
    )
    correct = probabilities.argmax(axis=1) == labels
    diagram = reliability(probabilities.max(axis=1), correct, groups=groups)
    return CalibrationMetrics(log_loss, brier, error, adaptive, diagram)


def _gap_columns(labels: Labels, probabilities: Floats, numbers: Callable[[Floats, int], Bins]) -> Floats:
    """Hit minus confidence of each sample, in the column of its bin: float64 (N, bins), elsewhere 0."""
    columns = np.zeros((len(labels), CALIBRATION_BINS))
    _, gaps = confidence_gaps(labels, probabilities)
    columns[np.arange(len(labels)), numbers(probabilities.max(axis=1), CALIBRATION_BINS)] = gaps
    return columns


def _sample_briers(labels: Labels, probabilities: Floats) -> Floats:
    truth = labels[:, np.newaxis] == np.arange(probabilities.shape[1])
    return np.asarray(np.square(probabilities - truth).sum(axis=1), dtype=np.float64)
