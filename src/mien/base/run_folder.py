"""The folder of one training run, also found by the name of a built-in model. It contains everything about the run.

recipe.toml              the recipe, every key with its value
NAME.py                  the user's own network, if the recipe names one in [model] file
environment.json         data, versions, device, command
history.csv              one line per epoch
last.safetensors         everything that --resume needs
best.safetensors         weights of the best epoch
model.onnx               the model, exported from these weights
model.half.onnx          quantized forms, if exported: weights in fp16,
model.int8.onnx          or everything in 8 bits
trained_on.npy           8-byte digest of each training image
predictions_<split>.npz  the predictions of the model on a split
metrics.json report.html metrics on the validation split
figures/ tables/         charts (.svg) and tables (.tex, .csv, .json) of the report
*.tex references.bib     methods and hyperparameters for a paper
test_ledger.jsonl        one line per use of the test split
"""

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien.base.errors import ModelError, RunError
from mien.base.files import check_outside, expand_home, lock_file, write_bytes, write_text
from mien.base.model_file import INT8

if TYPE_CHECKING:
    from mien.base.recipe import Recipe

_LOCK = ".mien.lock"


class _File:
    """The path of a file, by its name in the run folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, run: "RunFolder", kind: type) -> Path:
        return run.path / self._name


@dataclass(frozen=True)
class RunFolder:
    """Paths of the files above, and small files, of one run. Creating the object neither reads nor writes files."""

    path: Path
    recipe_file = _File("recipe.toml")
    last = _File("last.safetensors")
    best = _File("best.safetensors")
    model = _File("model.onnx")
    model_fp16 = _File("model.half.onnx")
    model_int8 = _File("model.int8.onnx")
    trained_on = _File("trained_on.npy")

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", expand_home(self.path))

    def predictions(self, split: str) -> Path:
        """Return the path of the model's predictions on ``split``."""
        return self.path / f"predictions_{split}.npz"

    def remove_derived(self) -> tuple[str, ...]:
        """Remove quantized models, soft labels, robustness, test predictions of an older model; return their names."""
        robustness = self.path / "robustness.json"
        derived = (self.model_fp16, self.model_int8, self.predictions("train"), self.predictions("test"), robustness)
        gone = [file for file in derived if file.exists()]
        for file in gone:
            file.unlink(missing_ok=True)
        return tuple(file.name for file in gone)

    @property
    def exists(self) -> bool:
        """Return whether the path holds anything except hidden files, which killed processes may leave."""
        if not self.path.is_dir():
            return self.path.exists()
        return any(not file.name.startswith(".") for file in self.path.iterdir())

    @property
    def is_run(self) -> bool:
        """Return whether the folder holds a run, finished or not."""
        return self.recipe_file.is_file()

    def check_free(self, *, or_resume: bool = False) -> None:
        """Raise :class:`RunError` if the path exists. ``or_resume`` adds the advice to use --resume."""
        if self.exists:
            other = ", or continue a run with --resume" if or_resume and self.is_run else ""
            raise RunError(f"{self.path} exists already. Choose another folder with --out{other}.", code="file-exists")

    def create(self, recipe: "Recipe", environment: Mapping[str, Any]) -> None:
        """Make this a run folder: write recipe and environment, and copy the user's own Python files."""
        # Import it here, because prediction does not need it.
        from mien.base.recipe import dump_recipe

        parts = recipe.own_parts | ({"model": recipe.model} if recipe.model.file else {})
        copies: dict[str, bytes] = {}
        for table, part in parts.items():
            source = Path(part.file)
            shared = {Path(each.file) for each in parts.values() if Path(each.file).name == source.name}
            name = source.name if len(shared) == 1 else f"{table}_{source.name}"
            copies[name] = source.read_bytes()
            recipe = recipe.model_copy(update={table: part.model_copy(update={"file": name})})
        # Write the recipe first: a folder without it is no run, so a run killed here could not be resumed.
        write_text(self.recipe_file, dump_recipe(recipe))
        for name, content in copies.items():
            write_bytes(self.path / name, content)
        write_text(self.path / "environment.json", json.dumps(environment, indent=2) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder, created if missing, against other commands in the block; RunError if another holds the lock.

        Half-written files of killed processes are removed first, and a new folder that stays empty afterwards.
        """
        file = self.path / _LOCK
        try:
            made = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            stream = file.open("a+b")
        except OSError as error:
            raise RunError(f"{self.path} is not writable: {error.strerror or error}.", code="file-unwritable") from None
        with stream:
            if not lock_file(stream):
                raise RunError(f"{self.path} is being trained by another command. Wait or stop it.", code="run-locked")
            for part in self.path.glob(".*.part"):
                part.unlink(missing_ok=True)
            try:
                yield
            finally:
                # Remove the lock file while it is locked. Windows cannot.
                with suppress(OSError):
                    file.unlink()
                with suppress(OSError):
                    for folder in made:
                        folder.rmdir()

    def read_recipe(self) -> "Recipe":
        """Read the recipe. Raises RunError if the folder holds no run, RecipeError if the recipe is no longer valid."""
        if not self.is_run:
            what = "does not exist" if not self.path.exists() else "has no recipe.toml, so it is no run folder"
            words = f"{self.path} {what}. Make a run with: mien train RECIPE --data PATH --out DIR"
            raise RunError(words, code="run-missing")
        from mien.base.recipe import load_recipe

        return load_recipe(str(self.recipe_file))

    def read_environment(self) -> dict[str, Any]:
        """Read environment.json. Raises :class:`RunError` if it is missing, unreadable or damaged."""
        file = self.path / "environment.json"
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            content = None
        if not isinstance(content, dict):
            raise RunError(f"{file} is missing or damaged. Train again into another folder.", code="run-damaged")
        return content

    def read_history(self) -> list[dict[str, float]]:
        """Read history.csv; return an empty list if there is none."""
        file = self.path / "history.csv"
        if not file.is_file():
            return []
        try:
            with file.open(newline="", encoding="utf-8") as stream:
                return [{name: float(value) for name, value in line.items()} for line in csv.DictReader(stream)]
        except (OSError, ValueError, TypeError, csv.Error):
            raise RunError(f"{file} is unreadable, or a value in it is not a number.", code="run-damaged") from None

    def note_test_use(self, facts: dict[str, Any]) -> None:
        """Append a line to the ledger of test-split uses. Earlier lines are never rewritten."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="seconds"), **facts})
        try:
            with (self.path / "test_ledger.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(line + "\n")
        except OSError as error:
            raise RunError(f"{self.path}: test_ledger.jsonl: {error.strerror}.", code="file-unwritable") from None

    def test_uses(self) -> int:
        """Return how often this run's model was evaluated on the test split."""
        file = self.path / "test_ledger.jsonl"
        return len(file.read_bytes().splitlines()) if file.is_file() else 0


HistoryLine = dict[str, float]
"""One line of history.csv: ``epoch`` (1-based), ``seconds`` since the start, ``learning_rate``, ``train_loss``,
``train_accuracy``, ``validation_loss``, ``validation_accuracy``, ``validation_macro_f1``, ``validation_macro_auc``."""

HISTORY_COLUMNS: tuple[str, ...] = (
    *("epoch", "seconds", "learning_rate", "train_loss", "train_accuracy"),
    *("validation_loss", "validation_accuracy", "validation_macro_f1", "validation_macro_auc"),
)


def best_epoch(history: Sequence[Mapping[str, float]], recipe: "Recipe") -> int:
    """Return the epoch (1-based) whose weights are kept: the best by the stopping metric, or the last."""
    return len(history) if recipe.stopping.keep == "last" else best_by_metric(history, recipe)


def best_by_metric(history: Sequence[Mapping[str, float]], recipe: "Recipe") -> int:
    """Return the epoch (1-based) with the best value of the stopping metric; at a tie, that with the lowest loss."""
    metric = recipe.stopping.metric
    sign = -1.0 if metric == "loss" else 1.0
    values = [(sign * line[f"validation_{metric}"], -line["validation_loss"]) for line in history]
    # An undefined value, such as the AUC of a split with one class, is never the best.
    ranked = [tuple(-math.inf if math.isnan(each) else each for each in pair) for pair in values]
    return ranked.index(max(ranked)) + 1


def history_to_csv(history: Sequence[Mapping[str, float]]) -> str:
    """Return the text of history.csv: columns :data:`HISTORY_COLUMNS`, and those of further outputs."""
    stream = io.StringIO()
    columns = dict.fromkeys([*HISTORY_COLUMNS, *(name for line in history for name in line)])
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: f"{value:.7g}" for name, value in line.items()} for line in history)
    return stream.getvalue()


def check_out(out: str | os.PathLike[str], data: object = None, *, for_page: bool = False) -> Path:
    """Return a folder to write, with ``~`` expanded. A report (``for_page``) would replace an evaluation's page.

    Raises RunError: ``out`` is a file, a run folder or an evaluation, whose files would be replaced, or inside the
    data, which would later read its files as samples (``out-path``); or not to be written to (``file-unwritable``).
    """
    folder, other = check_outside(out, data), "Choose another folder with --out."
    if folder.is_file():
        raise RunError(f"{folder} is a file; --out must name a folder.", code="out-path")
    if RunFolder(folder).is_run:
        raise RunError(f"{folder} is a run folder. {other}", code="out-path")
    if for_page and (folder / "metrics.json").is_file():
        raise RunError(f"{folder} holds an evaluation with its own page. {other}", code="out-path")
    place = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    if not os.access(place, os.W_OK):
        raise RunError(f"You may not write to {place}. {other}", code="file-unwritable")
    return folder


_SHIPPED = resources.files("mien") / "shipped"
SHIPPED: tuple[str, ...] = tuple(
    sorted(
        (entry.name for entry in _SHIPPED.iterdir() if (entry / "model.int8.onnx").is_file()),
        key=lambda name: (name != "default", name),
    )
)
"""Names of the built-in models, the default first. Built-in models are run folders in ``mien/shipped``. The wheel holds
``best`` in int8 alone."""


def is_shipped(name: str | os.PathLike[str]) -> bool:
    """Return whether this is the name of a built-in model, with or without ``-int8``. A :class:`Path` is never one."""
    return isinstance(name, str) and name.removesuffix(INT8) in SHIPPED


def is_shipped_run(run: RunFolder) -> bool:
    """Return whether a run folder is that of a built-in model."""
    return run.path in {find_run(name).path for name in SHIPPED}


def find_run(name: str | os.PathLike[str]) -> RunFolder:
    """Return the run folder of a built-in model's name, or at a path. The files are not opened."""
    if is_shipped(name):
        return RunFolder(Path(str(_SHIPPED / os.fspath(name).removesuffix(INT8))))
    return RunFolder(expand_home(name))


def find_trained(name: str | os.PathLike[str]) -> RunFolder:
    """Return the run folder of a model with trainable weights, as :func:`find_run` does but without int8.

    Raises ModelError: a built-in model without trainable weights, or in int8 (``model-not-trainable``), a folder of
    folds, or a misspelt name of a built-in model (``model-missing``).
    """
    run, text = find_run(name), os.fspath(name)
    if is_shipped(name) and text.endswith(INT8):
        words = f"{text} has 8-bit weights, which cannot be trained or exported; use {text.removesuffix(INT8)}."
        raise ModelError(words, code="model-not-trainable")
    if is_shipped(name) and not run.best.is_file():
        words = f"The trainable weights of {text} are in mien's repository, not in this package. Use {SHIPPED[0]}."
        raise ModelError(words, code="model-not-trainable")
    _check_folder(run, name, "Give a run folder", SHIPPED)
    return run


def find_run_of_model(name: str | os.PathLike[str]) -> RunFolder | None:
    """Return the run folder that a model or its ``.onnx`` file belongs to; None if it is in no run folder."""
    run = find_run(name)
    run = RunFolder(run.path.parent) if run.path.is_file() else run
    return run if run.is_run else None


def find_model(name: str | os.PathLike[str]) -> Path:
    """Return the ``.onnx`` file of a built-in name, a run folder or that file; else ModelError (``model-missing``)."""
    run = find_run(name)
    if is_shipped(name) and (os.fspath(name).endswith(INT8) or not run.model.is_file()):
        return run.model_int8
    _check_folder(run, name, "Give a run folder, a .onnx file", [*SHIPPED, *(f"{each}{INT8}" for each in SHIPPED)])
    if run.path.is_file():
        return run.path
    if run.model.is_file():
        return run.model
    words = f"{run.path} has neither model.onnx nor best.safetensors: give a folder with a model."
    if run.best.is_file():
        words = f"{run.path} has no model.onnx yet. Export it with: mien export {run.path}"
    raise ModelError(words, code="model-missing")


def _check_folder(run: RunFolder, name: str | os.PathLike[str], given: str, known: Sequence[str]) -> None:
    """Raise ModelError (``model-missing``) if there is nothing at the path, or a folder of folds."""
    if not run.path.exists():
        close = get_close_matches(os.fspath(name), known, n=1) if Path(name).name == os.fspath(name) else []
        meant = f" Did you mean the built-in model '{close[0]}'?" if close else ""
        raise ModelError(f"There is no model at {name}. {given}, or: {', '.join(known)}.{meant}", code="model-missing")
    folds = [] if run.is_run else [fold for fold in sorted(run.path.glob("fold-*")) if RunFolder(fold).is_run]
    if folds:
        words = f"{run.path} holds the runs of {len(folds)} folds. Give one of them, such as {folds[0]}."
        raise ModelError(words, code="model-missing")
