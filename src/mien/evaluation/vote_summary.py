"""What the votes of a data set are like, before any model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mien.data.dataset import FERPLUS_COLUMN, Dataset
from mien.data.votes import check_votes, vote_probabilities
from mien.evaluation.ferplus import majority, sample_cross_entropies
from mien.evaluation.results import JsonResult


@dataclass(frozen=True)
class VoteSummary(JsonResult):
    """The votes of a data set.

    Attributes:
        faces: number of images.
        images: how many of them have votes; all that follows is about these.
        votes_per_image: mean number of votes.
        entropy_bits: mean entropy of an image's votes, in bits; 0 where annotators always agree.
        comparable: images with a majority by FER+'s protocol; see :mod:`mien.evaluation.ferplus`.
        agreement: fraction of these whose majority is the label; None without any.
        fractions: fraction of all votes that each class has.
    """

    faces: int
    images: int
    votes_per_image: float
    entropy_bits: float
    comparable: int
    agreement: float | None
    fractions: Mapping[str, float]


def summarise_votes(faces: Dataset) -> VoteSummary | None:
    """Summarise the votes of a data set; None where no image has any.

    Raises:
        DataError: another number of counts than classes, a negative count, or one that is not a number.
    """
    if faces.votes is None:
        if FERPLUS_COLUMN in faces.columns:
            check_votes(faces)  # raises: the column has another shape
        return None
    voted = faces.subset(~(faces.votes == 0).all(axis=1))
    if not len(voted):
        return None
    counts = check_votes(voted)
    shares = vote_probabilities(counts)
    best = majority(counts, voted.vote_classes)
    clear = best >= 0
    same = np.array(voted.vote_classes)[best[clear]] == np.array(voted.classes)[voted.labels[clear]]
    return VoteSummary(
        faces=len(faces),
        images=len(voted),
        votes_per_image=float(counts.sum(axis=1).mean()),
        entropy_bits=float(sample_cross_entropies(shares, shares).mean() / np.log(2)),
        comparable=int(clear.sum()),
        agreement=float(same.mean()) if clear.any() else None,
        fractions=dict(zip(voted.vote_classes, (counts.sum(axis=0) / counts.sum()).tolist(), strict=True)),
    )
