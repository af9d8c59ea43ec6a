"""The mean of several models' probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mien.evaluation.paired_tests import match_samples
from mien.evaluation.predictions import Predictions
from mien.evaluation.vote_predictions import VotePredictions


def average_predictions(several: Sequence[Predictions]) -> Predictions:
    """Mean probabilities of one or more models on the same samples; samples and classes in the order of the first.

    Raises:
        DataError: samples, labels, classes or data fingerprints (where both have one) differ.
    """
    first = several[0]
    matched = [match_samples(first, _in_order(predictions, first.classes))[1] for predictions in several]
    ranks = np.argsort(np.argsort(first.sample_ids))
    mean = np.mean([each.probabilities for each in matched], axis=0)[ranks]
    alike = len({each.temperature for each in several}) == 1
    return replace(
        first,
        probabilities=mean,
        temperature=first.temperature if alike else None,
        votes=_average_votes([each.subset(ranks).votes for each in matched]),
    )


def _average_votes(several: Sequence[VotePredictions | None]) -> VotePredictions | None:
    """Mean predictions of the votes, where all models predict them under the same classes; else the votes alone."""
    first = several[0]
    if first is None:
        return None
    found = [each.probabilities for each in several if each is not None and each.classes == first.classes]
    known = [each for each in found if each is not None]
    if len(known) < len(several):
        return replace(first, probabilities=None, output="")
    return replace(first, probabilities=np.mean(known, axis=0))


def _in_order(predictions: Predictions, classes: tuple[str, ...]) -> Predictions:
    """The same predictions with their classes in another order. Unchanged if the sets of classes differ."""
    if predictions.classes == classes or set(predictions.classes) != set(classes):
        return predictions
    places = np.array([classes.index(name) for name in predictions.classes])
    columns = [predictions.classes.index(name) for name in classes]
    return replace(
        predictions,
        labels=places[predictions.labels],
        probabilities=predictions.probabilities[:, columns],
        classes=classes,
    )
