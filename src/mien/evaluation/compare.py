"""Two classifiers on the same faces: is one better, or did it have luck?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.evaluation.figures import resample
from mien.evaluation.intervals import percentile_interval
from mien.evaluation.metrics import Floats
from mien.evaluation.results import Estimate, fields_to_dict
from mien.evaluation.scores import Scores

EXACT_BELOW = 25
"""Fewer discordant rows than this are too few for the chi-square approximation of McNemar's test."""


@dataclass(frozen=True)
class Difference:
    """A figure of both classifiers, and by how much the second exceeds the first.

    Attributes:
        first: the figure of the first; NaN where undefined, as all that follow.
        second: of the second.
        difference: second minus first, with its 95 % paired bootstrap interval.
        p_value: two-sided, 0..1, of no difference; see :func:`compare_scores`.
    """

    first: float
    second: float
    difference: Estimate
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return fields_to_dict(self)


@dataclass(frozen=True)
class McNemar:
    """McNemar's test of whether both are right equally often: only rows that one gets and the other does not count.

    Attributes:
        only_first: rows that the first alone gets right.
        only_second: rows that the second alone gets right.
        method: ``"exact binomial"``, or ``"chi-square"`` from :data:`EXACT_BELOW` such rows on.
        statistic: chi-square with continuity correction; NaN in the exact test.
        p_value: two-sided, 0..1; 1 without such rows.
    """

    only_first: int
    only_second: int
    method: str
    statistic: float
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return fields_to_dict(self)


@dataclass(frozen=True, eq=False)
class Comparison:
    """The second classifier against the first, on the same rows.

    Attributes:
        rows: number of rows.
        classes: C class names.
        accuracy: 0..1, more is better.
        macro_f1: 0..1, more is better.
        log_loss: nats, less is better.
        recall: of each class, in their order; NaN for a class without rows.
        mcnemar: the test on accuracy that needs no resampling.
        only_first: int64, numbers (``Scores.rows``) of the rows that the first alone gets right, ascending.
        only_second: the same of the second.
        both_wrong: int64, numbers of the rows that neither gets right, ascending.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.
    """

    rows: int
    classes: tuple[str, ...]
    accuracy: Difference
    macro_f1: Difference
    log_loss: Difference
    recall: tuple[Difference, ...]
    mcnemar: McNemar
    only_first: npt.NDArray[np.int64]
    only_second: npt.NDArray[np.int64]
    both_wrong: npt.NDArray[np.int64]
    resamples: int
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return fields_to_dict(self)


def compare_scores(first: Scores, second: Scores, resamples: int = 1000, seed: int = 0) -> Comparison:
    """Compare two classifiers face by face.

    Paired bootstrap (Efron & Tibshirani 1993, chapters 13 and 15): the same rows are drawn for both, so what is hard
    for both does not blur the difference. The p-value is twice the smaller share of resamples on one side of 0, with
    1 added above and below (Davison & Hinkley 1997, equation 4.11), so it is at least 2 / (resamples + 1). That of a
    recall is McNemar's on the rows of the class: where these are few, all resamples may agree by chance.

    Args:
        first: scores of one, in any order of rows.
        second: scores of the other.
        resamples: number of bootstrap resamples.
        seed: seed of the resampling.

    Raises:
        DataError: other rows, labels, classes or data, or ``resamples`` is less than 1.
    """
    first, second = match_rows(first, second)
    names = ["accuracy", "macro_f1", "log_loss", *(f"recall.{each}" for each in first.classes)]
    of_first, of_second = resample((first, second), names, resamples, seed)

    right = [scores.probabilities.argmax(axis=1) == scores.labels for scores in (first, second)]
    only_first, only_second = right[0] & ~right[1], right[1] & ~right[0]
    drawn = of_second.drawn - of_first.drawn

    def difference(index: int, p_value: float) -> Difference:
        values = float(of_first.values[index]), float(of_second.values[index])
        change = percentile_interval(values[1] - values[0], drawn[:, index])
        return Difference(*values, change, math.nan if math.isnan(change.value) else p_value)

    def of_class(label: int) -> McNemar:
        rows = first.labels == label
        return mcnemar_test(int(only_first[rows].sum()), int(only_second[rows].sum()))

    accuracy, macro_f1, log_loss = (difference(index, bootstrap_p_value(drawn[:, index])) for index in range(3))
    recall = [difference(3 + label, of_class(label).p_value) for label in range(len(first.classes))]
    return Comparison(
        rows=len(first),
        classes=first.classes,
        accuracy=accuracy,
        macro_f1=macro_f1,
        log_loss=log_loss,
        recall=tuple(recall),
        mcnemar=mcnemar_test(int(only_first.sum()), int(only_second.sum())),
        only_first=first.rows[only_first],
        only_second=first.rows[only_second],
        both_wrong=first.rows[~right[0] & ~right[1]],
        resamples=resamples,
        seed=seed,
    )


def shared_rows(several: Sequence[Scores]) -> list[Scores]:
    """Only the rows that all of them have, so that e.g. scores with and without disgust meet on the same images.

    Raises:
        DataError: no row is in all of them.
    """
    shared = reduce(np.intersect1d, (scores.rows for scores in several))
    if not len(shared):
        raise DataError("No row stands in all of these scores, so there is nothing to compare them on.")
    return [scores.subset(np.isin(scores.rows, shared)) for scores in several]


def match_rows(first: Scores, second: Scores) -> tuple[Scores, Scores]:
    """Both scores in the order of their row numbers, ascending.

    Raises:
        DataError: they are not of the same rows, labels, classes and data (where both know their data).
    """
    if first.classes != second.classes:
        raise DataError(
            "Only scores of the same classes in the same order can be compared; "
            f"found {', '.join(first.classes)} and {', '.join(second.classes)}."
        )
    prints = first.data_fingerprint, second.data_fingerprint
    if all(prints) and prints[0] != prints[1]:
        raise DataError(
            f"Only scores of the same data can be compared; found {prints[0][:19]}... and {prints[1][:19]}.... "
            "Evaluate both models on one dataset, with the same --clean or without."
        )
    first, second = (_ascending(scores) for scores in (first, second))
    if not np.array_equal(first.rows, second.rows):
        lone = np.setxor1d(first.rows, second.rows)
        raise DataError(
            f"Only scores of the same rows can be compared; found {len(first)} rows ({first.split}) and "
            f"{len(second)} ({second.split}), of which {len(lone)} stand in one alone, such as row {lone[0]}. "
            "--shared-rows compares on those that all have."
        )
    other = np.flatnonzero(first.labels != second.labels)
    if len(other):
        names = [scores.classes[scores.labels[other[0]]] for scores in (first, second)]
        raise DataError(
            f"Only scores with the same true labels can be compared; row {first.rows[other[0]]} is {names[0]} in the "
            f"first and {names[1]} in the second, and {len(other)} rows differ in all."
        )
    return first, second


def mcnemar_test(only_first: int, only_second: int) -> McNemar:
    """McNemar's test from the two discordant counts: Psychometrika 12, 1947; continuity: Edwards, the same 13, 1948.

    Below :data:`EXACT_BELOW` discordant rows it is the exact binomial test of one half, otherwise chi-square with one
    degree of freedom of (|b - c| - 1)^2 / (b + c).
    """
    total = only_first + only_second
    if total < EXACT_BELOW:
        tail = sum(math.comb(total, count) for count in range(min(only_first, only_second) + 1))
        return McNemar(only_first, only_second, "exact binomial", math.nan, min(1.0, 2 * tail / 2**total))
    statistic = max(abs(only_first - only_second) - 1, 0) ** 2 / total
    return McNemar(only_first, only_second, "chi-square", statistic, math.erfc(math.sqrt(statistic / 2)))


def bootstrap_p_value(drawn: Floats) -> float:
    """Two-sided p-value of "no difference" from resampled differences. float (B,), NaN left out -> 0..1, or NaN."""
    defined = drawn[~np.isnan(drawn)]
    if not len(defined):
        return math.nan
    smaller = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return min(1.0, 2 * (smaller + 1) / (len(defined) + 1))


def _ascending(scores: Scores) -> Scores:
    return scores.subset(np.argsort(scores.rows))
