"""Metrics of values that a model predicts besides classes, such as valence, against people's ratings."""

from __future__ import annotations

import numpy as np

from mien.base.sample_groups import Groups
from mien.evaluation.intervals import bootstrap_means, percentile_interval
from mien.evaluation.metrics import Floats, divide
from mien.evaluation.predictions import RatedValues
from mien.evaluation.results import Estimate


def concordance_and_error(means: Floats) -> tuple[Floats, Floats]:
    """Compute Lin's concordance correlation (Biometrics 45, 1989), -1..1, and the root mean squared error.

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2), NaN if all values are equal. ``means`` are those of
    x, y, x^2, y^2 and xy, float64 (..., 5).
    """
    x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
    return divide(2 * (xy - x * y), xx + yy - 2 * x * y), np.sqrt(np.maximum(xx + yy - 2 * xy, 0))


def measure_ratings(values: RatedValues, groups: Groups | None = None, resamples: int = 1000) -> dict[str, Estimate]:
    """Compute ``NAME_ccc`` and ``NAME_rmse`` of each value with two ratings or more, with bootstrap intervals.

    ``groups`` and ``resamples`` are as in :func:`mien.evaluation.intervals.bootstrap_means`.
    """
    found = {}
    for name, x, y in zip(values.names, values.values.T, values.ratings.T, strict=True):
        rated = ~np.isnan(y)
        if rated.sum() < 2:
            continue
        columns = np.stack([x, y, x * x, y * y, x * y], axis=1)[rated]
        own = concordance_and_error(columns.mean(axis=0))
        drawn = concordance_and_error(bootstrap_means(columns, resamples, None if groups is None else groups[rated]))
        for metric, value, resampled in zip(("ccc", "rmse"), own, drawn, strict=True):
            found[f"{name}_{metric}"] = percentile_interval(float(value), resampled)
    return found
