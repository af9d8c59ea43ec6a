"""Error analysis: confused classes, the worst mistakes, and models that always give one answer."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from mien.base.arrays import Floats, Groups, Ints
from mien.base.errors import Notice
from mien.evaluation.metrics import Labels, proportion_among
from mien.evaluation.results import Estimate, Evaluation, JsonResult

ONE_ANSWER = 0.95
"""A model with this fraction of answers in one class is said to always answer it."""


@dataclass(frozen=True)
class ConfusedPair(JsonResult):
    """A true class and the class that is predicted instead.

    Attributes:
        first: index of the true class.
        second: index of the predicted one.
        count: number of samples of ``first`` predicted as ``second``.
        support: number of samples of the true class.
        rate: count / support with its 95% Wilson interval, 0..1.
    """

    first: int
    second: int
    count: int
    support: int
    rate: Estimate


def confused_pairs(labels: Labels, predicted: Ints, groups: Groups | None = None) -> tuple[ConfusedPair, ...]:
    """List all pairs of classes that were confused at least once, by falling count, then rate, then class order."""
    pairs = []
    for first, second in sorted({*zip(labels.tolist(), predicted.tolist(), strict=True)}):
        if first != second:
            taken_for, of_class = predicted == second, labels == first
            count, of = int((taken_for & of_class).sum()), int(of_class.sum())
            pairs.append(ConfusedPair(first, second, count, of, proportion_among(taken_for, of_class, groups)))
    return tuple(sorted(pairs, key=lambda pair: (-pair.count, pair.support, pair.first, pair.second)))


def worst_mistakes(labels: Labels, probabilities: Floats, count: int = 20) -> Ints:
    """Return the indices of at most ``count`` wrong predictions with the highest confidence, highest first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = np.lexsort((probabilities[wrong, labels[wrong]], -probabilities[wrong].max(axis=1)))
    return wrong[order][:count].astype(np.int64)


def check_answers(evaluation: Evaluation) -> Iterator[Notice]:
    """Yield a notice if a model always answers one class, or is no better than always answering it."""
    answers = evaluation.confusion.sum(axis=0)
    top = int(answers.argmax())
    accuracy, share = evaluation.accuracy.value, evaluation.largest_share
    if answers[top] > ONE_ANSWER * evaluation.samples and share < ONE_ANSWER:
        words = f"{answers[top] / evaluation.samples:.0%} of all answers are '{evaluation.classes[top]}'. Train for"
        yield Notice(f"{words} more epochs, without class weights, or with another --find-lr.", code="one-answer")
    if accuracy <= share < 1:  # where all samples are of one class, it is always right
        guess, balanced = 1 / np.count_nonzero(evaluation.confusion.sum(axis=1)), evaluation.balanced_accuracy.value
        words = f"an accuracy of {accuracy:.1%} is no better than always answering '{evaluation.largest_class}', "
        words += f"{share:.1%}. Balanced accuracy is {balanced:.1%}; guessing has {guess:.1%}."
        yield Notice(words, code="no-better-than-one-class")


MAX_CLASSES = 12
"""Largest number of classes, because the exact search over assignments takes 2^C steps."""
SURE_Z = 6.0
"""Number of standard deviations that cannot be chance, even for the best of 12! assignments."""


def best_exchange(confusion: Ints) -> tuple[Ints, float, bool] | None:
    """Find the renaming of predicted classes (columns of ``confusion``, (C, C)) with the highest accuracy.

    This is the assignment problem, solved exactly by dynamic programming over sets of classes (Held & Karp 1962). An
    exchange is clear if it gains at least 5 points, and more samples than :data:`SURE_Z` standard deviations of a sign
    test. Returns the best name of each predicted class, int64 (C,), the accuracy under these names, and whether they
    are a clear exchange; None with more than :data:`MAX_CLASSES` classes.
    """
    count = len(confusion)
    if count > MAX_CLASSES:
        return None
    # best[used]: most correct samples if the first predicted classes are renamed to the classes with bits in `used`.
    best = np.full(1 << count, -1, dtype=np.int64)
    choice = np.zeros(1 << count, dtype=np.int64)
    best[0] = 0
    for used in range(1, 1 << count):
        predicted = used.bit_count() - 1
        for true in range(count):
            if used >> true & 1:
                value = best[used ^ 1 << true] + confusion[true, predicted]
                if value > best[used]:
                    best[used], choice[used] = value, true
    renamed, used = np.zeros(count, dtype=np.int64), (1 << count) - 1
    for predicted in reversed(range(count)):
        renamed[predicted] = choice[used]
        used ^= 1 << int(choice[used])
    moved = np.flatnonzero(renamed != np.arange(count))
    gained = int(confusion[renamed[moved], moved].sum())
    lost = int(confusion[moved, moved].sum())
    total = max(int(confusion.sum()), 1)
    clear = gained - lost >= 0.05 * total and gained - lost > SURE_Z * math.sqrt(gained + lost)
    return renamed, float(best[-1]) / total, clear


LEARNED_SHARE = 0.6
"""A model that repeats more than this fraction has probably memorised the labels. Models that never saw the labels
reach about 40% (docs/check.md)."""


def learned_labels(
    labels: Labels, predicted: Labels, majority: Labels, groups: Groups | None = None
) -> tuple[int, Estimate]:
    """Measure how often predictions, int64 (N,), repeat labels that contradict the annotators' majority.

    A wrong label cannot be recognised in the image, so a model that repeats most of them was probably trained on them.
    ``majority`` is -1 if there is none, or it is not one of the classes. Returns the number of such samples, and the
    fraction of them whose prediction equals the label, 0..1, with its 95% interval over samples or groups, int64 (N,).
    """
    contradicted = (majority >= 0) & (majority != labels)
    return int(contradicted.sum()), proportion_among(predicted == labels, contradicted, groups)
