"""Error analysis: which classes are confused with which, and example samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.evaluation.intervals import proportion
from mien.evaluation.metrics import Floats, Labels
from mien.evaluation.results import Estimate, JsonResult

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ConfusedPair(JsonResult):
    """Two classes that are confused with each other.

    Attributes:
        first: index of a class; the true one of an ordered pair.
        second: index of the other; the predicted one of an ordered pair.
        count: samples of the one that were predicted as the other (of an unordered pair, both ways together).
        samples: samples of the true class (of an unordered pair, of both classes).
        share: count / samples with its 95% Wilson interval, 0..1.
    """

    first: int
    second: int
    count: int
    support: int
    rate: Estimate


@dataclass(frozen=True, eq=False)
class PairExamples(JsonResult):
    """Positions of samples that show how two classes are confused, the most telling first: int64 (K,) each.

    Attributes:
        first_as_second: samples of the first class predicted as the second, the most confident first.
        second_as_first: the other way round.
        typical_first: samples of the first class that were recognised, the most typical first.
        typical_second: the same of the second class.
    """

    first_as_second: Indices
    second_as_first: Indices
    typical_first: Indices
    typical_second: Indices


def confused_pairs(confusion: npt.NDArray[np.int64], ordered: bool = False) -> tuple[ConfusedPair, ...]:
    """Every pair of classes that was confused at least once, the most often confused first.

    Args:
        confusion: int64 (C, C), samples are true classes.
        ordered: tell "angry confused with sad" from "sad confused with angry".

    Returns:
        By falling count; of equal counts the greater share, then the earlier classes, come first.
    """
    rows = confusion.sum(axis=1)
    pairs = []
    for first, second in np.ndindex(confusion.shape):
        if first == second or (first > second and not ordered):
            continue
        count, of = int(confusion[first, second]), int(rows[first])
        if not ordered:
            count, of = count + int(confusion[second, first]), of + int(rows[second])
        if count:
            pairs.append(ConfusedPair(first, second, count, of, proportion(count, of)))
    return tuple(sorted(pairs, key=lambda pair: (-pair.count, pair.support, pair.first, pair.second)))


def pair_examples(labels: Labels, probabilities: Floats, first: int, second: int, count: int = 6) -> PairExamples:
    """Samples that show how two classes are confused, beside samples of either that are as they mostly are.

    Typical of a class are the correct samples whose probabilities are nearest to the mean of all its correct ones, in
    total variation (half the sum of absolute differences). The most confident sample would be an extreme one.

    Args:
        labels: int64 (N,), 0..C-1.
        probabilities: float (N, C).
        first: index of a class.
        second: index of another.
        count: the most samples of each kind.

    Raises:
        DataError: the classes are the same, or one is not 0..C-1.
    """
    class_count = probabilities.shape[1]
    if first == second or not {first, second} <= set(range(class_count)):
        raise DataError(
            f"A pair is two different classes of 0..{class_count - 1}; found {first} and {second}.", code="pair-range"
        )
    return PairExamples(
        _confident_wrong(labels, probabilities, first, second, count),
        _confident_wrong(labels, probabilities, second, first, count),
        _typical_right(labels, probabilities, first, count),
        _typical_right(labels, probabilities, second, count),
    )


def worst_mistakes(labels: Labels, probabilities: Floats, count: int = 20) -> Indices:
    """Positions of the wrong samples that were surest of their wrong class, surest first.

    Args:
        labels: int64 (N,), 0..C-1.
        probabilities: float (N, C).
        count: the most samples.

    Returns:
        int64 (K,); of equal confidence the sample comes first whose true class got less, then the earlier one.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    of_truth = probabilities[wrong, labels[wrong]]
    order = np.lexsort((of_truth, -probabilities[wrong].max(axis=1)))
    return wrong[order][:count].astype(np.int64)


def _confident_wrong(labels: Labels, probabilities: Floats, true: int, predicted: int, count: int) -> Indices:
    rows = np.flatnonzero((labels == true) & (probabilities.argmax(axis=1) == predicted))
    return rows[np.argsort(-probabilities[rows, predicted], kind="stable")][:count].astype(np.int64)


def _typical_right(labels: Labels, probabilities: Floats, label: int, count: int) -> Indices:
    rows = np.flatnonzero((labels == label) & (probabilities.argmax(axis=1) == label))
    if not len(rows):
        return rows.astype(np.int64)
    distance = np.abs(probabilities[rows] - probabilities[rows].mean(axis=0)).sum(axis=1) / 2
    return rows[np.argsort(distance, kind="stable")][:count].astype(np.int64)
