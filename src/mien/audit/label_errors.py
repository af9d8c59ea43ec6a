"""Rows whose label a model contradicts, and so do the rows that the model finds most like them.

The probabilities must be of a model that learnt neither the row nor a copy of it: out of fold, or of a split that the
model did not see.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import DataError, needs_extra

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

NEIGHBOURS = 50

SURE_FROM = 0.7
"""Probability, and share of neighbours, from which on both name one other class: then a row is worth relabelling."""

_SMALLEST = 1e-4  # of a probability, so that near-impossible classes do not decide who is a neighbour


@dataclass(frozen=True, eq=False)
class LabelDoubts:
    """What a model and its neighbours say about the labels of N rows.

    Attributes:
        confidence: float64 (N,), the probability that the model gives the label.
        agreement: float64 (N,), share of the row's neighbours that have its label.
        suspicion: float64 (N,), mean rank by both, 0..1: the highest are the most doubtful.
        flagged: bool (N,), the rows that confident learning takes for mislabelled.
        suggested: int64 (N,), the model's class.
        sure: bool (N,), flagged, and model and neighbours are sure of one other class.
    """

    confidence: Floats
    agreement: Floats
    suspicion: Floats
    flagged: npt.NDArray[np.bool_]
    suggested: Labels
    sure: npt.NDArray[np.bool_]


def doubt_labels(labels: Labels, probabilities: Floats, groups: npt.NDArray[np.int64]) -> LabelDoubts:
    """Rank rows by how much a model contradicts their labels.

    Flagged by confident learning (Northcutt, Jiang & Chuang, JAIR 70, 2021), as cleanlab prunes by noise rate.
    Neighbours are nearest in the logarithms of the probabilities; copies of the row do not count.

    Args:
        labels: int64 (N,), 0..C-1.
        probabilities: float (N, C).
        groups: int64 (N,), copies share a number.

    Raises:
        DataError: a class without a row: then nothing is known about who is taken for it.
        MissingExtraError: cleanlab is not installed.
    """
    with needs_extra("audit", "Looking for wrong labels"):
        from cleanlab.filter import find_label_issues
    classes = probabilities.shape[1]
    if len(np.unique(labels)) < classes:
        raise DataError("Looking for wrong labels needs a row of every class that the model knows.")
    scaled = probabilities / probabilities.sum(axis=1, keepdims=True)
    confidence = scaled[np.arange(len(labels)), labels]
    suggested = scaled.argmax(axis=1).astype(np.int64)
    shares = neighbour_labels(labels, scaled, groups)
    agreement = shares[np.arange(len(labels)), labels]
    with warnings.catch_warnings():
        # Of a class with a row or two cleanlab flags none, and says so.
        warnings.filterwarnings("ignore", message="May not flag all label issues")
        found = find_label_issues(labels, scaled, filter_by="prune_by_noise_rate", n_jobs=1)
    flagged = np.asarray(found, dtype=np.bool_)
    named = np.arange(len(labels)), suggested
    return LabelDoubts(
        confidence=confidence,
        agreement=agreement,
        suspicion=1 - (_rank(confidence) + _rank(agreement)) / 2,
        flagged=flagged,
        suggested=suggested,
        sure=flagged & (suggested != labels) & (scaled[named] >= SURE_FROM) & (shares[named] >= SURE_FROM),
    )


def neighbour_labels(labels: Labels, probabilities: Floats, groups: npt.NDArray[np.int64]) -> Floats:
    """For each row, the share of each label among the rows with the most similar probabilities. -> (N, C).

    Up to :data:`NEIGHBOURS` of them, without the row and its copies. A row that has only copies near it gets the shares
    of all rows.
    """
    with needs_extra("audit", "Looking for wrong labels"):
        from sklearn.neighbors import NearestNeighbors
    logarithms = np.log(np.maximum(probabilities, _SMALLEST))
    places = logarithms - logarithms.mean(axis=1, keepdims=True)
    count = min(NEIGHBOURS + 1, len(labels))
    near = NearestNeighbors(n_neighbors=count, algorithm="kd_tree").fit(places).kneighbors(places)[1]
    others = groups[near] != groups[:, np.newaxis]
    classes = probabilities.shape[1]
    counts = np.zeros((len(labels), classes))
    np.add.at(counts, (np.repeat(np.arange(len(labels)), count), labels[near].ravel()), others.ravel())
    overall = np.bincount(labels, minlength=classes) / len(labels)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), overall)


def _rank(values: Floats) -> Floats:
    """Mean rank of each value, equal ones alike, scaled to 0..1. (N,) -> (N,)."""
    ordered = np.sort(values)
    lower, upper = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray((lower + upper - 1) / 2 / max(len(values) - 1, 1))
