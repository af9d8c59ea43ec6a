"""Variance over seeds: metrics of recipes that were trained several times, and differences between recipes.

A metric varies with the sampling of the split and with the randomness of training. The bootstrap over samples of one
run shows only the first. Runs with other seeds also show the variance of training.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mien.base.errors import needs_extra
from mien.evaluation.intervals import percentile_interval
from mien.evaluation.metrics import Floats
from mien.evaluation.named_metrics import Resampled
from mien.evaluation.paired_tests import bootstrap_p_value, match_samples, shared_samples
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import LEVEL, Estimate


@dataclass(frozen=True)
class Spread:
    """A metric over runs that differ only in their seed.

    Attributes:
        values: metric of each run.
        mean: mean over the runs.
        deviation: sample standard deviation over the runs (n - 1); NaN with one run.
        interval: bootstrap interval over samples of the mean over runs; it covers only the sampling variance.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float
    interval: Estimate

    @property
    def runs(self) -> int:
        """Number of runs."""
        return len(self.values)


@dataclass(frozen=True)
class RepeatedDifference:
    """The difference between a recipe's runs and the baseline's, paired by seed.

    Attributes:
        baseline: the baseline's mean metric over the seeds.
        value: the other recipe's mean metric.
        difference: value minus baseline, with its 95% interval.
        p_value: two-sided p-value of "no difference"; NaN if undefined.
        seeds: number of pairs. With one pair, interval and p-value cover only the sampling variance.
        adjusted_p_value: p-value corrected by :func:`holm` for the number of comparisons; NaN if not corrected.
    """

    baseline: float
    value: float
    difference: Estimate
    p_value: float
    seeds: int
    adjusted_p_value: float = math.nan

    def bounded(self) -> RepeatedDifference:
        """Clip the interval to -1..1, because metrics in 0..1 cannot differ by more."""
        found = self.difference
        return replace(self, difference=Estimate(found.value, max(found.low, -1.0), min(found.high, 1.0)))


def aligned(runs: Sequence[Predictions]) -> list[Predictions]:
    """Keep only the samples that all runs have, in the same order.

    Raises DataError for no common sample, or if labels, classes or data differ.
    """
    first, *others = shared_samples(runs)
    return [match_samples(first, predictions)[1] for predictions in (first, *others)]


def spread(runs: Sequence[Resampled]) -> list[Spread]:
    """Compute the spread of each metric over the runs of one recipe, one run per seed."""
    values = np.stack([run.values for run in runs])
    means, drawn = values.mean(axis=0), np.mean([run.drawn for run in runs], axis=0)
    return [
        Spread(
            values=tuple(values[:, index].tolist()),
            mean=float(means[index]),
            deviation=float(values[:, index].std(ddof=1)) if len(runs) > 1 else math.nan,
            interval=percentile_interval(float(means[index]), drawn[:, index]),
        )
        for index in range(len(means))
    ]


def compare_repeats(baseline: Sequence[Resampled], other: Sequence[Resampled]) -> list[RepeatedDifference]:
    """Compare the runs of one recipe with those of another, paired by seed, on the same samples.

    One pair of runs is compared by the paired bootstrap over samples. With S >= 2 pairs the mean difference varies with
    the faces, the runs and their interaction. For N samples, the variances of these three are F/N, R/S and I/(S N).
    Only sums of these variances can be measured:

        v_samples = F/N + I/(S N)   bootstrap over samples of the mean over pairs
        v_runs    = R/S + I/(S N)   sample variance of the pairs' differences, over S
        v_each    = F/N + I/N       bootstrap over samples of one pair's difference, averaged over pairs

    Therefore I/(S N) = (v_each - v_samples) / (S - 1). The variance is v_samples + v_runs - I/(S N), but at least the
    larger of the first two. The interval is the difference +- t times its square root. The t quantile has
    Satterthwaite's degrees of freedom (Biometrics Bulletin 2, 1946), variance^2 / (v_runs^2 / (S - 1)).

    Raises MissingExtraError without scipy for two pairs or more.
    """
    first, second = (np.stack([run.values for run in runs]) for runs in (baseline, other))
    drawn = np.stack([run.drawn for run in other]) - np.stack([run.drawn for run in baseline])
    found = []
    for index in range(first.shape[1]):
        differences, resampled = (second - first)[:, index], drawn[:, :, index]
        if len(first) > 1:
            difference, p_value = _several(differences, resampled)
        else:
            difference = percentile_interval(float(differences[0]), resampled[0])
            p_value = math.nan if math.isnan(difference.value) else bootstrap_p_value(resampled[0])
        means = float(first[:, index].mean()), float(second[:, index].mean())
        found.append(RepeatedDifference(*means, difference, p_value, len(first)))
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for the number of tests: S. Holm, Scandinavian Journal of Statistics 6, 1979.

    If differences with a corrected value below 0.05 are reported, the chance of any false one is at most 0.05. The
    smallest of K p-values is multiplied by K, the next by K - 1, and so on. No corrected value is smaller than the
    previous one or larger than 1. NaN stays NaN and is not counted.
    """
    known = [at for at, each in enumerate(p_values) if not math.isnan(each)]
    corrected, least = [math.nan] * len(p_values), 0.0
    for rank, at in enumerate(sorted(known, key=lambda at: p_values[at])):
        least = max(least, min((len(known) - rank) * p_values[at], 1.0))
        corrected[at] = least
    return corrected


def _several(differences: Floats, resampled: Floats) -> tuple[Estimate, float]:
    """Estimate the mean difference from the differences of S pairs (S,) and their resamples (S, B)."""
    with needs_extra("report", "Comparing repeated runs"):
        from scipy.stats import t as student
    mean, pairs = float(differences.mean()), len(differences)
    if math.isnan(mean):
        return Estimate(mean, math.nan, math.nan), math.nan
    of_samples = float(np.nanvar(resampled.mean(axis=0)))
    of_runs = float(differences.var(ddof=1)) / pairs
    of_both = max((float(np.nanvar(resampled, axis=1).mean()) - of_samples) / (pairs - 1), 0.0)
    variance = max(of_samples + of_runs - of_both, of_samples, of_runs)
    if variance == 0:
        return Estimate(mean, mean, mean), 1.0 if mean == 0 else 0.0
    freedom = variance**2 / (of_runs**2 / (pairs - 1)) if of_runs else math.inf
    reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)
    p_value = 2 * float(student.sf(abs(mean) / math.sqrt(variance), freedom))
    return Estimate(mean, mean - reach, mean + reach), p_value
