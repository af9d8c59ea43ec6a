"""Votes: what several people said of each face, the only evidence about a label that no model gave.

FER+ has ten for each face of FER2013 (Barsoum et al., ICMI 2016); see :mod:`mien.data.votes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import Notice
from mien.base.labels import NOT_A_FACE_CLASS
from mien.data.dataset import Dataset
from mien.data.votes import checked_counts


@dataclass(frozen=True, eq=False)
class Votes:
    """The votes as shares.

    Attributes:
        answers: V names of what people could say.
        shares: float64 (N, V), each sample summing to 1; NaN for a sample without votes.
        counts: float64 (N,), what the votes of each sample sum to: how many there are, where they are no shares.
        class_of_answer: int64 (V,), the class of the data that each answer names, -1 where none does.
        notes: what a person should know about the votes, a sentence each.
    """

    answers: tuple[str, ...]
    shares: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]
    class_of_answer: npt.NDArray[np.int64]
    notes: tuple[Notice, ...]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether a sample has votes. bool (N,)."""
        return np.asarray(self.counts > 0)

    @property
    def not_a_face(self) -> npt.NDArray[np.float64] | None:
        """Fraction of voters who saw no face. float64 (N,), NaN without votes; None where nobody could say so."""
        return self.shares[:, self.answers.index(NOT_A_FACE_CLASS)] if NOT_A_FACE_CLASS in self.answers else None

    def of(self, chosen: npt.NDArray[Any]) -> Votes:
        """The votes of some samples: bool (N,) or positions."""
        return replace(self, shares=self.shares[chosen], counts=self.counts[chosen])

    def by_class(self, classes: int) -> npt.NDArray[np.float64]:
        """Shares of the votes for each class of the data, float64 (N, C); NaN for a class that no answer names."""
        of_class = np.full((len(self.shares), classes), np.nan)
        for index in range(classes):
            named = self.class_of_answer == index
            if named.any():
                of_class[:, index] = self.shares[:, named].sum(axis=1)
        return of_class

    def for_label(self, labels: npt.NDArray[np.int64], classes: int) -> npt.NDArray[np.float64]:
        """Fraction of the votes for each sample's own label. int64 (N,) -> float64 (N,), NaN if unknown."""
        return self.by_class(classes)[np.arange(len(labels)), labels]


def read_votes(faces: Dataset) -> Votes | None:
    """The votes that the data carries; None where it has no column of votes that can be used.

    Whether any sample has a vote is :attr:`Votes.known`.

    Raises:
        DataError: a number of votes that is negative or no number.
    """
    if faces.votes is None:
        return None
    votes = checked_counts(faces, faces.votes)
    counts = votes.sum(axis=1, dtype=np.float64)
    shares = np.full(votes.shape, np.nan)
    np.divide(votes, counts[:, np.newaxis], out=shares, where=counts[:, np.newaxis] > 0)
    index_of = {name: index for index, name in enumerate(faces.classes)}
    return Votes(
        answers=faces.vote_classes,
        shares=shares,
        counts=counts,
        class_of_answer=np.array([index_of.get(name, -1) for name in faces.vote_classes], dtype=np.int64),
        notes=tuple(_notes(counts)),
    )


def vote_description(votes: npt.NDArray[Any], answers: Sequence[str]) -> str:
    """How people voted on a face, most frequent first: ``"fear 6, surprise 4"``; ``""`` where nobody did.

    Args:
        votes: numbers (V,), of each of the answers.
        answers: V names.
    """
    return ", ".join(f"{answers[at]} {votes[at]:.3g}" for at in np.argsort(-votes, kind="stable") if votes[at] > 0)


def _notes(counts: npt.NDArray[np.float64]) -> Iterator[Notice]:
    without = int((counts == 0).sum())
    totals, frequent = np.unique(counts[counts > 0].round(6), return_counts=True)
    # Of totals that are as frequent the greatest: a vote is lost more easily than made up.
    usual = totals[frequent == frequent.max()][-1] if len(totals) else 0
    odd = counts[(counts > 0) & (counts.round(6) != usual)]
    if len(odd):
        sums = ", ".join(f"{total:g}" for total in np.unique(odd.round(6))[:5])
        yield Notice(
            f"The votes of {len(odd):,} {'sample' if len(odd) == 1 else 'samples'} sum to {sums}, not {usual:g}: "
            f"each is divided by its own sum.",
            code="vote-sums",
        )
    if without:
        yield Notice(f"Samples without votes, excluded where votes are used: {without:,}.", code="votes-missing")
