"""Confidence intervals: the bootstrap over samples for any metric, Wilson's for a proportion."""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any

import numpy as np

from mien.base.arrays import Bools, Floats, Groups
from mien.evaluation.results import LEVEL, SEED, Estimate

_CHUNK_CELLS = 2_000_000
"""Largest number of weights in memory at a time (16 MB)."""

_DEVIATIONS = NormalDist().inv_cdf((1 + LEVEL) / 2)
"""A normal distribution has the fraction LEVEL within so many standard deviations of its mean: 1.96."""

FEW_GROUPS = 5
"""If fewer groups contain a hit (or a miss), the variance between groups is not used."""


def resampled_weights(count: int, resamples: int, groups: Groups | None = None) -> Iterator[Floats]:
    """Yield how often each of ``count`` samples was drawn, for some resamples at a time: float64 (B, N).

    Args:
        count: number of samples N.
        resamples: number of resamples.
        groups: int64 (N,), group of each sample. Whole groups are drawn, as many as exist (cluster bootstrap: Davison &
            Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). None draws single samples.
            One group alone gives NaN, because all its resamples would be equal.
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
    """Compute the percentile interval over the resamples in which the metric is defined.

    Args:
        value: metric of the samples themselves.
        of_resamples: float (B,), metric of each resample, NaN where undefined, such as when a small class is not drawn.
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
    """Compute the mean of each column in each resample of the rows. float (N, K) -> float64 (resamples, K).

    ``groups`` are as in :func:`resampled_weights`. A resample of whole groups may have more or fewer rows.
    """
    chunks = resampled_weights(len(columns), resamples, groups)
    return np.concatenate([weights @ columns / weights.sum(axis=1, keepdims=True) for weights in chunks], axis=0)


def bootstrap_mean(values: Floats, resamples: int = 1000, groups: Groups | None = None) -> Estimate:
    """Return the mean of float (N,) with its bootstrap interval; ``groups`` as in :func:`bootstrap_means`."""
    return percentile_interval(float(values.mean()), bootstrap_means(values[:, np.newaxis], resamples, groups)[:, 0])


def wilson_interval(hits: float, count: float) -> tuple[float, float]:
    """Return both ends of the 95% score interval of a proportion, 0..1: Wilson, JASA 22, 1927; NaN without trials.

    Unlike the normal interval it stays in 0..1, and has a positive width even at 0 and 1. ``hits`` are 0..``count``,
    and both may be fractions.
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
    """Compute the fraction of hits among some samples with its :func:`wilson_interval`; all NaN without samples.

    With groups, the number of samples is divided by the design effect, at least 1: the variance of the fraction between
    groups over that of independent samples. (Rao & Scott, Biometrics 48, 1992, without the factor G / (G - 1), so that
    groups of one sample change nothing.) If fewer than :data:`FEW_GROUPS` groups contain a hit, or a miss, this
    variance is unreliable. The effective number of samples is then at most the number of groups, as for groups without
    variation inside (Kish, Survey Sampling, 1965, chapter 5).

    Args:
        hits: bool (N,).
        among: bool (N,), the samples to use; None uses all.
        groups: int64 (N,), as in :func:`resampled_weights`.
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
        if min(with_hit, with_miss) < FEW_GROUPS:
            worth = min(worth, float(count))
    return Estimate(share, *wilson_interval(share * worth, worth))


def share_difference(hits: Bools, inside: Bools, groups: Groups | None = None) -> tuple[Estimate, float]:
    """Compute the fraction of hits in a part minus that outside, its 95% interval, and a two-sided p-value.

    The interval is Newcombe's (Statistics in Medicine 17, 1998, method 10). The p-value is that of a normal
    distribution with this interval, so it is below 0.05 if the interval leaves out 0.
    """
    one, other = proportion_among(hits, inside, groups), proportion_among(hits, ~inside, groups)
    value = one.value - other.value
    below = math.hypot(one.value - one.low, other.high - other.value)
    above = math.hypot(one.high - one.value, other.value - other.low)
    deviations = _DEVIATIONS * abs(value) / (below if value > 0 else above)
    return Estimate(value, value - below, value + above), math.erfc(deviations / math.sqrt(2))
