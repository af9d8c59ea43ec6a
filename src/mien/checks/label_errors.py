"""Doubtful labels: samples whose label is contradicted by a model and by the most similar samples.

The probabilities must come from a model that was not trained on the sample or a copy of it: out-of-fold predictions, or
predictions on another split.

Training samples are compared only with training labels. Otherwise validation labels would change the training set, and
leak into models that are later measured on them.
"""

from dataclasses import dataclass

import numpy as np

from mien.base.arrays import Bools, Floats, Ints
from mien.base.errors import DataError

NEIGHBOURS = 50

SURE_FROM = 0.7
"""A new label is suggested if its probability and its fraction of the neighbours reach this."""

_MIN_PROBABILITY = 1e-4  # lower limit of probabilities, so that nearly impossible classes do not decide the neighbours


@dataclass(frozen=True, eq=False)
class LabelIssues:
    """The evidence against the labels of N samples, from a model and from the nearest neighbours.

    Attributes:
        confidence: float64 (N,), the model's probability of the label.
        agreement: float64 (N,), fraction of the sample's neighbours with the same label.
        suspicion: float64 (N,), mean rank by these two in the evidence, 0..1; higher is more doubtful.
        flagged: bool (N,), samples that confident learning finds mislabelled; only samples of the evidence.
        suggested: int64 (N,), class predicted by the model.
        sure: bool (N,), flagged samples for which model and neighbours agree on another class.
        evidence: bool (N,), samples used as evidence: the training split, or all samples if there is none.
    """

    confidence: Floats
    agreement: Floats
    suspicion: Floats
    flagged: Bools
    suggested: Ints
    sure: Bools
    evidence: Bools


def rank_label_issues(labels: Ints, probabilities: Floats, groups: Ints, of_train: Bools | None = None) -> LabelIssues:
    """Rank samples by how strongly a model contradicts their labels.

    :func:`contradicted_labels` flags samples. Neighbours are the nearest in log probabilities, without copies. Samples
    are ranked against those of the training split, ``of_train``, or all. Raises DataError for a class without evidence.
    """
    of_train = np.ones(len(labels), dtype=np.bool_) if of_train is None else of_train
    evidence = of_train if of_train.any() else ~of_train
    check_evidence(labels[evidence], probabilities.shape[1], "training sample" if of_train.any() else "sample")
    scaled = probabilities / probabilities.sum(axis=1, keepdims=True)
    confidence = scaled[np.arange(len(labels)), labels]
    suggested = scaled.argmax(axis=1).astype(np.int64)
    shares = neighbour_labels(labels, scaled, groups, evidence)
    agreement = shares[np.arange(len(labels)), labels]
    flagged = np.zeros(len(labels), dtype=np.bool_)
    flagged[evidence] = contradicted_labels(labels[evidence], scaled[evidence])
    named = np.arange(len(labels)), suggested
    return LabelIssues(
        confidence=confidence,
        agreement=agreement,
        suspicion=1 - (_rank(confidence, evidence) + _rank(agreement, evidence)) / 2,
        flagged=flagged,
        suggested=suggested,
        sure=flagged & (scaled[named] >= SURE_FROM) & (shares[named] >= SURE_FROM),
        evidence=evidence,
    )


def contradicted_labels(labels: Ints, probabilities: Floats) -> Bools:
    """Find labels that confident learning considers wrong, pruned by noise rate; each class occurs at least once.

    A class's threshold is its mean probability on its own samples. A sample counts for the class above its threshold;
    if several are, for the most probable of all, as in cleanlab. For each label, these counts estimate how many of its
    samples belong to each other class. As many are flagged, those with the largest excess over the label's probability
    (Northcutt et al., JAIR 70, 2021). A label that is the most probable class is never flagged. int64 (N,),
    float64 (N, C) -> bool (N,).
    """
    classes, named = probabilities.shape[1], probabilities[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=classes)
    votes = probabilities >= np.bincount(labels, named, minlength=classes) / counts - 1e-6
    voted = np.where(votes.sum(axis=1) > 1, probabilities.argmax(axis=1), votes.argmax(axis=1))
    joint = np.zeros((classes, classes))
    np.add.at(joint, (labels[votes.any(axis=1)], voted[votes.any(axis=1)]), 1)
    np.fill_diagonal(joint, np.maximum(joint.diagonal(), 1))
    flagged = np.zeros(len(labels), dtype=np.bool_)
    for label, row in enumerate(joint):
        own = np.flatnonzero(labels == label)
        if len(own) < 2:
            continue
        for other, count in enumerate(_rounded(row * (counts[label] / row.sum()))):
            ahead = probabilities[own, other] - named[own]
            flagged[own[np.argsort(-ahead)[: count if other != label else 0]]] = True
    return np.asarray(flagged & (named < probabilities.max(axis=1)))


def _rounded(values: Floats) -> Ints:
    """Round to whole numbers with the same sum: if needed, values near a half are rounded the other way."""
    whole = values.round()
    missing = round(values.sum() - whole.sum())
    order = np.argsort(values - whole)
    whole[order[::-1][:missing] if missing > 0 else order[:-missing]] += np.sign(missing)
    return whole.astype(np.int64)


def check_evidence(labels: Ints, classes: int, what: str) -> None:
    """Raise a DataError if a class has no sample in the evidence; ``what`` is the noun for a sample."""
    if len(np.unique(labels)) < classes:
        words = f"Finding label errors needs predictions for at least one {what} of every class of the model."
        raise DataError(words, code="not-auditable")


def neighbour_labels(labels: Ints, probabilities: Floats, groups: Ints, evidence: Bools) -> Floats:
    """Compute for each sample the fraction of each label among its nearest neighbours in probability. -> (N, C).

    Neighbours are up to :data:`NEIGHBOURS` samples of ``evidence``, bool (N,), except the sample and its copies;
    without any, the whole evidence.
    """
    from scipy.spatial import KDTree

    logarithms = np.log(np.maximum(probabilities, _MIN_PROBABILITY))
    coordinates = logarithms - logarithms.mean(axis=1, keepdims=True)
    witnesses = np.flatnonzero(evidence)
    count = min(NEIGHBOURS + 1, len(witnesses))
    near = witnesses[KDTree(coordinates[witnesses]).query(coordinates, range(1, count + 1))[1]]
    others = groups[near] != groups[:, np.newaxis]
    # Ask for one more, because a sample of the evidence finds itself. Other samples then have one too many.
    others &= np.cumsum(others, axis=1) <= NEIGHBOURS
    classes = probabilities.shape[1]
    counts = np.zeros((len(labels), classes))
    np.add.at(counts, (np.repeat(np.arange(len(labels)), count), labels[near].ravel()), others.ravel())
    overall = np.bincount(labels[witnesses], minlength=classes) / len(witnesses)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), overall)


def _rank(values: Floats, evidence: Bools) -> Floats:
    """Rank each value among the evidence, scaled to 0..1; equal values get their mean rank. (N,) -> (N,)."""
    ordered = np.sort(values[evidence])
    lower, upper = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    return np.asarray(np.clip((lower + upper - 1) / 2 / max(len(ordered) - 1, 1), 0, 1))
