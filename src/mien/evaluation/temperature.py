"""Temperature scaling from probabilities alone, cross-fitted so that no sample is used in its own fit.

Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2: logits are divided by one number T. The
logarithm of a probability is its logit up to a constant of the sample, which the softmax does not see.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.base.heads.label import softmax
from mien.evaluation.metrics import SMALLEST_PROBABILITY, Floats, Labels

FOLDS = 5
FOLD_SEED = 0

LEAST_TEMPERATURE, GREATEST_TEMPERATURE = 0.05, 20.0
"""Bounds of the fit: with all predictions correct, or all wrong, the optimum would be 0, or infinite."""


@dataclass(frozen=True, eq=False)
class CrossFit:
    """Probabilities at temperatures that were fitted without their own fold.

    Attributes:
        probabilities: float64 (N, C); NaN where a sample has no other fold to fit on.
        folds: int64 (N,), the fold of each sample.
        temperatures: float64 (F,), fitted on all folds but each; NaN with a single fold.
    """

    probabilities: Floats
    folds: npt.NDArray[np.int64]
    temperatures: Floats


def assign_folds(groups: npt.NDArray[np.int64], folds: int = FOLDS) -> npt.NDArray[np.int64]:
    """Deal groups into folds at random; the same groups give the same folds in whatever order the samples stand.

    Args:
        groups: int64 (N,), samples of one number stay together: ``mien.data.splits.group_identical`` for identical
            images, ``np.arange(N)`` where no two samples belong together.
        folds: at least 2; fewer are made of fewer groups.

    Returns:
        int64 (N,), 0..F-1, each fold with the same number of groups, give or take one.
    """
    distinct, group_of_row = np.unique(groups, return_inverse=True)
    dealt = np.random.default_rng(FOLD_SEED).permutation(len(distinct)) % folds
    return dealt[group_of_row].astype(np.int64)


def fit_temperature(targets: Labels | Floats, probabilities: Floats) -> float:
    """The temperature that minimises the log loss: above 1 for a classifier that is too sure.

    For targets that are distributions that is the cross-entropy ``-sum_k t_k log p_k``.

    The loss is convex in 1/T: its slope is found zero by Newton's method, kept inside a bracket by bisection. A
    probability of 0 counts as :data:`~mien.evaluation.metrics.SMALLEST_PROBABILITY`, or as its sample's smallest where
    that is less.

    Args:
        targets: labels int64 (N,), 0..C-1, or distributions float64 (N, C), rows sum to 1.
        probabilities: float (N, C).

    Returns:
        The temperature, within :data:`LEAST_TEMPERATURE`..:data:`GREATEST_TEMPERATURE`; 1 where all are equally good
        (every sample uniform); NaN without samples.
    """
    if not len(targets):
        return float("nan")
    logits = _logits(probabilities)
    if targets.ndim == 1:
        of_truth = logits[np.arange(len(targets)), targets.astype(np.int64)]
    else:
        of_truth = (targets * logits).sum(axis=1)

    def slope_and_curvature(inverse: float) -> tuple[float, float]:
        weights = softmax(inverse * logits)
        mean = (weights * logits).sum(axis=1)
        variance = (weights * np.square(logits - mean[:, np.newaxis])).sum(axis=1)
        return float((mean - of_truth).mean()), float(variance.mean())

    low, high, inverse = 1 / GREATEST_TEMPERATURE, 1 / LEAST_TEMPERATURE, 1.0
    for _ in range(200):
        slope, curvature = slope_and_curvature(inverse)
        if abs(slope) <= 1e-13:  # uniform samples leave a slope of rounding errors
            break
        low, high = (low, inverse) if slope > 0 else (inverse, high)
        step = inverse - slope / curvature if curvature > 0 else low
        # Newton may leave the bracket; then its middle, in ratio, is tried.
        following = step if low < step < high else float(np.sqrt(low * high))
        if abs(following - inverse) <= 1e-12 * inverse:
            break
        inverse = following
    return 1 / inverse


def apply_temperature(probabilities: Floats, temperature: float | Floats) -> Floats:
    """Probabilities at another temperature: softmax(log p / T).

    Args:
        probabilities: float (N, C).
        temperature: above 0, for all samples or (N,). NaN stays NaN.

    Returns:
        float64 (N, C), each sample summing to 1. The order within a sample stays.
    """
    divisor = np.broadcast_to(np.asarray(temperature, dtype=np.float64), len(probabilities))
    return softmax(_logits(probabilities) / divisor[:, np.newaxis])


def cross_fit_temperature(
    labels: Labels, probabilities: Floats, groups: npt.NDArray[np.int64] | None = None
) -> CrossFit:
    """Rescale every sample by the temperature fitted on those of :data:`FOLDS` folds that it is not in.

    Args:
        labels: int64 (N,), 0..C-1.
        probabilities: float (N, C).
        groups: int64 (N,), as in :func:`assign_folds`; None: every sample by itself.
    """
    fold_of_row = assign_folds(np.arange(len(labels)) if groups is None else groups)
    temperatures = np.array(
        [
            fit_temperature(labels[fold_of_row != fold], probabilities[fold_of_row != fold])
            for fold in range(int(fold_of_row.max(initial=-1)) + 1)
        ]
    )
    return CrossFit(apply_temperature(probabilities, temperatures[fold_of_row]), fold_of_row, temperatures)


def _logits(probabilities: Floats) -> Floats:
    """Logarithms, where a 0 counts as little but not as nothing. (N, C) -> float64 (N, C)."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    positive = np.where(probabilities > 0, probabilities, np.inf)
    floor = np.minimum(positive.min(axis=1, keepdims=True), SMALLEST_PROBABILITY)
    return np.log(np.where(probabilities > 0, probabilities, floor))
