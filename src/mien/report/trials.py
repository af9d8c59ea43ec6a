"""What a sweep's page is made from: its finished trials, and the ranges that they were drawn from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

IMPORTANCE_NEEDS = 8
"""Trials that ran to their end; of fewer, the importance of keys is chance."""


@dataclass(frozen=True)
class TrialLine:
    """A finished trial.

    Attributes:
        number: counts from 0.
        end: ``complete``, ``cut`` by successive halving, ``diverged``, or ``impossible`` (values that do not go
            together).
        accuracy: on validation, 0..1, of the best epoch so far; NaN without any.
        epochs: how many it ran.
        seconds: of training and validation.
        values: of each key.
    """

    number: int
    end: str
    accuracy: float
    epochs: int
    seconds: float
    values: Mapping[str, Any]


def best_first(trials: Sequence[TrialLine]) -> list[TrialLine]:
    """Those that ran to their end by accuracy, then the others by accuracy; of equals the earliest first."""

    def rank(trial: TrialLine) -> tuple[bool, float, int]:
        accuracy = -1.0 if math.isnan(trial.accuracy) else trial.accuracy
        return trial.end != "complete", -accuracy, trial.number

    return sorted(trials, key=rank)


def best_trial(trials: Sequence[TrialLine]) -> TrialLine | None:
    """The most accurate of those that ran to their end; None where there is none."""
    return next((trial for trial in best_first(trials) if trial.end == "complete"), None)


@dataclass(frozen=True)
class Axis:
    """The range of one key.

    Attributes:
        key: dotted.
        low, high: ends of the range; of a choice 0 and the number of choices - 1.
        is_log: even in the logarithm.
        choices: empty where any number in the range can be drawn.
    """

    key: str
    low: float
    high: float
    is_log: bool = False
    choices: tuple[Any, ...] = ()

    def place(self, value: Any) -> float:
        """Where a value lies between the ends, 0..1."""
        if self.choices:
            return self.choices.index(value) / (len(self.choices) - 1)
        low, high, at = (math.log(each) if self.is_log else each for each in (self.low, self.high, value))
        return (at - low) / (high - low)
