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


def best_trial(trials: Sequence[TrialResult]) -> TrialResult | None:
    """The most accurate of complete trials; None where there is none."""
    return next((trial for trial in best_first(trials) if trial.outcome == "complete"), None)


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    Attributes:
        folder: of the sweep.
        trials: the finished ones, by number.
        base: the recipe's own value of each searched key.
        total: how many there will be.
        was_stopped: whether Ctrl-C ended this worker.
    """

    folder: Path
    trials: tuple[TrialResult, ...]
    base: Mapping[str, Any]
    total: int
    was_stopped: bool = False

    @property
    def best(self) -> TrialResult | None:
        """The most accurate complete trial."""
        return best_trial(self.trials)

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


def write_small_files(out: Path, space: Space, trials: Sequence[TrialResult]) -> None:
    """Write trials.csv and best.toml. Raises :class:`mien.base.errors.RunError`."""
    write_bytes(out / "trials.csv", trials_table(trials, tuple(space.ranges)).to_csv())
    best = best_trial(trials)
    if best is not None:
        words = f"Trial {best.number}, the best of {len(trials)} of {space.name}: {best.accuracy:.1%} on validation"
        update = {"name": f"{space.base.name}-best", "description": words}
        write_text(out / "best.toml", dump_recipe(space.recipe_for(best.values).model_copy(update=update)))


def own_values(space: Space) -> dict[str, Any]:
    """The recipe's own value of each key that is searched."""
    content: Any = space.base.model_dump(mode="json")
    values = {}
    for key in space.ranges:
        value = content
        for part in key.split("."):
            value = value.get(part, "its default") if isinstance(value, dict) else value
        values[key] = value
    return values


def trials_table(trials: Sequence[TrialResult], keys: Sequence[str]) -> Table:
    """All finished trials, best first."""
    columns = (
        Column("trial", "text"),
        Column("outcome", "text"),
        Column("accuracy", "percent"),
        Column("epochs", "count"),
        Column("seconds", "number"),
        *(Column(key, "number") for key in keys),
    )
    rows = [
        (
            *(trial.number, trial.outcome, trial.accuracy, trial.epochs, trial.seconds),
            *(trial.values.get(key) for key in keys),
        )
        for trial in best_first(trials)
    ]
    return Table("trials", columns, rows)


def keys_table(best: TrialResult, base: Mapping[str, Any]) -> Table:
    """What the best trial has beside the recipe's own value."""
    columns = (Column("key", "text"), Column("recipe", "number"), Column("best", "number"))
    return Table("best", columns, [(key, base[key], value) for key, value in best.values.items()])
