"""An output trained on labels: a probability for each class. The answer is the most probable class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from mien.base.arrays import Bools, Floats, Floats32, Ints
from mien.base.labels import NO_EXPRESSION, NOT_A_FACE_CLASS

AGREEMENT = 0.5
"""Default probability below which the answer is "unsure". Likewise, FER+'s majority rule requires that half of the
people agree."""

TIE_MARGIN = 0.1
"""Default margin. Expressions whose probability is below the highest by less than this are alternatives."""


MAX_ALTERNATIVES = 2
"""An answer with more alternatives is "unsure": four expressions out of seven say nothing."""


class Decisions(NamedTuple):
    """The answers to N rows of probabilities.

    Attributes:
        top: the class of highest probability, int64 (N,).
        likely: whether that class is an expression with a probability of at least ``unsure_below`` and at most
            :data:`MAX_ALTERNATIVES` alternatives, bool (N,).
        tied: expressions nearly as likely as the first, bool (N, C). If the first is "not-a-face", all are False.
    """

    top: Ints
    likely: Bools
    tied: Bools


def decide(
    probabilities: Floats, classes: Sequence[str], unsure_below: float = AGREEMENT, margin: float = TIE_MARGIN
) -> Decisions:
    """Choose the answer for each row of probabilities, (N, C), 0..1. ``web/src/heads/label.ts`` has the same rule.

    An answer with a probability below ``unsure_below`` is "unsure". Expressions whose probability is below the highest
    by less than ``margin`` are tied with it. With more than :data:`MAX_ALTERNATIVES`, the answer is "unsure" too.
    """
    is_expression = np.array([name not in NO_EXPRESSION for name in classes])
    top = probabilities.argmax(axis=1)
    highest = probabilities.max(axis=1)
    tied = is_expression & (highest[:, np.newaxis] - probabilities < margin)
    tied[np.arange(len(top)), top] = False
    tied[np.array(classes)[top] == NOT_A_FACE_CLASS] = False
    likely = is_expression[top] & (highest >= unsure_below) & (tied.sum(axis=1) <= MAX_ALTERNATIVES)
    return Decisions(top, likely, tied)


def softmax(logits: Floats) -> Floats:
    """Softmax over the classes, safe for any finite logits: (N, C) -> float64 (N, C), each row sums to 1."""
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), dtype=np.float64)


@dataclass(frozen=True)
class LabelHead:
    """A network output whose probabilities are those of labels.

    Attributes:
        name: name of the output; None if the model has no named outputs.
        logits: name of the graph's output that holds the logits.
        classes: names of the C classes.
        temperature: divisor of the logits before the softmax.
        target: training target: label, votes, majority or sampled (:class:`mien.base.recipe.OutputRecipe`).
    """

    name: str | None
    logits: str
    classes: tuple[str, ...]
    temperature: float
    target: str = "label"

    perceived: ClassVar[bool] = False
    """True if the output was trained on votes."""
    answers: ClassVar[bool] = True
    """Return whether the values are class probabilities; only then can it give the answer."""
    derives: ClassVar[tuple[str, ...]] = ()
    """Names of the values that :meth:`derived` gives."""
    unsure_below: ClassVar[float] = AGREEMENT
    margin: ClassVar[float] = TIE_MARGIN

    def values(self, logits: Floats32, temperature: float | None = None) -> Floats:
        """Compute probabilities of :attr:`classes` from logits, float32 (N, K) -> float64 (N, C); rows sum to 1.

        ``temperature`` replaces the output's own.
        """
        return softmax(logits.astype(np.float64) / (self.temperature if temperature is None else temperature))

    def derived(self, probabilities: Floats) -> Floats:
        """Compute other values from those of :meth:`values`: float64 (N, C) -> (N, len(derives))."""
        return np.empty((len(probabilities), 0))
