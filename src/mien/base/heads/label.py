"""An output that learned labels: a probability for each class, of which the most probable answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from mien.base.labels import NO_EXPRESSION, NOT_A_FACE_CLASS

Floats = npt.NDArray[np.float64]

AGREEMENT = 0.5
"""Below this probability an answer is in doubt, unless the model's rule says otherwise. It is the share of people who
must choose the same expression in FER+'s majority rule."""

TIE_MARGIN = 0.1
"""An expression whose probability is less than this below the highest one is an alternative, unless the model's rule
says otherwise."""


class Decisions(NamedTuple):
    """Decide the answers of N rows of probabilities.

    Attributes:
        top: the class of highest probability, int64 (N,).
        likely: whether that class is an expression, and likely enough, bool (N,).
        tied: the expressions that are nearly as likely as the first, bool (N, C); none where that is "not a face".
    """

    top: npt.NDArray[np.int64]
    likely: npt.NDArray[np.bool_]
    tied: npt.NDArray[np.bool_]


def decide(
    probabilities: Floats, classes: Sequence[str], unsure_below: float = AGREEMENT, margin: float = TIE_MARGIN
) -> Decisions:
    """The rule of the answer, for one face or many; ``web/src/heads/label.ts`` has the same.

    Args:
        probabilities: float64 (N, C), rows sum to 1.
        classes: C names.
        unsure_below: an answer of a lower probability is not likely enough, 0..1.
        margin: expressions whose probability is lower than the highest by less than this are tied with it, 0..1.
    """
    is_expression = np.array([name not in NO_EXPRESSION for name in classes])
    top = probabilities.argmax(axis=1)
    highest = probabilities.max(axis=1)
    tied = is_expression & (highest[:, np.newaxis] - probabilities < margin)
    tied[np.arange(len(top)), top] = False
    tied[np.array(classes)[top] == NOT_A_FACE_CLASS] = False
    return Decisions(top, is_expression[top] & (highest >= unsure_below), tied)


def softmax(logits: Floats) -> Floats:
    """Softmax over the classes, safe for any finite logits: (N, C) -> float64 (N, C), each row sums to 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


@dataclass(frozen=True)
class LabelHead:
    """An output in use whose probabilities are those of labels.

    Attributes:
        name: None for the only output of a model without named outputs.
        logits: the graph's output with its logits.
        classes: of its probabilities.
        temperature: divides the logits before the softmax.
        target: what taught it: label, votes, majority or sampled (:class:`mien.base.recipe.OutputRecipe`).
    """

    name: str | None
    logits: str
    classes: tuple[str, ...]
    temperature: float
    target: str = "label"

    perceived: ClassVar[bool] = False
    """Return whether votes taught it."""
    unsure_below: ClassVar[float] = AGREEMENT
    margin: ClassVar[float] = TIE_MARGIN

    @property
    def logit_classes(self) -> tuple[str, ...]:
        """The classes in the order of the logits."""
        return self.classes

    def values(self, logits: npt.NDArray[np.float32], temperature: float | None = None) -> Floats:
        """Probabilities of :attr:`classes` from logits, float32 (N, K) -> float64 (N, C); rows sum to 1.

        Args:
            logits: in the order of :attr:`logit_classes`.
            temperature: instead of the output's own.
        """
        return softmax(logits.astype(np.float64) / (self.temperature if temperature is None else temperature))
