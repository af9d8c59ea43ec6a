"""The run folder: everything about one training run, self-contained.

recipe.toml              the recipe, every key with its value
environment.json         data, versions, machine, threads, command
history.csv              one line an epoch
last.safetensors         everything that --resume needs
best.safetensors         weights of the best epoch (best.next.safetensors, while they are written)
model.onnx               the artifact made from them
model.half.onnx          its smaller forms, where they were made: weights in fp16,
model.int8.onnx          or everything in 8 bits
scores_<split>.npz       what the model said about each row of a split
metrics.json report.html the validation split, measured
test_ledger.jsonl        one line for each time that the test split was opened
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from mien.errors import RunError
from mien.files import lock_file, write_text

if TYPE_CHECKING:
    from mien.recipe import Recipe

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
    sign = -1.0 if metric == "loss" else 1.0
    values = [sign * line[f"validation_{metric}"] for line in history]
    # An undefined value (the AUC of a split with one class) is never the best.
    ranked = [-math.inf if math.isnan(value) else value for value in values]
    return ranked.index(max(ranked)) + 1


_LOCK = ".mien.lock"


def _is_at(stream: BinaryIO, file: Path) -> bool:
    """Whether an open file is still the one at that path: who had it may have taken it away since."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), file.stat())
    except OSError:
        return False


def _is_litter(file: Path) -> bool:
    return file.name == _LOCK or (file.name.startswith(".") and file.name.endswith(".part"))


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
    def next_best(self) -> Path:
        """Weights of an epoch that is the best, in the moment before its ``last`` stands."""
        return self.path / "best.next.safetensors"

    @property
    def model(self) -> Path:
        """The artifact."""
        return self.path / "model.onnx"

    @property
    def model_half(self) -> Path:
        """The artifact with weights stored in fp16, where it was made."""
        return self.path / "model.half.onnx"

    @property
    def model_int8(self) -> Path:
        """The artifact in 8 bits, where it was made."""
        return self.path / "model.int8.onnx"

    def scores(self, split: str) -> Path:
        """What the model said about each row of ``split``."""
        return self.path / f"scores_{split}.npz"

    def remove_derived(self) -> tuple[str, ...]:
        """Remove what was made from a model that is now replaced: smaller forms, soft labels, robustness, test scores.

        The ledger of the test split stays. Returns the names of what is gone.
        """
        robustness = self.path / "robustness.json"
        derived = (self.model_half, self.model_int8, self.scores("train"), self.scores("test"), robustness)
        gone = [file for file in derived if file.exists()]
        for file in gone:
            file.unlink(missing_ok=True)
        return tuple(file.name for file in gone)

    @property
    def exists(self) -> bool:
        """Whether there is anything at the path, but for what a run leaves that was killed in its first moment."""
        if not self.path.is_dir():
            return self.path.exists()
        return any(file.name != "environment.json" and not _is_litter(file) for file in self.path.iterdir())

    @property
    def is_run(self) -> bool:
        """Whether the folder holds a run, finished or not."""
        return self.recipe_file.is_file()

    def check_free(self, *, or_resume: bool = False) -> None:
        """Raise :class:`RunError` when something stands at the path already; ``or_resume`` where --resume may go on."""
        if self.exists and not self.is_run:
            raise RunError(f"{self.path} exists already and is no run folder; choose another with --out.")
        if self.exists:
            other = ", or continue a run with --resume" if or_resume else ""
            raise RunError(f"{self.path} exists already. Choose another folder with --out{other}.")

    def create(self, recipe: Recipe, environment: dict[str, Any]) -> None:
        """Make the folder with its recipe and environment.

        Raises:
            RunError: something stands there already, or the folder cannot be written.
        """
        from mien.recipe_file import dump_recipe

        self.check_free()
        self.remove_litter()
        write_text(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")
        # The recipe comes last: it makes the folder a run.
        write_text(self.recipe_file, dump_recipe(recipe))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Inside the block no other process that asks has this folder, which is made where it is not there.

        A folder in which nothing was written is gone afterwards; on Windows the lock's file stays, and does no harm.

        Raises:
            RunError: another process has it, or it cannot be written.
        """
        file = self.path / _LOCK
        try:
            made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            stream = file.open("a+b")
        except OSError as error:
            raise RunError(f"{self.path} cannot be written: {error.strerror or error}. Choose another place.") from None
        with stream:
            if not lock_file(stream) or not _is_at(stream, file):
                raise RunError(f"{self.path} is being trained by another command. Wait for its end, or stop it first.")
            try:
                yield
            finally:
                # While it is held; Windows lets it lie.
                with suppress(OSError):
                    file.unlink()
                with suppress(OSError):
                    for folder in made:
                        folder.rmdir()

    def take_next_best(self) -> None:
        """Let the weights that lie aside be the best. Raises :class:`RunError`."""
        try:
            self.next_best.replace(self.best)
        except OSError as error:
            raise RunError(
                f"{self.best} could not be replaced: {error.strerror or error}. Go on with --resume."
            ) from None

    def take_back(self) -> None:
        """Let a run without a finished epoch never have begun, so that another may."""
        for file in (self.recipe_file, self.path / "environment.json"):
            file.unlink(missing_ok=True)

    def remove_litter(self) -> None:
        """Remove half-written files that a killed process left behind."""
        for file in self.path.glob(".*.part"):
            file.unlink(missing_ok=True)

    def read_recipe(self) -> Recipe:
        """Read the recipe.

        Raises:
            RunError: the folder is missing or holds no run.
            RecipeError: the recipe was changed into something impossible.
        """
        # Not above: a model is looked for among run folders, and read without its recipe.
        from mien.recipe_file import read_recipe

        if not self.is_run:
            if self.path.is_file():
                raise RunError(f"{self.path} is a file; give a run folder, which mien train makes.")
            if self.path.exists():
                raise RunError(f"{self.path} is not a run folder: it has no recipe.toml. mien train makes one.")
            raise RunError(
                f"{self.path} does not exist. Make a run with: mien train RECIPE --data PATH --out {self.path}"
            )
        return read_recipe(self.recipe_file)

    def read_environment(self) -> dict[str, Any]:
        """Read environment.json. Raises :class:`RunError` where it is missing or damaged, or may not be read."""
        file = self.path / "environment.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except PermissionError as error:
            raise RunError(f"{file} cannot be read: {error.strerror}.") from None
        except (OSError, ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise RunError(f"{file} is missing or damaged. Train again into another folder.")
        return content

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
        except OSError as error:
            raise RunError(f"{file} cannot be read: {error.strerror or error}.") from None
        except (ValueError, TypeError, csv.Error):
            raise RunError(f"{file} is damaged: a value in it is not a number.") from None

    def note_test_use(self, facts: dict[str, Any]) -> None:
        """Add a line to the ledger of each time that the test split was opened.

        Appended, never rewritten: no earlier line can be lost.
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
        return len(file.read_bytes().splitlines()) if file.is_file() else 0
