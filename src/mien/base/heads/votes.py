"""An output trained on annotators' votes: the share of people for each class, and the rule that picks the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from pydantic import BaseModel, Field

from mien.base.arrays import Floats, Floats32
from mien.base.heads.label import AGREEMENT, TIE_MARGIN, LabelHead
from mien.base.labels import NO_EXPRESSION, NOT_A_FACE_CLASS

ANSWER = "answer"
"""Name of the output that an answer rule makes from votes. No output of a graph may have this name."""

VALENCE = {
    **{"happy": 0.496, "sad": -0.546, "surprise": -0.024, "fear": -0.694},
    **{"disgust": -0.566, "angry": -0.51, "contempt": -0.135, "neutral": 0.046},
}
"""Valence of each expression, -1 (unpleasant) to 1 (pleasant). Fitted by least squares to the mean ratings of 1,600
pictures by 25 people, with ``benchmarks/valence.py``. In ten-fold cross-validation on the people's own votes, the
concordance correlation (CCC) is 0.94."""

AROUSAL = {
    **{"happy": 0.059, "sad": 0.112, "surprise": 0.364, "fear": 0.226},
    **{"disgust": 0.264, "angry": 0.319, "contempt": -0.507, "neutral": -0.799},
}
"""Arousal of each expression, -1 (calm) to 1 (excited), fitted in the same way. CCC 0.78; between two halves of the
people, 0.89."""


class AnswerRule(BaseModel, extra="forbid", frozen=True):
    """Rule that computes the default answer from shares of people; see :meth:`VotesHead.shown`.

    ``release/photographs.py`` chooses the values for a model.
    """

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
        sum. "unknown" is then left out; the share of "not-a-face" is not multiplied. Correcting for the prior follows
        Saerens et al. 2002, weakened by ``strength``. ``web/src/heads/votes.ts`` does the same. Without a rule, the
        shares are returned.
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

    def under(self, rule: AnswerRule) -> VotesHead:
        """Return the output that ``rule`` makes from this one: expressions, and "not-a-face" if it has that class."""
        shown = tuple(name for name in self.classes if name not in NO_EXPRESSION or name == NOT_A_FACE_CLASS)
        return replace(self, name=ANSWER, classes=shown, rule=rule, given=self.classes)


def derived_affect(shares: Floats, classes: Sequence[str]) -> Floats:
    """Compute the valence and arousal of N faces, -1..1, float64 (N, 2), from the shares (N, C) of their expressions.

    They are means of the classes' values, weighted by the shares. Classes without a value are left out.
    """
    words = np.array([[VALENCE.get(name, 0.0), AROUSAL.get(name, 0.0)] for name in classes])
    kept = shares * np.isin(classes, list(VALENCE))
    return np.asarray(kept @ words / np.maximum(kept.sum(axis=1, keepdims=True), 1e-12))
