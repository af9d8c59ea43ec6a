"""An output that learned annotators' votes: shares of people, and the rule that makes an answer of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, field_validator

from mien.base.heads.affect import derived_affect
from mien.base.heads.label import AGREEMENT, TIE_MARGIN, Floats, LabelHead
from mien.base.labels import NO_EXPRESSION, NOT_A_FACE_CLASS

ANSWER = "answer"
"""Name of the output that a rule makes of the votes' output; no output of a graph has this name."""

_ANSWERS_FIRST = ("votes", "sampled", "majority", "label")


def answering(targets: Sequence[str]) -> int:
    """Which of a model's outputs answers unless one is named, by what taught each of them.

    The first that learned the whole distribution of votes, else the first of one vote, else of their majority, else
    that of the label. ``web/src/heads/votes.ts`` has the same rule.

    >>> answering(["label", "majority", "votes"]), answering(["label"])
    (2, 0)
    """
    return min(range(len(targets)), key=lambda at: _ANSWERS_FIRST.index(targets[at]))


class AnswerRule(BaseModel):
    """How shares of people become the default answer: :meth:`VotesHead.shown`, :func:`mien.base.heads.label.decide`.

    ``release/choose_answer.py`` chooses one.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    output: str = Field(description="the output of votes that it starts from")
    prior: tuple[float, ...] = Field(description="mean share of each of its classes in training")
    strength: float = Field(ge=0.0, le=1.0, description="how much of the prior is taken out: 0 nothing, 1 all of it")
    weights: dict[str, float] = Field(default_factory=dict, description="factors of further expressions' shares")
    unsure_below: float = Field(ge=0.0, lt=1.0, description="below this probability the answer is 'unsure'")
    margin: float = Field(
        default=TIE_MARGIN, ge=0.0, lt=1.0, description="expressions less than this behind the first are alternatives"
    )

    @field_validator("prior")
    @classmethod
    def _all_positive(cls, prior: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < share <= 1 for share in prior):
            raise ValueError("a prior is not a number over 0, up to 1")
        return prior

    @field_validator("weights")
    @classmethod
    def _weights_are_factors(cls, weights: dict[str, float]) -> dict[str, float]:
        if not all(0 < weight <= 100 for weight in weights.values()):
            raise ValueError("a weight is not a number over 0, up to 100")
        return weights

    def factors(self, classes: Sequence[str]) -> Floats:
        """The factor of each class's share, ``weight / prior ** strength``: float64 (C,)."""
        return np.array([self.weights.get(name, 1.0) for name in classes]) / np.array(self.prior) ** self.strength


@dataclass(frozen=True)
class VotesHead(LabelHead):
    """An output in use that votes taught. Without a rule, its probabilities are shares of people.

    Attributes:
        rule: what makes its probabilities of another output's; None where they are its own.
        given: the classes of that output.
    """

    rule: AnswerRule | None = None
    given: tuple[str, ...] = ()

    perceived: ClassVar[bool] = True

    @property
    def unsure_below(self) -> float:  # type: ignore[override]
        """Below this probability the answer is "unsure"."""
        return AGREEMENT if self.rule is None else self.rule.unsure_below

    @property
    def margin(self) -> float:  # type: ignore[override]
        """Expressions less than this behind the first are alternatives."""
        return TIE_MARGIN if self.rule is None else self.rule.margin

    @property
    def logit_classes(self) -> tuple[str, ...]:
        """The classes in the order of the logits."""
        return self.classes if self.rule is None else self.given

    def values(self, logits: npt.NDArray[np.float32], temperature: float | None = None) -> Floats:
        """As :meth:`LabelHead.values`, by the rule if there is one."""
        return self.shown(super().values(logits, temperature))

    def shown(self, shares: Floats) -> Floats:
        """Probabilities of :attr:`classes` from shares of people.

        With a rule, the shares of the expressions are multiplied by :meth:`AnswerRule.factors` and rescaled to their
        sum. A factor of the prior alone is the correction of Saerens et al. 2002 for classes that are less rare than
        in training, in part. "unknown" is left out then. The share of not-a-face stays beside that of all expressions.
        ``web/src/heads/votes.ts`` does the same.

        Args:
            shares: float64 (N, classes of the logits), rows sum to 1.

        Returns:
            float64 (N, C), rows sum to 1; without a rule the same array.
        """
        if self.rule is None:
            return shares
        is_expression = np.array([name not in NO_EXPRESSION for name in self.given])
        # What a softmax rounds to 0 would leave nothing to rescale.
        shares = shares + 1e-12
        weighted = shares[:, is_expression] * self.rule.factors(self.given)[is_expression]
        before = shares[:, is_expression].sum(axis=1, keepdims=True)
        shares[:, is_expression] = weighted * before / weighted.sum(axis=1, keepdims=True)
        kept = shares[:, [self.given.index(name) for name in self.classes]]
        return np.asarray(kept / kept.sum(axis=1, keepdims=True))

    def affect(self, probabilities: Floats) -> Floats:
        """Valence and arousal, derived from the shares of people behind :meth:`values`: float64 (N, C) -> (N, 2)."""
        if self.rule is not None:
            factors = dict(zip(self.given, self.rule.factors(self.given).tolist(), strict=True))
            probabilities = probabilities / np.array([factors[name] for name in self.classes])
        return derived_affect(probabilities, self.classes)

    def under(self, rule: AnswerRule) -> VotesHead:
        """The output that a rule makes of this one: its expressions, and not-a-face where it has that."""
        shown = tuple(name for name in self.classes if name not in NO_EXPRESSION or name == NOT_A_FACE_CLASS)
        return replace(self, name=ANSWER, classes=shown, rule=rule, given=self.classes)
