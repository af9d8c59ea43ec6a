"""Comparison of models on the same samples: paired differences with intervals and p-values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, arg
from mien.base.sample_groups import Groups
from mien.evaluation.metrics import Floats
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate, JsonResult

EXACT_BELOW = 25
"""McNemar's test is exact with fewer discordant samples (or groups), else the chi-square approximation."""


@dataclass(frozen=True)
class Difference(JsonResult):
    """A metric of both models, and the second minus the first.

    Attributes:
        first: metric of the first model; NaN if undefined, as in the fields below.
        second: second model's metric.
        difference: second minus first, with its 95% paired bootstrap interval.
        p_value: two-sided p-value of "no difference", 0..1; see :func:`mien.reporting.comparison.compare_predictions`.
    """

    first: float
    second: float
    difference: Estimate
    p_value: float


@dataclass(frozen=True)
class McNemar(JsonResult):
    """McNemar's test of equal accuracy. The test uses only the samples that exactly one model predicts correctly.

    See :func:`mcnemar_test`.

    Attributes:
        only_first: number of samples that only the first model predicts correctly.
        only_second: number of samples that only the second model predicts correctly.
        method: ``"exact binomial"``, or ``"chi-square"`` from :data:`EXACT_BELOW` discordant samples on; with groups
            ``"exact sign-flip over groups"`` or ``"chi-square over groups"``.
        statistic: chi-square with continuity correction; NaN for an exact test.
        p_value: two-sided p-value, 0..1; 1 without discordant samples.
    """

    only_first: int
    only_second: int
    method: str
    statistic: float
    p_value: float


def shared_samples(several: Sequence[Predictions]) -> list[Predictions]:
    """Keep only the samples that all predictions have, e.g. for models trained with and without disgust.

    Raises DataError if they have no sample in common.
    """
    shared = reduce(np.intersect1d, (predictions.sample_ids for predictions in several))
    if not len(shared):
        raise DataError("These predictions share no sample, so they cannot be compared.", code="no-shared-samples")
    return [predictions.subset(np.isin(predictions.sample_ids, shared)) for predictions in several]


def match_samples(first: Predictions, second: Predictions) -> tuple[Predictions, Predictions]:
    """Check that two predictions match, and return both sorted by sample id.

    Raises DataError if samples, labels, classes or data fingerprints (if both have one) differ.
    """
    if first.classes != second.classes:
        raise DataError(
            "Only predictions with the same classes in the same order can be compared; "
            f"found {', '.join(first.classes)} and {', '.join(second.classes)}. Evaluate both with the same "
            f"{arg('classes', 'A=A,B=B')} first.",
            code="classes-differ",
        )
    prints = first.data_fingerprint, second.data_fingerprint
    if all(prints) and prints[0] != prints[1]:
        raise DataError(
            f"Only predictions for the same data can be compared; found {prints[0][:19]}... and {prints[1][:19]}.... "
            f"Evaluate both models on one data set, with the same {arg('clean')} or without.",
            code="data-differs",
        )
    first, second = (each.subset(np.argsort(each.sample_ids)) for each in (first, second))
    if not np.array_equal(first.sample_ids, second.sample_ids):
        lone = np.setxor1d(first.sample_ids, second.sample_ids)
        raise DataError(
            f"Only predictions for the same samples can be compared; found {len(first)} ({first.split}) and "
            f"{len(second)} ({second.split}). {len(lone)} samples are in one file only, such as sample {lone[0]}. "
            f"{arg('shared_only', True)} compares on the samples that all files have.",
            code="samples-differ",
        )
    other = np.flatnonzero(first.labels != second.labels)
    if len(other):
        names = [predictions.classes[predictions.labels[other[0]]] for predictions in (first, second)]
        raise DataError(
            f"Only predictions with the same true labels can be compared; sample {first.sample_ids[other[0]]} is "
            f"{names[0]} in the first and {names[1]} in the second. Samples that differ: {len(other)}.",
            code="labels-differ",
        )
    return first, second


def mcnemar_test(
    only_first: npt.NDArray[np.bool_], only_second: npt.NDArray[np.bool_], groups: Groups | None = None
) -> McNemar:
    """Run McNemar's test of equal accuracy: Psychometrika 12, 1947; continuity: Edwards, Psychometrika 13, 1948.

    ``only_first`` and ``only_second``, bool (N,), are the samples that only this model predicts correctly. Below
    :data:`EXACT_BELOW` such samples, it is the exact binomial test with probability one half. Otherwise it is the
    chi-square test of (|b - c| - 1)^2 / (b + c) with one degree of freedom.

    With groups it is the sign-flip test (Fisher, The Design of Experiments, 1935, section 21). Each group has a
    difference d: samples that only the second model predicts correctly, minus samples that only the first does. If the
    models are equally good, d is as likely as -d. The test is exact below :data:`EXACT_BELOW` groups with d other than
    0. Otherwise it is the chi-square test of (|sum of d| - g)^2 / (sum of d^2), g the greatest common divisor of all d.
    With groups of one sample, the sign-flip test equals McNemar's.
    """
    differences = only_second.astype(np.int64) - only_first
    if groups is not None:
        group_of = np.unique(groups, return_inverse=True)[1]
        differences = np.bincount(group_of, weights=differences).astype(np.int64)
    sizes, found = np.abs(differences[differences != 0]), abs(int(differences.sum()))
    counts, over = (int(only_first.sum()), int(only_second.sum())), "" if groups is None else " over groups"
    if len(sizes) < EXACT_BELOW:
        # Distribution of the sum of the positive differences, if each sign has probability one half.
        chances = np.ones(1)
        for size in sizes:
            chances = (np.pad(chances, (0, size)) + np.pad(chances, (size, 0))) / 2
        sums = 2 * np.arange(len(chances)) - sizes.sum()
        p_value = min(1.0, float(chances[np.abs(sums) >= found].sum()))
        return McNemar(*counts, f"exact {'sign-flip' if over else 'binomial'}{over}", math.nan, p_value)
    statistic = max(found - int(np.gcd.reduce(sizes)), 0) ** 2 / int(sizes @ sizes)
    return McNemar(*counts, f"chi-square{over}", statistic, math.erfc(math.sqrt(statistic / 2)))


def bootstrap_p_value(drawn: Floats) -> float:
    """Compute the two-sided p-value of "no difference" from resampled differences, float (B,). NaN is ignored."""
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return math.nan
    smaller = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (smaller + 1) / (len(defined) + 1))
