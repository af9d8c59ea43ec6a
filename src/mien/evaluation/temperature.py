"""Temperature scaling of probabilities, cross-fitted: no sample is scaled by a temperature fitted on it.

Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2: logits are divided by one number T. The
log of a probability equals its logit up to a constant per sample, which the softmax ignores.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.base.heads.label import softmax
from mien.evaluation.metrics import SMALLEST_PROBABILITY, Floats, Labels

FOLDS = 5
FOLD_SEED = 0

LEAST_TEMPERATURE, GREATEST_TEMPERATURE = 0.05, 20.0
"""Bounds of the fit. Without bounds, T would be 0 if all predictions are right, and infinite if all are wrong."""


def assign_folds(groups: npt.NDArray[np.int64], folds: int = FOLDS) -> npt.NDArray[np.int64]:
    """Assign groups to folds at random, int64 (N,), 0..F-1; the numbers of groups per fold differ by at most one.

    A group's fold does not depend on the order of the samples. Fewer groups than folds give fewer folds;
    ``np.arange(N)`` means that no samples belong together.
    """
    distinct, group_of_row = np.unique(groups, return_inverse=True)
    dealt = np.random.default_rng(FOLD_SEED).permutation(len(distinct)) % folds
    return dealt[group_of_row].astype(np.int64)


def fit_temperature(targets: Labels | Floats, probabilities: Floats) -> float:
    """Find the temperature that minimises the log loss; it is above 1 for an overconfident classifier.

    With distributions as targets, (N, C), the loss is the cross-entropy ``-sum_k t_k log p_k``. The loss is convex in
    1/T. Newton's method finds the zero of its slope, with bisection as a safeguard. A probability of 0 counts as
    :data:`~mien.evaluation.metrics.SMALLEST_PROBABILITY`, or as the sample's smallest probability if that is less.

    Returns the temperature, :data:`LEAST_TEMPERATURE`..:data:`GREATEST_TEMPERATURE`; 1 if the loss is the same for all
    (uniform samples); NaN without samples.
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


def cross_fit_temperature(
    labels: Labels, probabilities: Floats, groups: npt.NDArray[np.int64] | None = None
) -> tuple[Floats, Floats]:
    """Rescale each sample with the temperature fitted on the other folds; groups as in :func:`assign_folds`.

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
    """Compute logarithms; 0 is replaced by a small probability. (N, C) -> float64 (N, C)."""
    probabilities = np.asarray(probabilities, dtype=np.float64)
    positive = np.where(probabilities > 0, probabilities, np.inf)
    floor = np.minimum(positive.min(axis=1, keepdims=True), SMALLEST_PROBABILITY)
    return np.log(np.where(probabilities > 0, probabilities, floor))
