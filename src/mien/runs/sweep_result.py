"""What a sweep finds, and what it writes of it: trials.csv and best.toml. Optuna's dashboard draws the trials."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mien.base.files import write_bytes, write_text
from mien.base.recipe import dump_recipe
from mien.page.blocks import Column, Table
from mien.runs.space import Space


@dataclass(frozen=True)
class TrialResult:
    """A finished trial.

    Attributes:
        number: counts from 0; one that was interrupted keeps its number, as its folder does.
        outcome: ``complete``, ``pruned`` by successive halving, ``diverged``, or ``invalid`` (values that do not go
            together).
        accuracy: on validation, 0..1, of the best epoch so far; NaN without any.
        epochs: how many it ran.
        seconds: of training and validation.
        values: of each key.
    """

    number: int
    outcome: str
    accuracy: float
    epochs: int
    seconds: float
    values: Mapping[str, Any]


def best_first(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """Complete trials by accuracy, then the others by accuracy; of equals the one that began first."""

    def rank(trial: TrialResult) -> tuple[bool, float, int]:
        accuracy = -1.0 if math.isnan(trial.accuracy) else trial.accuracy
        return trial.outcome != "complete", -accuracy, trial.number

    return sorted(trials, key=rank)


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    Attributes:
        folder: of the sweep.
        trials: the finished ones, by number.
        total: how many there will be.
        was_stopped: whether Ctrl-C ended this worker.
    """

    folder: Path
    trials: tuple[TrialResult, ...]
    total: int
    was_stopped: bool = False

    @property
    def best(self) -> TrialResult | None:
        """The most accurate complete trial."""
        return next((trial for trial in best_first(self.trials) if trial.outcome == "complete"), None)

    @property
    def best_recipe(self) -> Path:
        """The recipe of the best trial; no file while no trial is complete."""
        return self.folder / "best.toml"

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        best = self.best and {
            "trial": self.best.number,
            "validation_accuracy": self.best.accuracy,
            "values": dict(self.best.values),
            "recipe": str(self.best_recipe),
        }
        return {
            "folder": str(self.folder),
            "finished": len(self.trials),
            "total": self.total,
            "best": best,
        }


def write_small_files(result: SweepResult, space: Space) -> None:
    """Write trials.csv and best.toml. Raises :class:`mien.errors.RunError`."""
    keys = tuple(space.ranges)
    columns = tuple(map(Column, ("trial", "outcome", "accuracy", "epochs", "seconds", *keys)))
    rows = [
        (each.number, each.outcome, each.accuracy, each.epochs, each.seconds, *(each.values[key] for key in keys))
        for each in best_first(result.trials)
    ]
    write_bytes(result.folder / "trials.csv", Table("trials", columns, rows).to_csv())
    best = result.best
    if best is not None:
        words = f"Trial {best.number}, the best of {len(rows)} of {space.name}: {best.accuracy:.1%} on validation"
        update = {"name": f"{space.base.name}-best", "description": words}
        write_text(result.best_recipe, dump_recipe(space.recipe_for(best.values).model_copy(update=update)))
