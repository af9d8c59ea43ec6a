"""Intervals: bootstrap over rows for any figure, Wilson's for a share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.evaluation.metrics import Floats, divide
from mien.evaluation.results import LEVEL, Estimate

_CHUNK_CELLS = 2_000_000
"""Weights held at a time: 16 MB."""

_DEVIATIONS = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""Standard deviations to either side of the mean that hold LEVEL of a normal distribution: 1.96."""


def resampled_weights(count: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield, for each resample, how often each of ``count`` rows was drawn: float64 (count,), one at a time."""
    generator = np.random.default_rng(seed)
    for _ in range(resamples):
        drawn = generator.integers(0, count, size=count)
        yield np.bincount(drawn, minlength=count).astype(np.float64)


def resampled_weight_chunks(count: int, resamples: int, seed: int, columns: int = 1) -> Iterator[Floats]:
    """Yield the weights of :func:`resampled_weights` many resamples at a time: float64 (B, count).

    B is such that B * count * ``columns`` numbers stay few, for a caller who makes that many of each chunk.
    """
    at_once = max(1, _CHUNK_CELLS // (count * columns))
    chunk: list[Floats] = []
    for weights in resampled_weights(count, resamples, seed):
        chunk.append(weights)
        if len(chunk) == at_once:
            yield np.stack(chunk)
            chunk = []
    if chunk:
        yield np.stack(chunk)


def percentile_interval(value: float, of_resamples: Floats) -> Estimate:
    """Percentile interval over the resamples in which the figure is defined (a small class may be drawn never).

    Args:
        value: the figure of the rows themselves.
        of_resamples: float (B,), the figure of each resample, NaN where undefined.
    """
    defined = of_resamples[~np.isnan(of_resamples)]
    if math.isnan(value) or not len(defined):
        return Estimate(float(value), math.nan, math.nan)
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))


def bootstrap_means(columns: Floats, resamples: int, seed: int) -> Floats:
    """Mean of each column in each resample of the rows. float (N, K) -> float64 (resamples, K)."""
    count = len(columns)
    return np.concatenate(
        [weights @ columns / count for weights in resampled_weight_chunks(count, resamples, seed)], axis=0
    )


def wilson_interval(hits: npt.ArrayLike, rows: npt.ArrayLike) -> tuple[Floats, Floats]:
    """95 % score interval of a share: Wilson, JASA 22, 1927.

    Unlike the normal one it stays in 0..1, and has a width where all or none are hits.

    Args:
        hits: (...), 0..rows.
        rows: (...), at least 0.

    Returns:
        Lower and upper ends, float64 (...), in 0..1; NaN without rows.
    """
    hits, rows = np.asarray(hits, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    share, squared = divide(hits, rows), _DEVIATIONS**2
    centre = share + divide(np.full_like(rows, squared / 2), rows)
    half = _DEVIATIONS * np.sqrt(divide(share * (1 - share), rows) + divide(np.full_like(rows, squared / 4), rows**2))
    scale = 1 + divide(np.full_like(rows, squared), rows)
    # At none or all, the end is exactly 0 or 1, which rounding would miss.
    low = np.where(hits == 0, np.where(rows > 0, 0.0, np.nan), (centre - half) / scale)
    high = np.where(hits == rows, np.where(rows > 0, 1.0, np.nan), (centre + half) / scale)
    return low, high


def share_of(hits: int | np.integer[Any], rows: int | np.integer[Any]) -> Estimate:
    """``hits / rows`` with its :func:`wilson_interval`; all NaN without rows."""
    low, high = wilson_interval(hits, rows)
    return Estimate(int(hits) / int(rows) if rows else math.nan, float(low), float(high))


def check_resamples(resamples: int) -> None:
    """Refuse a bootstrap without resamples.

    Raises:
        DataError: ``resamples`` is less than 1.
    """
    if resamples < 1:
        raise DataError(f"The bootstrap needs at least 1 resample; found {resamples}.")
