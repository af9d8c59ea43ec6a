"""Error analysis: which classes are confused with which, the worst mistakes, and what merging classes changes.

Merged probabilities are sums, as in :class:`mien.base.labels.LabelScheme`. A scheme that is chosen and measured on the
same samples looks too good: choose it on validation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from mien.base.errors import Notice, arg, needs_extra
from mien.base.labels import LabelScheme
from mien.base.sample_groups import Groups
from mien.evaluation import metrics
from mien.evaluation.intervals import bootstrap_means, percentile_interval, proportion_among
from mien.evaluation.metrics import Floats, Labels
from mien.evaluation.results import Estimate, Evaluation, JsonResult

ONE_ANSWER = 0.95
"""Share of the answers from which one class counts as the only one."""

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ConfusedPair(JsonResult):
    """Two classes that are confused with each other.

    Attributes:
        first: index of the true class.
        second: index of the predicted one.
        count: samples of the one that were predicted as the other.
        support: samples of the true class.
        rate: count / support with its 95% Wilson interval, 0..1.
    """

    first: int
    second: int
    count: int
    support: int
    rate: Estimate


def confused_pairs(labels: Labels, predicted: Indices, groups: Groups | None = None) -> tuple[ConfusedPair, ...]:
    """Every pair of classes that was confused at least once, the most often confused first.

    Args:
        labels: int64 (N,).
        predicted: int64 (N,), the predicted classes.
        groups: int64 (N,), as in :func:`mien.evaluation.intervals.proportion_among`.

    Returns:
        By falling count; of equal counts the greater share, then the earlier classes, come first.
    """
    pairs = []
    for first, second in sorted({*zip(labels.tolist(), predicted.tolist(), strict=True)}):
        if first != second:
            taken_for, of_class = predicted == second, labels == first
            count, of = int((taken_for & of_class).sum()), int(of_class.sum())
            pairs.append(ConfusedPair(first, second, count, of, proportion_among(taken_for, of_class, groups)))
    return tuple(sorted(pairs, key=lambda pair: (-pair.count, pair.support, pair.first, pair.second)))


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


ClassGroups = tuple[tuple[int, ...], ...]
"""Indices of classes, each in one group: groups by their first member, members ascending."""


@dataclass(frozen=True, eq=False)
class Dendrogram(JsonResult):
    """Which classes join first: C leaves, C - 1 merges.

    Attributes:
        merges: float64 (C - 1, 4), as scipy's linkage matrix: the two clusters that join (0..C-1 are classes,
            C + i is merge i), the height 0..1, the number of classes in the new cluster.
        order: int64 (C,), classes in an order in which no branches cross.
    """

    merges: Floats
    order: npt.NDArray[np.int64]

    def groups(self, count: int) -> ClassGroups:
        """The groups that are left when only ``count`` of them are, 1..C."""
        class_count = len(self.order)
        clusters: dict[int, tuple[int, ...]] = {index: (index,) for index in range(class_count)}
        for index, merge in enumerate(self.merges[: class_count - count]):
            clusters[class_count + index] = clusters.pop(int(merge[0])) + clusters.pop(int(merge[1]))
        return tuple(sorted(tuple(sorted(members)) for members in clusters.values()))


@dataclass(frozen=True)
class MergedScheme(JsonResult):
    """A label scheme that falls out of the confusion, and what it gives without new training.

    Attributes:
        groups: the classes of each group.
        accuracy: fraction of right rows after merging, with its 95% bootstrap interval.
        macro_f1: mean F1 over the groups that have rows.
        chance: fraction of the rows in the greatest group: fewer classes are easier, and this says how much.
    """

    groups: ClassGroups
    accuracy: Estimate
    macro_f1: float
    chance: float


@dataclass(frozen=True, eq=False)
class Merging(JsonResult):
    """The dendrogram of a confusion matrix and its schemes of 2, 3, ... C groups, in that order."""

    dendrogram: Dendrogram
    schemes: tuple[MergedScheme, ...]


def confusion_distance(confusion: npt.NDArray[np.int64]) -> Floats:
    """One minus the mean of the two rates at which two classes are confused with each other.

    (C, C) counts -> float64 (C, C), symmetric, 0..1, 0 on the diagonal. A class without samples is never confused.
    """
    rates = metrics.divide(confusion, confusion.sum(axis=1, keepdims=True), undefined=0.0)
    distance = 1.0 - (rates + rates.T) / 2
    np.fill_diagonal(distance, 0.0)
    return distance


def average_linkage(distance: Floats) -> Dendrogram:
    """Join the two nearest clusters until one is left; their distance is the mean over all pairs of members (UPGMA).

    Args:
        distance: float (C, C), symmetric, at least 0; C at least 2.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    with needs_extra("report", "Merging classes"):
        from scipy.cluster import hierarchy
        from scipy.spatial.distance import squareform
    merges = hierarchy.linkage(squareform(distance), "average")
    return Dendrogram(merges, hierarchy.leaves_list(merges).astype(np.int64))


def merged_schemes(
    labels: Labels, probabilities: Floats, groups: Groups | None = None, resamples: int = 1000
) -> Merging:
    """Cut the dendrogram of the confusion at 2, 3, ... C groups of classes, and measure each cut.

    Args:
        labels: int64 (N,), 0..C-1.
        probabilities: float (N, C).
        groups: of samples, as in :func:`mien.evaluation.intervals.resampled_weights`.
        resamples: behind the intervals, as in :func:`mien.evaluation.estimates.evaluate_predictions`.
    """
    class_count = probabilities.shape[1]
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(axis=1), class_count)
    dendrogram = average_linkage(confusion_distance(confusion))
    right, schemes = np.empty((len(labels), class_count - 1)), []
    for count in range(2, class_count + 1):
        class_groups = dendrogram.groups(count)
        membership = np.array([[label in group for group in class_groups] for label in range(class_count)])
        merged_labels = membership.argmax(axis=1)[labels]
        predicted = (probabilities @ membership).argmax(axis=1)
        cells = metrics.confusion_matrix(merged_labels, predicted, count)
        support = metrics.support(cells)
        right[:, count - 2] = predicted == merged_labels
        f1, chance = float(metrics.macro_average(metrics.f1(cells), support)), float(support.max() / support.sum())
        schemes.append(partial(MergedScheme, class_groups, macro_f1=f1, chance=chance))
    # Of all cuts together, because the weights of the rows cost more than the means.
    drawn = bootstrap_means(right, resamples, groups=groups)
    accuracies = map(percentile_interval, right.mean(axis=0).tolist(), drawn.T)
    return Merging(dendrogram, tuple(make(accuracy=each) for make, each in zip(schemes, accuracies, strict=True)))


def scheme_of(groups: ClassGroups, classes: Sequence[str]) -> LabelScheme:
    """A label scheme with these groups, each named by its classes, e.g. ``"angry+sad"``.

    Its own name is the text that :func:`mien.base.labels.parse_scheme` reads, so that one can train with it; not where
    a class's name holds one of its signs.
    """
    named = {"+".join(classes[index] for index in group): tuple(classes[index] for index in group) for group in groups}
    return LabelScheme(",".join(f"{name}={name}" for name in named), named)


def check_answers(evaluation: Evaluation) -> Iterator[Notice]:
    """Whether a model answers one class alone, or no better than one that does."""
    answers = evaluation.confusion.sum(axis=0)
    top = int(answers.argmax())
    accuracy, share = evaluation.accuracy.value, evaluation.largest_share
    if answers[top] > ONE_ANSWER * evaluation.samples and share < ONE_ANSWER:
        yield Notice(
            f"{answers[top] / evaluation.samples:.0%} of all answers are '{evaluation.classes[top]}': the network does "
            f"not tell the classes apart. Train for more epochs, without class weights, or with a learning rate that "
            f"{arg('find_lr')} suggests.",
            code="one-answer",
        )
    if accuracy <= share:
        yield Notice(
            f"an accuracy of {accuracy:.1%} is no better than always answering '{evaluation.largest_class}', "
            f"{share:.1%}. Balanced accuracy is {evaluation.macro.recall:.1%}; guessing has "
            f"{1 / np.count_nonzero(evaluation.confusion.sum(axis=1)):.1%}.",
            code="no-better-than-one-class",
        )
