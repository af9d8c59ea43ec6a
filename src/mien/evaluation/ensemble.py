"""Several models' answers as those of one: the mean of their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mien.evaluation.compare import match_rows
from mien.evaluation.scores import Scores


def average_scores(several: Sequence[Scores]) -> Scores:
    """Mean probabilities of one or more models on the same rows; rows and classes in the order of the first.

    Raises:
        DataError: they are not of the same rows, labels, classes and data (where both know their data).
    """
    first = several[0]
    matched = [match_rows(first, _in_order(scores, first.classes))[1].probabilities for scores in several]
    ranks = np.argsort(np.argsort(first.rows))
    mean = np.mean(matched, axis=0)[ranks]
    alike = len({each.temperature for each in several}) == 1
    return replace(first, probabilities=mean, temperature=first.temperature if alike else None)


def _in_order(scores: Scores, classes: tuple[str, ...]) -> Scores:
    """The same answers with their classes in another order; other classes stay as they are."""
    if scores.classes == classes or set(scores.classes) != set(classes):
        return scores
    places = np.array([classes.index(name) for name in scores.classes])
    columns = [scores.classes.index(name) for name in classes]
    return replace(
        scores, labels=places[scores.labels], probabilities=scores.probabilities[:, columns], classes=classes
    )
