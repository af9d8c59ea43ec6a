"""What a sweep's page shows: its finished trials and the ranges of their values. How Optuna is called."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

IMPORTANCE_NEEDS = 8
"""Complete trials; of fewer, the importance of keys is chance."""


@dataclass(frozen=True)
class TrialResult:
    """A finished trial.

    Attributes:
        number: counts from 0.
        outcome: ``complete``, ``pruned`` by successive halving, ``diverged``, or ``invalid`` (values that do not go
            together).
        accuracy: on validation, 0..1, of the best epoch so far; NaN without any.
        epochs: how many it ran.
        seconds: of training and validation.
        values: of each key.
        began_as: the number of the interrupted trial that this one continues, the first of several; None otherwise.
    """

    number: int
    outcome: str
    accuracy: float
    epochs: int
    seconds: float
    values: Mapping[str, Any]
    began_as: int | None = None


def best_first(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """Complete trials by accuracy, then the others by accuracy; of equals the one that began first."""

    def rank(trial: TrialResult) -> tuple[bool, float, int]:
        accuracy = -1.0 if math.isnan(trial.accuracy) else trial.accuracy
        return trial.outcome != "complete", -accuracy, trial.number if trial.began_as is None else trial.began_as

    return sorted(trials, key=rank)


def best_trial(trials: Sequence[TrialResult]) -> TrialResult | None:
    """The most accurate of complete trials; None where there is none."""
    return next((trial for trial in best_first(trials) if trial.outcome == "complete"), None)


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


def quietly(call: Any, *arguments: Any, **options: Any) -> Any:
    """Call Optuna without its warnings: heartbeats are experimental, and meant for its own loop over trials."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(*arguments, **options)
