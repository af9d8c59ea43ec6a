"""Recipes that were trained several times: figures with their spread over seeds, and differences between recipes.

Two kinds of chance move a figure: which faces the split happens to hold, and how a training run happens to go. One run
shows the first alone (by the bootstrap over rows); only repeats show the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.errors import DataError, needs_extra
from mien.evaluation.compare import bootstrap_p_value, match_rows, shared_rows
from mien.evaluation.figures import Resampled
from mien.evaluation.intervals import percentile_interval
from mien.evaluation.metrics import Floats
from mien.evaluation.results import LEVEL, Estimate
from mien.evaluation.scores import Scores


@dataclass(frozen=True)
class Spread:
    """A figure over runs that differ in their seed alone.

    Attributes:
        values: of each run.
        mean: over the runs.
        deviation: sample standard deviation (n - 1); NaN with one run.
        interval: of the faces' chance alone, by the bootstrap over rows of the mean over runs.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float
    interval: Estimate

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.values)


@dataclass(frozen=True)
class RepeatedDifference:
    """By how much the runs of one recipe exceed those of the baseline, seed by seed.

    Attributes:
        baseline: mean figure of the baseline over those seeds.
        value: mean figure of the other.
        difference: value minus baseline, with its 95 % interval.
        p_value: two-sided, of no difference; NaN where undefined.
        seeds: how many pairs. With one, the interval and p-value know the faces' chance alone.
    """

    baseline: float
    value: float
    difference: Estimate
    p_value: float
    seeds: int


def aligned(runs: Sequence[Scores]) -> list[Scores]:
    """The rows that all runs have scores of, in one order.

    Raises:
        DataError: no row is shared, or labels, classes or data differ.
    """
    first, *others = shared_rows(runs)
    return [match_rows(first, scores)[1] for scores in (first, *others)]


def spread(runs: Sequence[Resampled]) -> list[Spread]:
    """Each figure over the runs of one recipe, one a seed."""
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
    """The runs of one recipe against those of another, seed by seed, on the same rows.

    With one pair of runs: the paired bootstrap over rows. With S >= 2 pairs the mean difference varies with the faces,
    with the runs, and with what a run happens to make of a face, whose variances over N rows are F/N, R/S and I/(S N).
    What can be measured are sums of them:

        v_rows = F/N + I/(S N)   bootstrap over rows of the mean over pairs
        v_runs = R/S + I/(S N)   sample variance of the pairs' differences, over S
        v_each = F/N + I/N       bootstrap over rows of one pair's difference, mean over pairs

    so that I/(S N) = (v_each - v_rows) / (S - 1), and the variance is v_rows + v_runs - I/(S N), taken as no less than
    the greater of the first two. The interval is the difference +- t times its root, t with Satterthwaite's degrees of
    freedom (Biometrics Bulletin 2, 1946), variance^2 / (v_runs^2 / (S - 1)): three seeds are few, and t says so.

    Args:
        baseline: S runs, one a seed.
        other: S runs, of the same seeds in the same order.

    Raises:
        DataError: not as many runs on both sides.
        MissingExtraError: scipy is not installed (for two pairs or more).
    """
    if len(baseline) != len(other) or not baseline:
        raise DataError(f"Runs are compared in pairs of one seed; found {len(baseline)} and {len(other)}.")
    first, second = (np.stack([run.values for run in runs]) for runs in (baseline, other))
    drawn = np.stack([run.drawn for run in other]) - np.stack([run.drawn for run in baseline])
    found = []
    for index in range(first.shape[1]):
        differences, resampled = (second - first)[:, index], drawn[:, :, index]
        difference, p_value = (
            _one_pair(differences[0], resampled[0]) if len(first) == 1 else _several(differences, resampled)
        )
        means = float(first[:, index].mean()), float(second[:, index].mean())
        found.append(RepeatedDifference(*means, difference, p_value, len(first)))
    return found


def _one_pair(difference: float, resampled: Floats) -> tuple[Estimate, float]:
    interval = percentile_interval(float(difference), resampled)
    return interval, math.nan if math.isnan(interval.value) else bootstrap_p_value(resampled)


def _several(differences: Floats, resampled: Floats) -> tuple[Estimate, float]:
    """Of S pairs' differences (S,) and their resamples (S, B)."""
    with needs_extra("report", "Comparing repeated runs"):
        from scipy.stats import t as student
    mean, pairs = float(differences.mean()), len(differences)
    if math.isnan(mean):
        return Estimate(mean, math.nan, math.nan), math.nan
    of_rows = float(np.nanvar(resampled.mean(axis=0)))
    of_runs = float(differences.var(ddof=1)) / pairs
    of_both = max((float(np.nanvar(resampled, axis=1).mean()) - of_rows) / (pairs - 1), 0.0)
    variance = max(of_rows + of_runs - of_both, of_rows, of_runs)
    if variance == 0:
        return Estimate(mean, mean, mean), 1.0 if mean == 0 else 0.0
    freedom = variance**2 / (of_runs**2 / (pairs - 1)) if of_runs else math.inf
    reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)
    p_value = 2 * float(student.sf(abs(mean) / math.sqrt(variance), freedom))
    return Estimate(mean, mean - reach, mean + reach), p_value
