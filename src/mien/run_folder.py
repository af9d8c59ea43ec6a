"""The run folder: everything about one training run, self-contained.

recipe.toml              the recipe, every key with its value
environment.json         data, versions, machine, threads, command
history.csv              one line an epoch
last.safetensors         everything that --resume needs
best.safetensors         weights of the best epoch
model.onnx               the artifact made from them
scores_<split>.npz       what the model said about each row of a split
metrics.json report.html the validation split, measured
test_ledger.jsonl        one line for each time that the test split was opened
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mien.errors import RunError
from mien.files import write_text
from mien.recipe import Recipe, dump_recipe, parse_recipe

HISTORY_COLUMNS = (
    "epoch",
    "seconds",
    "learning_rate",
    "train_loss",
    "train_accuracy",
    "validation_loss",
    "validation_accuracy",
    "validation_macro_f1",
    "validation_macro_auc",
)


def best_epoch(history: Sequence[Mapping[str, float]], recipe: Recipe) -> int:
    """The epoch (1-based) with the best value of the recipe's stopping metric; the first of equals."""
    metric = recipe.stopping.metric
    values = [line[f"validation_{metric}"] for line in history]
    best = min(values) if metric == "loss" else max(values)
    return values.index(best) + 1


@dataclass(frozen=True)
class RunFolder:
    """Paths and small files of one run. Making the value touches nothing on disk."""

    path: Path

    @property
    def recipe_file(self) -> Path:
        """The recipe as TOML."""
        return self.path / "recipe.toml"

    @property
    def last(self) -> Path:
        """Checkpoint of the last finished epoch."""
        return self.path / "last.safetensors"

    @property
    def best(self) -> Path:
        """Weights of the best epoch so far."""
        return self.path / "best.safetensors"

    @property
    def model(self) -> Path:
        """The artifact."""
        return self.path / "model.onnx"

    def scores(self, split: str) -> Path:
        """What the model said about each row of ``split``."""
        return self.path / f"scores_{split}.npz"

    @property
    def exists(self) -> bool:
        """Whether there is anything at the path."""
        return self.path.is_file() or (self.path.is_dir() and any(self.path.iterdir()))

    @property
    def is_run(self) -> bool:
        """Whether the folder holds a run, finished or not."""
        return self.recipe_file.is_file()

    def check_free(self) -> None:
        """Raise :class:`RunError` when something stands at the path already."""
        if self.exists:
            raise RunError(
                f"{self.path} exists already. Go on with it by --resume, or choose another folder with --out."
            )

    def create(self, recipe: Recipe, environment: dict[str, Any]) -> None:
        """Make the folder with its recipe and environment.

        Raises:
            RunError: something stands there already, or the folder cannot be written.
        """
        self.check_free()
        # The recipe first: it makes the folder a run, which --resume can take up if all else is cut off.
        write_text(self.recipe_file, dump_recipe(recipe))
        write_text(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")

    def read_recipe(self) -> Recipe:
        """Read the recipe.

        Raises:
            RunError: the folder is missing or holds no run.
            RecipeError: the recipe was changed into something impossible.
        """
        if not self.is_run:
            state = "is not a run folder: it has no recipe.toml" if self.path.exists() else "does not exist"
            raise RunError(f"{self.path} {state}. Make a run with: mien train RECIPE --data PATH --out {self.path}")
        return parse_recipe(self.recipe_file.read_text(encoding="utf-8"), str(self.recipe_file))

    def read_environment(self) -> dict[str, Any]:
        """Read environment.json; empty where it is missing."""
        file = self.path / "environment.json"
        if not file.is_file():
            return {}
        try:
            content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            raise RunError(f"{file} is damaged: it is not JSON. Delete it; the run works without it.") from None
        return content

    def validation_scores(self) -> dict[str, float]:
        """Headline figures from metrics.json, as the manifest carries them; empty before they were measured."""
        file = self.path / "metrics.json"
        if not file.is_file():
            return {}
        try:
            headline = json.loads(file.read_text(encoding="utf-8"))["headline"]
            return {f"validation_{name}": float(figure["value"]) for name, figure in headline.items()}
        except (ValueError, KeyError, TypeError):
            raise RunError(f"{file} is damaged. Delete it, or train again into another folder.") from None

    def write_history(self, history: list[dict[str, float]]) -> None:
        """Write history.csv, one line an epoch, columns :data:`HISTORY_COLUMNS`."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, HISTORY_COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: f"{value:.7g}" for name, value in line.items()} for line in history)
        write_text(self.path / "history.csv", stream.getvalue())

    def read_history(self) -> list[dict[str, float]]:
        """Read history.csv; empty where there is none."""
        file = self.path / "history.csv"
        if not file.is_file():
            return []
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                return [{name: float(value) for name, value in line.items()} for line in csv.DictReader(stream)]
        except (ValueError, TypeError):
            raise RunError(f"{file} is damaged: a value in it is not a number.") from None

    def note_test_use(self, facts: dict[str, Any]) -> None:
        """Add a line to the ledger of each time that the test split was opened.

        Appended, never rewritten: a line is shorter than a disk block, so it is there whole or not at all.
        """
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **facts})
        try:
            with (self.path / "test_ledger.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise RunError(f"{self.path / 'test_ledger.jsonl'} could not be written: {error.strerror}.") from None

    def test_uses(self) -> int:
        """How often the test split was opened with this run's model."""
        file = self.path / "test_ledger.jsonl"
        return len(file.read_text(encoding="utf-8").splitlines()) if file.is_file() else 0
