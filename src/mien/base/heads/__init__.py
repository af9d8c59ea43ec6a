"""Heads, the outputs of a network: one file for each kind of head. The code here imports only NumPy.

To add an output, write its class in this folder, and add a line to :data:`HEADS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from mien.base.arrays import Floats, Floats32
from mien.base.heads.label import LabelHead
from mien.base.heads.votes import VotesHead

NAMES = ("valence", "arousal")
"""Names of the two values of :class:`AffectHead`, -1 (unpleasant or calm) to 1, in data, tables and JSON."""


@dataclass(frozen=True)
class AffectHead(LabelHead):
    """An output trained on people's ratings. Its values are ratings; :attr:`classes` are their names."""

    answers: ClassVar[bool] = False

    def values(self, logits: Floats32, temperature: float | None = None) -> Floats:
        """Compute ratings, -1..1, from logits, float32 (N, 2) -> float64 (N, 2). Ratings need no temperature."""
        return np.tanh(logits.astype(np.float64))


Target = Literal["label", "votes", "majority", "sampled", "affect"]

HEADS: dict[str, type[LabelHead]] = {
    **dict.fromkeys(("votes", "sampled", "majority"), VotesHead),
    "label": LabelHead,
    "affect": AffectHead,
}
"""Head of each training target, in the order of preference of :func:`answering`."""


def answering(targets: Sequence[str]) -> int:
    """Return the index of the default output, given the training target of each output.

    The order is: the distribution of votes, one sampled vote, the majority of votes, the label.
    ``web/src/heads/votes.ts`` has the same rule.

    >>> answering(["label", "majority", "votes"]), answering(["label"])
    (2, 0)
    """
    return min(range(len(targets)), key=lambda at: list(HEADS).index(targets[at]))
