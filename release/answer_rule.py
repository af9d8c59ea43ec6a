"""Choose the rule of the answer of a shipped model, for release/photographs.py.

The rule (mien.base.heads.AnswerRule) has the prior of the train split's votes, how much of it is taken out, a
weight for "sad", a probability below which the answer is "unsure", and a margin: expressions less than this behind the
first are told as alternatives. All but the prior are chosen on two sets together: the validation split's FER+ majority,
and photographs, where two blind readings by a machine that looks at pictures agree.

A rule may leave 3 to 6% of the photographs unsure, and cost at most 3 points of accuracy by the majority. Its margin is
the least by which 85% of its firm answers on the photographs are right, where a firm answer is neither unsure nor tied;
at least 70% must be firm. Where no margin reaches both, it is the one with 70% firm that has the most of them right.
The rule with the highest mean of four metrics wins: accuracy and mean recall on both sets, where an unsure answer is a
wrong one. Rules whose firm answers reach the 85% go before others. "contempt" always has half its weight: it is
answered only where it is twice as likely as the next.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.base.heads import AnswerRule, VotesHead, decide
from mien.base.labels import NOT_A_FACE_CLASS

OUTPUT = "photographs"
STRENGTHS = np.arange(0, 0.61, 0.05)
SAD_WEIGHTS = np.arange(1, 2.01, 0.1)
THRESHOLDS = np.arange(0.2, 0.56, 0.01)
MARGINS = np.arange(0, 0.41, 0.01)
UNSURE = (0.03, 0.06)
"""Share of the photographs that may be unsure."""

FIRM, FIRM_RIGHT = 0.7, 0.85
"""Share of the photographs that must get a firm answer, and share of the firm answers that should be right."""

CONTEMPT_WEIGHT = 0.5

MAX_LOSS = 0.03
"""Percentage points of the accuracy by the majority vote, with no answer unsure."""

RECALLED = {
    "photographs": ("neutral", "happy", "surprise", "sad", "angry"),
    "majority": ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear"),
}
"""Over which classes recall is averaged: of the photographs' other two there are few."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """One set of faces: shares of people float64 (N, V) by a model, and what each face shows, str (N,)."""

    shares: Floats
    truth: npt.NDArray[np.str_]


class Answers:
    """The most probable answers for a set, by a rule's strength and weights; its limits are given later."""

    def __init__(self, rule: AnswerRule, classes: tuple[str, ...], of: Measured, recalled: tuple[str, ...]) -> None:
        head = VotesHead(OUTPUT, "logits", classes, 1.0, "votes").under(rule)
        probabilities = head.shown(of.shares)
        answers = np.array(head.classes)[decide(probabilities, head.classes).top]
        self._right, self._is_face = answers == of.truth, answers != NOT_A_FACE_CLASS
        self._of_class = [of.truth == name for name in recalled if (of.truth == name).any()]
        others, self._highest = probabilities.copy(), probabilities.max(axis=1)
        others[:, [name == NOT_A_FACE_CLASS for name in head.classes]] = 0
        others[np.arange(len(others)), probabilities.argmax(axis=1)] = 0
        self._lead = self._highest - others.max(axis=1)

    def metrics(self, unsure_below: float, margin: float) -> dict[str, float]:
        """Accuracy, mean recall, the shares of unsure and of firm answers, and how many firm ones are right."""
        unsure = self._is_face & (self._highest < unsure_below)
        right, firm = self._right & ~unsure, ~unsure & (~self._is_face | (self._lead >= margin))
        return {
            "accuracy": float(right.mean()),
            "recall": float(np.mean([right[rows].mean() for rows in self._of_class])),
            "unsure": float(unsure.mean()),
            "firm": float(firm.mean()),
            "firm right": float(right[firm].mean()) if firm.any() else 0.0,
        }

    def best_margin(self, unsure_below: float) -> tuple[float, float]:
        """How many firm answers are right at the margin that a rule gets, and this margin."""
        best = (-1.0, 0.0)
        for margin in MARGINS.round(2).tolist():
            metrics = self.metrics(unsure_below, margin)
            if metrics["firm"] < FIRM:
                break
            best = max(best, (metrics["firm right"], margin), key=lambda pair: pair[0])
            if best[0] >= FIRM_RIGHT:
                break
        return best


def choose(prior: Floats, classes: tuple[str, ...], majority_set: Measured, photographs: Measured) -> AnswerRule:
    """The best rule of the grid. Raises ValueError where none leaves so many photographs unsure."""
    base = AnswerRule(output=OUTPUT, prior=tuple(np.round(prior, 5).tolist()), strength=0.0, unsure_below=0.0)
    least = Answers(base, classes, majority_set, RECALLED["majority"]).metrics(0.0, 0.0)["accuracy"] - MAX_LOSS
    found: list[tuple[bool, float, AnswerRule]] = []
    for strength, sad in itertools.product(STRENGTHS.round(2).tolist(), SAD_WEIGHTS.round(2).tolist()):
        weights = {name: at for name, at in (("sad", sad), ("contempt", CONTEMPT_WEIGHT)) if name in classes}
        rule = base.model_copy(update={"strength": strength, "weights": weights})
        on_majority = Answers(rule, classes, majority_set, RECALLED["majority"])
        if on_majority.metrics(0.0, 0.0)["accuracy"] < least:
            continue
        on_photographs = Answers(rule, classes, photographs, RECALLED["photographs"])
        for threshold in THRESHOLDS.round(2).tolist():
            both = (on_photographs.metrics(threshold, 0.0), on_majority.metrics(threshold, 0.0))
            if UNSURE[0] <= both[0]["unsure"] <= UNSURE[1]:
                firm_right, margin = on_photographs.best_margin(threshold)
                total = sum(each["accuracy"] + each["recall"] for each in both)
                limits = {"unsure_below": threshold, "margin": margin}
                found.append((firm_right >= FIRM_RIGHT, total, rule.model_copy(update=limits)))
    if not found:
        raise ValueError("no rule of the grid leaves so many photographs unsure")
    return max(found, key=lambda candidate: candidate[:2])[2]
