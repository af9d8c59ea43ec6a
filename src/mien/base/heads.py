"""Heads: what the outputs of a network say, of labels, votes or ratings. The code here imports only NumPy and pydantic.

To add an output, write its class here, and add a line to :data:`HEADS`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

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
    return Decisions(top, is_expression[top] & (highest >= unsure_below) & (tied.sum(axis=1) <= MAX_ALTERNATIVES), tied)


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
        target: training target: label, votes, majority or sampled (:class:`mien.base.recipe_tables.OutputRecipe`).
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
        """Compute probabilities from logits, float32 (N, K) -> float64 (N, C), at the output's temperature or this."""
        return softmax(logits.astype(np.float64) / (self.temperature if temperature is None else temperature))

    def derived(self, probabilities: Floats) -> Floats:
        """Compute other values from those of :meth:`values`: float64 (N, C) -> (N, len(derives))."""
        return np.empty((len(probabilities), 0))


ANSWER = "answer"
"""Name of the output that an answer rule makes from votes. No output of a graph may have this name."""

VALENCE = {
    **{"happy": 0.496, "sad": -0.546, "surprise": -0.024, "fear": -0.694},
    **{"disgust": -0.566, "angry": -0.51, "contempt": -0.135, "neutral": 0.046},
}
"""Valence of each expression, -1 (unpleasant) to 1 (pleasant). Fitted by least squares to the mean ratings of 1,600
pictures by 25 people (benchmarks/valence.py of commit a0c63428). In ten-fold cross-validation on the people's own
votes, the concordance correlation (CCC) is 0.94."""

AROUSAL = {
    **{"happy": 0.059, "sad": 0.112, "surprise": 0.364, "fear": 0.226},
    **{"disgust": 0.264, "angry": 0.319, "contempt": -0.507, "neutral": -0.799},
}
"""Arousal of each expression, -1 (calm) to 1 (excited), fitted in the same way. CCC 0.78; between two halves of the
people, 0.89."""


class AnswerRule(BaseModel, extra="forbid", frozen=True):
    """Rule of the default answer from shares of people; ``release/photographs.py`` chooses its values for a model."""

    output: str = Field(description="name of the output trained on votes")
    prior: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        description="mean share of votes of each class in training"
    )
    strength: float = Field(ge=0.0, le=1.0, description="exponent of the prior: 0 is no correction, 1 full correction")
    weights: dict[str, Annotated[float, Field(gt=0, le=100)]] = Field(
        default_factory=dict, description="further factors of the shares of expressions"
    )
    unsure_below: float = Field(ge=0.0, lt=1.0, description="an answer with a lower probability is 'unsure'")
    margin: float = Field(
        default=TIE_MARGIN, ge=0.0, lt=1.0, description="expressions less than this below the first are alternatives"
    )

    def factors(self, classes: Sequence[str]) -> Floats:
        """Return the factor of each class's share, ``weight / prior ** strength``: float64 (C,)."""
        return np.array([self.weights.get(name, 1.0) for name in classes]) / np.array(self.prior) ** self.strength

    def __str__(self) -> str:
        weights = ", ".join(f"{name} x {weight:g}" for name, weight in self.weights.items())
        limits = f"unsure below {self.unsure_below:g}, alternatives within {self.margin:g}"
        return f"shares / prior^{self.strength:g}; {f'{weights}; ' if weights else ''}{limits}"


@dataclass(frozen=True)
class VotesHead(LabelHead):
    """A network output trained on votes. Without a rule, its values are shares of people.

    Attributes:
        rule: rule that computes its probabilities from another output's; None if the network computes them.
        given: classes of that other output; empty without a rule.
    """

    rule: AnswerRule | None = None
    given: tuple[str, ...] = ()

    perceived: ClassVar[bool] = True
    derives: ClassVar[tuple[str, ...]] = ("derived_valence", "derived_arousal")

    @property
    def unsure_below(self) -> float:  # type: ignore[override]
        """Probability below which the answer is "unsure"."""
        return AGREEMENT if self.rule is None else self.rule.unsure_below

    @property
    def margin(self) -> float:  # type: ignore[override]
        """Expressions whose probability is below the highest by less than this are alternatives."""
        return TIE_MARGIN if self.rule is None else self.rule.margin

    def values(self, logits: Floats32, temperature: float | None = None) -> Floats:
        """Compute probabilities as :meth:`LabelHead.values` does, and apply the rule if there is one."""
        return self.shown(super().values(logits, temperature))

    def shown(self, shares: Floats) -> Floats:
        """Convert shares of people, (N, classes of the logits), to probabilities of :attr:`classes`, float64 (N, C).

        With a rule, the shares of expressions are multiplied by :meth:`AnswerRule.factors` and rescaled to their former
        sum (Saerens et al. 2002, weakened by ``strength``), then "unknown" is left out. ``web/src/heads/votes.ts`` does
        the same. Without a rule, the shares are returned.
        """
        if self.rule is None:
            return shares
        is_expression = np.array([name not in NO_EXPRESSION for name in self.given])
        # A softmax may round all expressions to 0, and a sum of 0 cannot be rescaled.
        shares = shares + 1e-12
        weighted = shares[:, is_expression] * self.rule.factors(self.given)[is_expression]
        before = shares[:, is_expression].sum(axis=1, keepdims=True)
        shares[:, is_expression] = weighted * before / weighted.sum(axis=1, keepdims=True)
        kept = shares[:, [self.given.index(name) for name in self.classes]]
        return np.asarray(kept / kept.sum(axis=1, keepdims=True))

    def derived(self, probabilities: Floats) -> Floats:
        """Derive valence and arousal from the shares of people behind these probabilities: float64 (N, C) -> (N, 2)."""
        if self.rule is not None:
            factors = dict(zip(self.given, self.rule.factors(self.given).tolist(), strict=True))
            probabilities = probabilities / np.array([factors[name] for name in self.classes])
        return derived_affect(probabilities, self.classes)

    def under(self, rule: AnswerRule) -> "VotesHead":
        """Return the output that ``rule`` makes from this one: expressions, and "not-a-face" if it has that class."""
        shown = tuple(name for name in self.classes if name not in NO_EXPRESSION or name == NOT_A_FACE_CLASS)
        return replace(self, name=ANSWER, classes=shown, rule=rule, given=self.classes)


def derived_affect(shares: Floats, classes: Sequence[str]) -> Floats:
    """Compute valence and arousal, -1..1, float64 (N, 2): means of the classes' values, weighted by shares (N, C)."""
    words = np.array([[VALENCE.get(name, 0.0), AROUSAL.get(name, 0.0)] for name in classes])
    kept = shares * np.isin(classes, list(VALENCE))
    return np.asarray(kept @ words / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12))


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
    """Return the index of the default output: distribution of votes, sampled vote, majority, label, in this order.

    ``web/src/heads/votes.ts`` has the same rule.

    >>> answering(["label", "majority", "votes"]), answering(["label"])
    (2, 0)
    """
    return min(range(len(targets)), key=lambda at: list(HEADS).index(targets[at]))
