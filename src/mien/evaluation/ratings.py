"""Values that a model gives beside classes, such as valence, measured by people's ratings."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mien.base.sample_groups import Groups
from mien.evaluation.intervals import bootstrap_means, percentile_interval
from mien.evaluation.metrics import Floats, divide
from mien.evaluation.predictions import RatedValues
from mien.evaluation.results import Estimate


def concordance(means: Floats) -> Floats:
    """Lin's concordance correlation coefficient (Biometrics 45, 1989), -1..1; 1 where both are equal.

    ``2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)``; NaN where both are constant and equal.

    Args:
        means: of x, y, x^2, y^2 and xy, float64 (..., 5).

    Returns:
        float64 (...).
    """
    x, y, xx, yy, xy = np.moveaxis(means, -1, 0)
    return divide(2 * (xy - x * y), xx + yy - 2 * x * y)


def measure_ratings(values: RatedValues, groups: Groups | None = None, resamples: int = 1000) -> dict[str, Estimate]:
    """CCC and root mean squared error of each value, with bootstrap intervals, of the samples that have a rating.

    Args:
        values: of N samples.
        groups: int64 (N,), as those of :func:`mien.evaluation.intervals.bootstrap_means`.
        resamples: behind each interval.

    Returns:
        ``NAME_ccc`` and ``NAME_rmse`` for each value with two ratings or more.
    """
    return dict(_measure(values, groups, resamples))


def _measure(values: RatedValues, groups: Groups | None, resamples: int) -> Iterator[tuple[str, Estimate]]:
    for name, x, y in zip(values.names, values.values.T, values.ratings.T, strict=True):
        rated = ~np.isnan(y)
        if rated.sum() < 2:
            continue
        x, y = x[rated], y[rated]
        columns = np.stack([x, y, x * x, y * y, x * y], axis=1)
        means = columns.mean(axis=0)
        drawn = bootstrap_means(columns, resamples, None if groups is None else groups[rated])
        yield f"{name}_ccc", percentile_interval(float(concordance(means)), concordance(drawn))
        yield f"{name}_rmse", percentile_interval(float(_rmse(means)), _rmse(drawn))


def _rmse(means: Floats) -> Floats:
    _, _, xx, yy, xy = np.moveaxis(means, -1, 0)
    return np.asarray(np.sqrt(np.maximum(xx + yy - 2 * xy, 0)))
