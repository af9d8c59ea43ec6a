"""The run folder: everything about one training run, self-contained.

recipe.toml              the recipe, every key with its value
NAME.py                  the user's own network, where the recipe names one by [model] file
environment.json         data, versions, device, command
history.csv              one line per epoch
last.safetensors         everything that --resume needs
best.safetensors         weights of the best epoch
model.onnx               the artifact made from them
model.half.onnx          its smaller forms, where they were made: weights in fp16,
model.int8.onnx          or everything in 8 bits
trained_on.npy           8 bytes for each image of train, by which it is known again
predictions_<split>.npz  the predictions of the model on a split
metrics.json report.html the validation split, measured
test_ledger.jsonl        one line per use of the test split
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.base.errors import RunError, arg
from mien.base.files import lock_file, write_bytes, write_text

if TYPE_CHECKING:
    from mien.base.recipe import Recipe

_LOCK = ".mien.lock"


@dataclass(frozen=True)
class RunFolder:
    """Paths and small files of one run. Making the value touches nothing on disk."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path).expanduser())

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

    @property
    def model_fp16(self) -> Path:
        """The artifact with weights stored in fp16, where it was made."""
        return self.path / "model.half.onnx"

    @property
    def model_int8(self) -> Path:
        """The artifact in 8 bits, where it was made."""
        return self.path / "model.int8.onnx"

    def predictions(self, split: str) -> Path:
        """The predictions of the model on ``split``."""
        return self.path / f"predictions_{split}.npz"

    def remove_derived(self) -> tuple[str, ...]:
        """Remove files made from a replaced model: quantized models, soft labels, robustness, test predictions.

        The ledger of the test split stays. Returns the names of the removed files.
        """
        robustness = self.path / "robustness.json"
        derived = (self.model_fp16, self.model_int8, self.predictions("train"), self.predictions("test"), robustness)
        gone = [file for file in derived if file.exists()]
        for file in gone:
            file.unlink(missing_ok=True)
        return tuple(file.name for file in gone)

    @property
    def trained_on(self) -> Path:
        """Digests of the images that were trained on; see :mod:`mien.pipeline.trained_on`."""
        return self.path / "trained_on.npy"

    @property
    def exists(self) -> bool:
        """Whether anything is at the path, except hidden files: those that a killed process leaves."""
        if not self.path.is_dir():
            return self.path.exists()
        return any(not file.name.startswith(".") for file in self.path.iterdir())

    @property
    def is_run(self) -> bool:
        """Whether the folder holds a run, finished or not."""
        return self.recipe_file.is_file()

    def check_free(self, *, or_resume: bool = False) -> None:
        """Raise :class:`RunError` when something exists at the path; ``or_resume`` when --resume may continue it."""
        if self.exists and not self.is_run:
            raise RunError(
                f"{self.path} exists already and is not a run folder; choose another with {arg('out')}.",
                code="folder-exists",
            )
        if self.exists:
            other = f", or continue a run with {arg('resume', True)}" if or_resume else ""
            raise RunError(
                f"{self.path} exists already. Choose another folder with {arg('out')}{other}.", code="run-exists"
            )

    def check_no_run(self) -> None:
        """Raise :class:`RunError` when the folder holds a run: other files would take the place of its own."""
        if self.is_run:
            raise RunError(f"{self.path} is a run folder. Choose another folder with {arg('out')}.", code="out-is-run")

    def create(self, recipe: Recipe, environment: Mapping[str, Any]) -> None:
        """Make the folder a run: write recipe and environment, and copy the files of a user's own parts.

        Raises:
            RunError: it cannot be written.
        """
        # Loaded here, not with the file: a prediction needs no recipe.
        from mien.base.recipe import dump_recipe

        parts = recipe.own_parts | ({"model": recipe.model} if recipe.model.file else {})
        for table, part in parts.items():
            source = Path(part.file)
            shared = {Path(each.file) for each in parts.values() if Path(each.file).name == source.name}
            name = source.name if len(shared) == 1 else f"{table}_{source.name}"
            write_bytes(self.path / name, source.read_bytes())
            recipe = recipe.model_copy(update={table: part.model_copy(update={"file": name})})
        write_text(self.recipe_file, dump_recipe(recipe))
        write_text(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder against other commands within the block; create it if it is missing.

        Half-written files of a killed process are removed, and the folder afterwards where it is empty. On Windows the
        lock file stays, without harm.

        Raises:
            RunError: another process has locked it, or it cannot be written.
        """
        file = self.path / _LOCK
        try:
            made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            stream = file.open("a+b")
        except OSError as error:
            raise RunError(
                f"{self.path} cannot be written: {error.strerror or error}. Choose another folder.",
                code="file-unwritable",
            ) from None
        with stream:
            if not lock_file(stream):
                raise RunError(
                    f"{self.path} is being trained by another command. Wait for its end, or stop it first.",
                    code="run-locked",
                )
            for part in self.path.glob(".*.part"):
                part.unlink(missing_ok=True)
            try:
                yield
            finally:
                # While it is held; Windows lets it lie.
                with suppress(OSError):
                    file.unlink()
                with suppress(OSError):
                    for folder in made:
                        folder.rmdir()

    def read_recipe(self) -> Recipe:
        """Read the recipe.

        Raises:
            RunError: the folder is missing or holds no run.
            RecipeError: the recipe was changed into something impossible.
        """
        if not self.is_run:
            if self.path.is_file():
                raise RunError(f"{self.path} is a file; give a run folder, as mien train makes.", code="not-a-run")
            if self.path.exists():
                raise RunError(
                    f"{self.path} is not a run folder: it has no recipe.toml. mien train makes one.", code="not-a-run"
                )
            raise RunError(
                f"{self.path} does not exist. Make a run with: mien train RECIPE --data PATH --out {self.path}",
                code="run-missing",
            )
        from mien.base.recipe import load_recipe

        return load_recipe(str(self.recipe_file))

    def read_environment(self) -> dict[str, Any]:
        """Read environment.json. Raises :class:`RunError` where it is missing, unreadable or damaged."""
        file = self.path / "environment.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise RunError(
                f"{file} is missing, unreadable or damaged. Train again into another folder.", code="run-damaged"
            )
        return content

    def read_history(self) -> list[dict[str, float]]:
        """Read history.csv; empty when there is none."""
        file = self.path / "history.csv"
        if not file.is_file():
            return []
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                return [{name: float(value) for name, value in line.items()} for line in csv.DictReader(stream)]
        except (OSError, ValueError, TypeError, csv.Error):
            raise RunError(f"{file} is unreadable, or a value in it is not a number.", code="run-damaged") from None

    def note_test_use(self, facts: dict[str, Any]) -> None:
        """Append a line to the ledger of the uses of the test split.

        It is never rewritten, so no earlier line can be lost.
        """
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **facts})
        try:
            with (self.path / "test_ledger.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise RunError(
                f"{self.path / 'test_ledger.jsonl'} could not be written: {error.strerror}.", code="file-unwritable"
            ) from None

    def test_uses(self) -> int:
        """How often this run's model was evaluated on the test split."""
        file = self.path / "test_ledger.jsonl"
        return len(file.read_bytes().splitlines()) if file.is_file() else 0


HistoryLine = dict[str, float]
"""One line of history.csv: ``epoch`` (1-based), ``seconds`` since the start, ``learning_rate``, ``train_loss``,
``train_accuracy``, and ``validation_loss``, ``_accuracy``, ``_macro_f1`` and ``_macro_auc``."""

HISTORY_COLUMNS: tuple[str, ...] = (
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

VOTE_COLUMNS: tuple[str, ...] = ("validation_votes_loss", "validation_majority_accuracy")
"""Further columns of a run with an output that learns from votes."""


def best_epoch(history: Sequence[Mapping[str, float]], recipe: Recipe) -> int:
    """The epoch (1-based) whose weights are kept: the best by the recipe's stopping metric, or the last."""
    return len(history) if recipe.stopping.keep == "last" else best_by_metric(history, recipe)


def best_by_metric(history: Sequence[Mapping[str, float]], recipe: Recipe) -> int:
    """The epoch (1-based) with the best value of the recipe's stopping metric; of equals that of the least loss.

    On a few faces many epochs are equally right.
    """
    metric = recipe.stopping.metric
    sign = -1.0 if metric == "loss" else 1.0
    values = [(sign * line[f"validation_{metric}"], -line["validation_loss"]) for line in history]
    # An undefined value (the AUC of a split with one class) is never the best.
    ranked = [tuple(-math.inf if math.isnan(each) else each for each in pair) for pair in values]
    return ranked.index(max(ranked)) + 1


def history_to_csv(history: Sequence[Mapping[str, float]]) -> str:
    """The text of history.csv, columns :data:`HISTORY_COLUMNS` and any :data:`VOTE_COLUMNS`."""
    stream = io.StringIO()
    with_votes = bool(history) and VOTE_COLUMNS[0] in history[0]
    columns = (*HISTORY_COLUMNS, *VOTE_COLUMNS) if with_votes else HISTORY_COLUMNS
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.7g}" for name, value in line.items()} for line in history)
    return stream.getvalue()
