"""Classes of outputs, by training target. To add an output, write its class in this folder and add a line here."""

from collections.abc import Sequence
from typing import Literal

from mien.base.heads.affect import AffectHead
from mien.base.heads.label import LabelHead
from mien.base.heads.votes import VotesHead

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
