"""Rows whose label a model contradicts, and so do the rows that the model finds most like them.

The probabilities must be of a model that learnt neither the row nor a copy of it: out of fold, or of a split that the
model did not see.

Labels of train alone are evidence, wherever rows of train are judged: were those of validation to have a say in which
rows of train are changed, a model that learns the changed rows would have been told of the labels it is measured by.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import DataError, needs_extra

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

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
        suspicion: float64 (N,), mean rank by both among the evidence, 0..1: the highest are the most doubtful.
        flagged: bool (N,), the rows of the evidence that confident learning takes for mislabelled.
        suggested: int64 (N,), the model's class.
        sure: bool (N,), rows of train that are flagged, and model and neighbours are sure of one other class.
        evidence: bool (N,), the rows whose labels were counted: those of train, or all where none is of train.
    """

    confidence: Floats
    agreement: Floats
    suspicion: Floats
    flagged: Mask
    suggested: Labels
    sure: Mask
    evidence: Mask


def doubt_labels(
    labels: Labels, probabilities: Floats, groups: npt.NDArray[np.int64], of_train: Mask | None = None
) -> LabelDoubts:
    """Rank rows by how much a model contradicts their labels.

    Flagged by confident learning (Northcutt, Jiang & Chuang, JAIR 70, 2021), as cleanlab prunes by noise rate.
    Neighbours are nearest in the logarithms of the probabilities; copies of the row do not count. What is said of rows
    of train does not depend on the labels of any others; those are ranked by what train says. Where no row is of train,
    the rows are ranked by one another, and of none is anything sure.

    Args:
        labels: int64 (N,), 0..C-1.
        probabilities: float (N, C).
        groups: int64 (N,), copies share a number.
        of_train: bool (N,), the rows of train; None: all are.

    Raises:
        DataError: a class without a row in the evidence: then nothing is known about who is taken for it.
        MissingExtraError: cleanlab is not installed.
    """
    with needs_extra("audit", "Looking for wrong labels"):
        from cleanlab.filter import find_label_issues
    of_train = np.ones(len(labels), dtype=np.bool_) if of_train is None else of_train
    evidence = of_train if of_train.any() else ~of_train
    check_evidence(labels[evidence], probabilities.shape[1], "train row" if of_train.any() else "row")
    scaled = probabilities / probabilities.sum(axis=1, keepdims=True)
    confidence = scaled[np.arange(len(labels)), labels]
    suggested = scaled.argmax(axis=1).astype(np.int64)
    shares = neighbour_labels(labels, scaled, groups, evidence)
    agreement = shares[np.arange(len(labels)), labels]
    with warnings.catch_warnings():
        # Of a class with a row or two cleanlab flags none, and says so.
        warnings.filterwarnings("ignore", message="May not flag all label issues")
        found = find_label_issues(labels[evidence], scaled[evidence], filter_by="prune_by_noise_rate", n_jobs=1)
    flagged = np.zeros(len(labels), dtype=np.bool_)
    flagged[evidence] = found
    sure = flagged & of_train & (suggested != labels)
    named = np.arange(len(labels)), suggested
    return LabelDoubts(
        confidence=confidence,
        agreement=agreement,
        suspicion=1 - (_rank(confidence, evidence) + _rank(agreement, evidence)) / 2,
        flagged=flagged,
        suggested=suggested,
        sure=sure & (scaled[named] >= SURE_FROM) & (shares[named] >= SURE_FROM),
        evidence=evidence,
    )


def check_evidence(labels: Labels, classes: int, what: str) -> None:
    """Refuse labels int64 (N,) of the evidence, rows that are a ``what`` each, where a class has none.

    Raises:
        DataError: a class without a row.
    """
    if len(np.unique(labels)) < classes:
        raise DataError(f"Looking for wrong labels needs scores of a {what} of every class that the model knows.")


def neighbour_labels(labels: Labels, probabilities: Floats, groups: npt.NDArray[np.int64], evidence: Mask) -> Floats:
    """For each row, the share of each label among the rows with the most similar probabilities. -> (N, C).

    Up to :data:`NEIGHBOURS` of the rows in ``evidence``, bool (N,), without the row and its copies. A row that has only
    copies near it gets the shares of all the evidence.
    """
    with needs_extra("audit", "Looking for wrong labels"):
        from sklearn.neighbors import NearestNeighbors
    logarithms = np.log(np.maximum(probabilities, _SMALLEST))
    places = logarithms - logarithms.mean(axis=1, keepdims=True)
    witnesses = np.flatnonzero(evidence)
    count = min(NEIGHBOURS + 1, len(witnesses))
    search = NearestNeighbors(n_neighbors=count, algorithm="kd_tree").fit(places[witnesses])
    near = witnesses[search.kneighbors(places)[1]]
    others = groups[near] != groups[:, np.newaxis]
    # One more was asked for because a row of the evidence finds itself; any other has one too many.
    others &= np.cumsum(others, axis=1) <= NEIGHBOURS
    classes = probabilities.shape[1]
    counts = np.zeros((len(labels), classes))
    np.add.at(counts, (np.repeat(np.arange(len(labels)), count), labels[near].ravel()), others.ravel())
    overall = np.bincount(labels[witnesses], minlength=classes) / len(witnesses)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), overall)


def _rank(values: Floats, evidence: Mask) -> Floats:
    """Mean rank of each value among those of the evidence, equal ones alike, scaled to 0..1. (N,) -> (N,)."""
    ordered = np.sort(values[evidence])
    lower, upper = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray(np.clip((lower + upper - 1) / 2 / max(len(ordered) - 1, 1), 0, 1))
