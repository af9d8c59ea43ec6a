"""How right can anybody be about labels that people disagree on? Estimates from votes and from copies.

No estimate is a bound that nothing can pass: a model may learn habits of the labellers that the voters do not share.
What each one takes for granted stands in its docstring, and on the page beside it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.checks.vote_evidence import Votes
from mien.errors import needs_extra

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_TIED = 1e-9


def plurality_hits(votes: Votes, labels: Labels, classes: int) -> Floats:
    """For each sample, whether most voters chose its label: 1, 0, or the chance to draw it among tied answers.

    Its mean is the accuracy of somebody who reads faces exactly as most of ten people do. Takes for granted that these
    ten are the best readers there are, and that they were asked the question that the labels answer.

    Args:
        votes: of N samples.
        labels: int64 (N,), 0..C-1.
        classes: C.

    Returns:
        float64 (N,), 0..1; NaN without votes, and for a class that no answer names.
    """
    top = votes.shares >= votes.shares.max(axis=1, keepdims=True) - _TIED
    names_label = votes.class_of_answer[np.newaxis, :] == labels[:, np.newaxis]
    hits = (top & names_label).sum(axis=1) / np.maximum(top.sum(axis=1), 1)
    return np.where(np.isnan(votes.for_label(labels, classes)), np.nan, hits)


def next_voter_hits(votes: Votes) -> Floats:
    """For each sample, how often the other voters' most frequent answer is what one voter said. float64 (N,), 0..1.

    Its mean is the accuracy that most of nine people reach when one more voter is the truth: the ceiling if the labels
    were one voter's word each. Takes for granted that voters answer independently; a tie counts its share. NaN for a
    sample with fewer than two votes, or with shares in place of votes.
    """
    counts = np.rint(votes.shares * votes.counts[:, np.newaxis])
    hits = np.zeros(len(counts))
    for answer in range(counts.shape[1]):
        others = counts.copy()
        others[:, answer] -= 1
        top = others >= others.max(axis=1, keepdims=True)
        hits += counts[:, answer] * top[:, answer] / top.sum(axis=1)
    total = counts.sum(axis=1)
    return np.where(total > 1, hits / np.maximum(total, 1), np.nan)


def predicted_from_votes(votes: Votes, labels: Labels, folds: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether each sample's label is what a linear classifier makes of its votes, fitted on the other folds.

    Their mean is how well labels follow from votes at best, the labellers' habits included (where many say "sad" and
    some "neutral", which label is usual?). Takes for granted that votes hold all that an image says; they do not hold
    what makes one labeller differ from the rest.

    Args:
        votes: of N samples, all with votes.
        labels: int64 (N,).
        folds: int64 (N,), samples of one image in one fold; at least two folds.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    with needs_extra("audit", "The audit"):
        from sklearn.linear_model import LogisticRegression
    hits = np.zeros(len(labels), dtype=np.bool_)
    for fold in np.unique(folds):
        inside = folds == fold
        if len(np.unique(labels[~inside])) < 2:
            hits[inside] = labels[inside] == labels[~inside][0]
            continue
        model = LogisticRegression(max_iter=1000).fit(votes.shares[~inside], labels[~inside])
        hits[inside] = model.predict(votes.shares[inside]) == labels[inside]
    return hits


def pair_agreement(groups: npt.NDArray[np.int64], labels: Labels) -> Floats:
    """For each group of two samples or more, the fraction of its pairs of samples whose labels agree. -> float64 (G,).

    If labels of an image are drawn independently with chances p, the share is on average the sum of p². The best
    answer is right with the greatest p: no less than that sum, and no more than its root, since the greatest p squared
    is one of the terms. So of all groups, the mean of the shares is the least that the best answer can be right, and
    its root the most (the root of a mean is no less than the mean of roots, Jensen).

    Assumes that each copy was labelled independently. Copies that came from one search
    word, or that were labelled one after the other, agree more than that: then both are too high.
    """
    if not len(groups):
        return np.zeros(0)
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    classes = int(labels.max()) + 1
    cells, counts = np.unique(number * classes + labels, return_counts=True)
    agreeing = np.bincount(cells // classes, weights=counts * (counts - 1), minlength=len(sizes))
    several = sizes > 1
    return np.asarray(agreeing[several] / (sizes[several] * (sizes[several] - 1)))
