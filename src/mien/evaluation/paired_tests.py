"""Comparison of models on the same samples, and of recipes over seeds: differences with intervals and p-values.

A metric varies with the sampling of the split and with the randomness of training. The bootstrap over samples of one
run shows only the first. Runs with other seeds also show the variance of training.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from mien.base.arrays import Bools, Floats, Groups
from mien.base.errors import DataError
from mien.evaluation.metrics import percentile_interval
from mien.evaluation.named_metrics import Metric, NamedMetric, Resampled, find_metrics, groups_of, resample
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import LEVEL, Estimate, JsonResult

EXACT_BELOW = 25
"""McNemar's test is exact with fewer discordant samples, or groups of equal size, else the chi-square approximation."""


@dataclass(frozen=True)
class Difference(JsonResult):
    """A metric of both models, and the second minus the first with its 95% paired bootstrap interval; or NaN.

    ``p_value`` is two-sided, of "no difference", 0..1; see :func:`paired_differences`.
    """

    first: float
    second: float
    difference: Estimate
    p_value: float


@dataclass(frozen=True)
class McNemar(JsonResult):
    """McNemar's test of equal accuracy, on samples that exactly one model predicts correctly; see :func:`mcnemar_test`.

    Attributes:
        method: ``"exact binomial"`` or ``"chi-square"``, with groups ``"exact sign-flip over groups"`` or ``"chi-square
            over groups"``.
        statistic: chi-square with continuity correction; NaN for an exact test.
        p_value: two-sided p-value, 0..1; 1 without discordant samples.
    """

    only_first: int
    only_second: int
    method: str
    statistic: float
    p_value: float


def shared_samples(several: Sequence[Predictions]) -> list[Predictions]:
    """Keep only the samples that all predictions have. Raises DataError if they have no sample in common."""
    shared = reduce(np.intersect1d, (predictions.sample_ids for predictions in several))
    if not len(shared):
        raise DataError("These predictions share no sample, so they cannot be compared.", code="data-differs")
    return [predictions.subset(np.isin(predictions.sample_ids, shared)) for predictions in several]


def match_samples(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions]:
    """Check that two predictions match, and return both sorted by sample id.

    Raises DataError if samples, labels, classes or data fingerprints (if both have one) differ.
    """
    if first.classes != second.classes:
        found = " and ".join(", ".join(each.classes) for each in (first, second))
        raise DataError(f"The classes differ: {found}. Merge them with mien evaluate --classes.", code="classes-differ")
    prints = first.data_fingerprint, second.data_fingerprint
    if all(prints) and prints[0] != prints[1]:
        found = " and ".join(f"{each[:19]}..." for each in prints)
        raise DataError(f"The data differs: {found}. Use one data set, and one --clean.", code="data-differs")
    first, second = (each.subset(np.argsort(each.sample_ids)) for each in (first, second))
    if not np.array_equal(first.sample_ids, second.sample_ids):
        lone = np.setxor1d(first.sample_ids, second.sample_ids)
        found = " and ".join(f"{len(each)} ({each.split})" for each in (first, second))
        words = f"The samples differ: {found}; {len(lone)} are in one only, such as {lone[0]}. See --shared-only."
        raise DataError(words, code="data-differs")
    other = np.flatnonzero(first.labels != second.labels)
    if len(other):
        names = [predictions.classes[predictions.labels[other[0]]] for predictions in (first, second)]
        words = f"The labels of {len(other)} samples differ: {first.sample_ids[other[0]]} is {' and '.join(names)}."
        raise DataError(words, code="data-differs")
    return first, second


def mcnemar_test(only_first: Bools, only_second: Bools, groups: Groups | None = None) -> McNemar:
    """Run McNemar's test of equal accuracy: Psychometrika 12, 1947; continuity: Edwards, Psychometrika 13, 1948.

    ``only_first`` and ``only_second``, bool (N,), are the samples that only this model predicts correctly. Below
    :data:`EXACT_BELOW` such samples, it is the exact binomial test with probability one half. Otherwise it is the
    chi-square test of (|b - c| - 1)^2 / (b + c) with one degree of freedom.

    With groups it is the sign-flip test (Fisher, The Design of Experiments, 1935, section 21). Each group has a
    difference d: samples that only the second model predicts correctly, minus samples that only the first does. If the
    models are equally good, d is as likely as -d. The test is exact if the sum of d^2 is below :data:`EXACT_BELOW` x
    the largest d^2. Otherwise it is the chi-square test of (|sum of d| - g)^2 / (sum of d^2), g the greatest common
    divisor of all d. With groups of one sample, the sign-flip test equals McNemar's.
    """
    differences = only_second.astype(np.int64) - only_first
    if groups is not None:
        differences = np.bincount(np.unique(groups, return_inverse=True)[1], weights=differences).astype(np.int64)
    sizes, found = np.abs(differences[differences != 0]), abs(int(differences.sum()))
    counts, over = (int(only_first.sum()), int(only_second.sum())), "" if groups is None else " over groups"
    if sizes @ sizes < EXACT_BELOW * sizes.max(initial=1) ** 2:
        # Distribution of the sum of the positive differences, if each sign has probability one half.
        chances = np.ones(1)
        for size in np.sort(sizes):
            chances = (np.pad(chances, (0, size)) + np.pad(chances, (size, 0))) / 2
        p_value = min(1.0, float(chances[np.abs(2 * np.arange(len(chances)) - sizes.sum()) >= found].sum()))
        return McNemar(*counts, f"exact {'sign-flip' if over else 'binomial'}{over}", math.nan, p_value)
    statistic = max(found - int(np.gcd.reduce(sizes)), 0) ** 2 / int(sizes @ sizes)
    return McNemar(*counts, f"chi-square{over}", statistic, math.erfc(math.sqrt(statistic / 2)))


def bootstrap_p_value(drawn: Floats, units: int) -> float:
    """Compute the two-sided p-value of "no difference" from resampled differences, float (B,). NaN is ignored.

    ``units`` are the samples, or groups, that were drawn. No exact test of so many has a p-value below 2^(1 - units).
    """
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return math.nan
    smaller = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, max(2 * (smaller + 1) / (len(defined) + 1), 2.0 ** (1 - units)))


def paired_differences(
    first: Predictions, second: Predictions, metrics: Sequence[Metric], resamples: int = 1000
) -> dict[str, Difference]:
    """Compare metrics of two models on the same samples in the same order; returns the differences by metric.

    Intervals are of the paired bootstrap (Efron & Tibshirani 1993, chapters 13 and 15): each resample draws the same
    samples for both models. The p-value of a fraction of samples, such as accuracy, is McNemar's; for a recall, the
    test uses the samples of the class. Every other p-value is twice the smaller fraction of resamples on one side of
    0, with 1 added to numerator and denominator (Davison & Hinkley 1997, equation 4.11), so it is at least
    2 / (resamples + 1), and at least 2^(1 - n) for n samples or groups. With groups in the predictions, whole groups
    are drawn and McNemar's test is over groups.
    """
    both, chosen = (first, second), find_metrics(metrics)
    measured = resample(both, chosen, resamples)
    return {metric.key: _difference(metric, at, both, measured) for at, metric in enumerate(chosen)}


def _difference(metric: NamedMetric, at: int, both: Sequence[Predictions], measured: Sequence[Resampled]) -> Difference:
    """Compare a metric of two models; ``at`` is its column in what was measured of both."""
    values = float(measured[0].values[at]), float(measured[1].values[at])
    drawn = measured[1].drawn[:, at] - measured[0].drawn[:, at]
    change = percentile_interval(values[1] - values[0], drawn)
    if math.isnan(change.value):
        p_value = math.nan
    elif metric.hits is None:
        p_value = bootstrap_p_value(drawn, measured[0].units)
    else:
        one, other = (np.logical_and(*metric.hits(each)) for each in both)
        p_value = mcnemar_test(one & ~other, other & ~one, groups_of(both)).p_value
    return Difference(*values, change, p_value)


def significantly_best(
    models: Sequence[Predictions], metrics: Sequence[Metric], resamples: int = 1000
) -> dict[str, int]:
    """Return by metric which of several models, on the same samples in the same order, is better than each other one.

    The p-values of the best model against the others are those of :func:`paired_differences`, corrected by
    :func:`holm`, and must all be below 0.05. A metric without such a model, as in a tie, is left out.
    """
    chosen, best = find_metrics(metrics), dict[str, int]()
    measured = resample(models, chosen, resamples)
    for at, metric in enumerate(chosen):
        values = np.array([each.values[at] for each in measured])
        if len(models) < 2 or np.isnan(values).any():
            continue
        top = int(values.argmin() if metric.lower_is_better else values.argmax())
        pairs = [((models[top], models[k]), (measured[top], measured[k])) for k in range(len(models)) if k != top]
        if max(holm([_difference(metric, at, *pair).p_value for pair in pairs])) < 1 - LEVEL:
            best[metric.key] = top
    return best


@dataclass(frozen=True)
class Spread:
    """A metric over runs that differ only in their seed.

    Attributes:
        values: metric of each run.
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
    """The mean difference between a recipe's runs and the baseline's, paired by seed, with its 95% interval.

    Attributes:
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

    def bounded(self) -> "RepeatedDifference":
        """Clip the interval to -1..1, because metrics in 0..1 cannot differ by more."""
        found = self.difference
        return replace(self, difference=Estimate(found.value, max(found.low, -1.0), min(found.high, 1.0)))


def aligned(runs: Sequence[Predictions]) -> list[Predictions]:
    """Keep the samples that all runs have, in one order. Raises DataError for none, or other labels, classes, data."""
    first, *others = shared_samples(runs)
    return [match_samples(first, predictions)[1] for predictions in (first, *others)]


def spread(runs: Sequence[Resampled], metrics: Sequence[Metric]) -> list[Spread]:
    """Compute the spread of each metric over the runs of one recipe, one run per seed."""
    values = np.stack([run.values for run in runs])
    means, drawn = values.mean(axis=0), np.mean([run.drawn for run in runs], axis=0)
    drawn[:, [not metric.resampled for metric in find_metrics(metrics)]] = math.nan
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
            p_value = math.nan if math.isnan(difference.value) else bootstrap_p_value(resampled[0], baseline[0].units)
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
    from scipy.stats import t as student

    mean, pairs = float(differences.mean()), len(differences)
    if math.isnan(mean) or np.isnan(resampled).all():
        return Estimate(mean), math.nan
    of_samples = float(np.nanvar(resampled.mean(axis=0)))
    of_runs = float(differences.var(ddof=1)) / pairs
    of_both = max((float(np.nanvar(resampled, axis=1).mean()) - of_samples) / (pairs - 1), 0.0)
    variance = max(of_samples + of_runs - of_both, of_samples, of_runs)
    if variance <= (1e-9 * mean) ** 2:
        return Estimate(mean), 1.0 if mean == 0 else math.nan
    freedom = variance**2 / (of_runs**2 / (pairs - 1)) if of_runs else math.inf
    reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(variance)
    return Estimate(mean, mean - reach, mean + reach), 2 * float(student.sf(abs(mean) / math.sqrt(variance), freedom))
