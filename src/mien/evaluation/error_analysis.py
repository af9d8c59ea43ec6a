"""Error analysis: confused classes, the worst mistakes, and models that always give one answer."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.base.errors import Notice
from mien.base.sample_groups import Groups
from mien.evaluation.intervals import proportion_among
from mien.evaluation.metrics import Floats, Labels
from mien.evaluation.results import Estimate, Evaluation, JsonResult

ONE_ANSWER = 0.95
"""A model with this fraction of answers in one class is said to always answer it."""

Indices = npt.NDArray[np.int64]


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


def confused_pairs(labels: Labels, predicted: Indices, groups: Groups | None = None) -> tuple[ConfusedPair, ...]:
    """List all pairs of classes that were confused at least once, by falling count, then rate, then class order."""
    pairs = []
    for first, second in sorted({*zip(labels.tolist(), predicted.tolist(), strict=True)}):
        if first != second:
            taken_for, of_class = predicted == second, labels == first
            count, of = int((taken_for & of_class).sum()), int(of_class.sum())
            pairs.append(ConfusedPair(first, second, count, of, proportion_among(taken_for, of_class, groups)))
    return tuple(sorted(pairs, key=lambda pair: (-pair.count, pair.support, pair.first, pair.second)))


def worst_mistakes(labels: Labels, probabilities: Floats, count: int = 20) -> Indices:
    """Return the indices of at most ``count`` wrong predictions with the highest confidence, highest first.

    At equal confidence, the lower probability of the true class comes first, then the earlier sample.
    """
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = np.lexsort((probabilities[wrong, labels[wrong]], -probabilities[wrong].max(axis=1)))
    return wrong[order][:count].astype(np.int64)


def check_answers(evaluation: Evaluation) -> Iterator[Notice]:
    """Yield a notice if a model always answers one class, or is no better than always answering it."""
    answers = evaluation.confusion.sum(axis=0)
    top = int(answers.argmax())
    accuracy, share = evaluation.accuracy.value, evaluation.largest_share
    if answers[top] > ONE_ANSWER * evaluation.samples and share < ONE_ANSWER:
        words = (
            f"{answers[top] / evaluation.samples:.0%} of all answers are '{evaluation.classes[top]}'. Train for more "
        )
        yield Notice(f"{words}epochs, without class weights, or with another --find-lr.", code="one-answer")
    if accuracy <= share < 1:  # where all samples are of one class, it is always right
        guess, balanced = 1 / np.count_nonzero(evaluation.confusion.sum(axis=1)), evaluation.balanced_accuracy.value
        words = f"an accuracy of {accuracy:.1%} is no better than always answering '{evaluation.largest_class}', "
        words += f"{share:.1%}. Balanced accuracy is {balanced:.1%}; guessing has {guess:.1%}."
        yield Notice(words, code="no-better-than-one-class")
