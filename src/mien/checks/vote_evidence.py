"""FER+'s votes: what ten people said of each face, the only evidence about a label that no model gave.

Barsoum et al., Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label Distribution, ICMI
2016. Data that has them carries them as the column ``ferplus_votes``, int (N, 10).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.dataset import Dataset
from mien.errors import DataError, Notice
from mien.labels import canonical_class

COLUMN = "ferplus_votes"

ANSWERS: tuple[str, ...] = (
    "neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "no face",
)  # fmt: skip
"""The ten answers, in the order of FER+'s file."""

_USUAL_TOTAL = 10


@dataclass(frozen=True, eq=False)
class Votes:
    """The votes as shares.

    Attributes:
        shares: float64 (N, 10), each sample summing to 1; NaN for a sample without votes.
        counts: float64 (N,), what the votes of each sample sum to: how many there are, where they are no shares.
        class_of_answer: int64 (10,), the class of the data that each answer names, -1 where none does.
        notes: what a person should know about the votes, a sentence each.
    """

    shares: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]
    class_of_answer: npt.NDArray[np.int64]
    notes: tuple[Notice, ...]

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether a sample has votes. bool (N,)."""
        return np.asarray(self.counts > 0)

    @property
    def not_a_face(self) -> npt.NDArray[np.float64]:
        """Fraction of voters who saw no face. float64 (N,), NaN without votes."""
        return self.shares[:, ANSWERS.index("no face")]

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
    """The votes that the data carries; None where it has none that can be used.

    Raises:
        DataError: a number of votes that is negative or no number.
    """
    votes = faces.columns.get(COLUMN)
    if votes is None or votes.ndim != 2 or votes.shape[1] != len(ANSWERS) or votes.dtype.kind not in "iuf":
        return None
    wrong = np.flatnonzero(~(np.isfinite(votes) & (votes >= 0)).all(axis=1))
    if len(wrong):
        first = wrong[0]
        raise DataError(
            f"{COLUMN} of sample {faces.rows[first]} ({faces.source[first]}) is {votes[first].tolist()}; votes must "
            f"be at least 0. Wrong samples: {len(wrong):,} of {len(votes):,}. Correct or remove the column.",
            code="votes-range",
        )
    counts = votes.sum(axis=1, dtype=np.float64)
    shares = np.full(votes.shape, np.nan)
    np.divide(votes, counts[:, np.newaxis], out=shares, where=counts[:, np.newaxis] > 0)
    named = [canonical_class(answer) for answer in ANSWERS]
    index_of = {name: index for index, name in enumerate(faces.classes)}
    return Votes(
        shares=shares,
        counts=counts,
        class_of_answer=np.array([index_of.get(name, -1) for name in named], dtype=np.int64),
        notes=tuple(_notes(counts)),
    )


def vote_description(votes: npt.NDArray[Any]) -> str:
    """How people voted on a face, most frequent first: ``"fear 6, surprise 4"``; ``""`` where nobody did.

    Args:
        votes: numbers (10,), of each of :data:`ANSWERS`.
    """
    return ", ".join(f"{ANSWERS[at]} {votes[at]:.3g}" for at in np.argsort(-votes, kind="stable") if votes[at] > 0)


def _notes(counts: npt.NDArray[np.float64]) -> Iterator[Notice]:
    without = int((counts == 0).sum())
    odd = counts[(counts > 0) & (counts != _USUAL_TOTAL)]
    if len(odd):
        sums = ", ".join(f"{total:g}" for total in np.unique(odd.round(6))[:5])
        yield Notice(
            f"The votes of {len(odd):,} {'sample' if len(odd) == 1 else 'samples'} sum to {sums}, not {_USUAL_TOTAL}: "
            f"each is divided by its own sum.",
            code="vote-sums",
        )
    if without:
        yield Notice(f"Samples without votes, excluded where votes are used: {without:,}.", code="votes-missing")
