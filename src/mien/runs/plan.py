"""Runs of a study, planned and finished: which are pending, and the stored results of each. Needs no torch.

Results are one folder per run, without weights or images, so that they stay small:

run.json                 the run's key and how it went
recipe.toml history.csv  copied from the run folder
predictions_validation.npz    predictions on validation (float32); missing if the run failed
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from mien.base.errors import DataError, Notice, StudyError
from mien.base.recipe import Recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions, read_predictions

RECORD = "run.json"
PREDICTIONS = "predictions_validation.npz"


class RunRecord(BaseModel):
    """The record of a run: the content of ``run.json``.

    ``key`` is that of :class:`mien.runs.plan.PlannedRun`; ``variant`` names the first variant with this run.
    The key is computed from ``data_fingerprint``, ``started_from`` (key of another run, digest of a file, or ``""``),
    the recipe and any votes. ``epochs`` counts finished epochs; ``best_epoch`` is the kept one (0 for none).
    ``seconds`` is the time of training and validation with ``threads`` of torch. ``failed`` says why training failed,
    or is ``""``. ``machine`` is only for human readers.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", frozen=True, strict=True)

    key: str
    variant: str
    seed: int
    data_fingerprint: str
    started_from: str
    epochs: int = Field(ge=0)
    best_epoch: int = Field(ge=0)
    seconds: float = Field(ge=0)
    threads: int
    failed: str
    machine: dict[str, str]

    @property
    def hardware(self) -> str:
        """Hardware of the run in words: a GPU, or a number of CPU threads."""
        if self.machine.get("device", "").startswith("cuda"):
            return "GPU"
        return f"{self.threads} {'thread' if self.threads == 1 else 'threads'}"


@dataclass(frozen=True)
class CompletedRun:
    """A finished run and the folder of its results."""

    folder: Path
    record: RunRecord

    def predictions(self) -> Predictions:
        """Read the predictions on validation. Raises StudyError if they are missing or damaged."""
        try:
            return read_predictions(self.folder / PREDICTIONS)
        except DataError as error:
            words = f"{error} Remove the folder {self.folder}; the study then repeats the run."
            raise StudyError(words, code="study-damaged") from None


def read_completed(results: Path) -> dict[str, CompletedRun]:
    """Read all runs in a folder, by key; empty if it does not exist. Raises StudyError for a damaged ``run.json``."""
    return {each.record.key: each for each in [read_run(file.parent) for file in sorted(results.glob(f"*/{RECORD}"))]}


def read_run(folder: Path) -> CompletedRun:
    """Read the run in a folder. Raises the errors of :func:`read_completed`."""
    try:
        return CompletedRun(folder, RunRecord.model_validate_json((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        words = f"{folder / RECORD} is damaged. Remove its folder; the study then repeats the run."
        raise StudyError(words, code="study-damaged") from None


FacesByForm = Mapping[tuple[int, int], Dataset]
"""The data in each form (image side, channels) that a recipe of the study needs."""


@dataclass(frozen=True)
class PlannedRun:
    """A planned run of a study.

    Attributes:
        recipe: complete recipe with seed; its name contains the study's and the variant's.
        data_fingerprint: fingerprint of the data as loaded; validation predictions record it too.
        classes: classes that the run is trained on.
        train_faces: number of faces per epoch.
        parent: run whose final weights are the initial weights of this one.
        start_digest: SHA-256 of the file with initial weights, if not from a parent; ``""`` for none.
        targets_fingerprint: fingerprints of the votes and ratings that outputs are trained on; ``""`` for none.
        model: built-in model that provides the initial weights.
    """

    variant: str
    recipe: Recipe
    data_fingerprint: str
    classes: tuple[str, ...]
    train_faces: int
    parent: "PlannedRun | None" = None
    start_digest: str = ""
    targets_fingerprint: str = ""
    model: RunFolder | None = None

    @cached_property
    def key(self) -> str:
        """SHA-256 over recipe (with seed), data, initial weights, votes and ratings. Equal keys mean the same run."""
        start = self.parent.key if self.parent else self.start_digest
        targets = [self.targets_fingerprint] if self.targets_fingerprint else []
        parts = (self.recipe.digest, self.data_fingerprint, start, *targets)
        return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"

    @property
    def folder_name(self) -> str:
        """Readable folder name, made unique by the key."""
        return f"{self.recipe.name}-seed{self.recipe.seed}-{self.key[7:15]}"


class StudyCallback:
    """Base class of callbacks for a study. Override the methods that you need."""

    def on_plan(self, runs: Sequence[PlannedRun], to_do: Sequence[PlannedRun], notices: Sequence[Notice]) -> None:
        """Called after all runs were checked, before those of ``to_do`` start. Show ``notices`` to the user."""

    def on_epochs(self, run: PlannedRun, done: int) -> None:
        """Called when ``done`` epochs of a run are finished, and with 0 at its start."""

    def on_run_end(self, run: PlannedRun, completed: CompletedRun) -> None:
        """Called when a run has ended and its results are stored."""

    def on_end(self) -> None:
        """Called once, when no run is active any more, for any reason."""


def pending(runs: Sequence[PlannedRun], finished: Mapping[str, CompletedRun], out: Path) -> list[PlannedRun]:
    """Return the unfinished runs, and their parents whose weights are missing in ``out``. Parents come first."""
    wanted: set[str] = set()
    for run in runs:
        if run.key in finished:
            continue
        wanted.add(run.key)
        parent = run.parent
        while parent is not None and not _is_reusable(parent, finished, out):
            wanted.add(parent.key)
            parent = parent.parent
    return [run for run in runs if run.key in wanted]


def _is_reusable(parent: PlannedRun, finished: Mapping[str, CompletedRun], out: Path) -> bool:
    """Return whether the runs that start from it can begin: it failed (so they fail too), or has weights."""
    kept = finished.get(parent.key)
    if kept is None:
        return False
    folder = folder_of(parent, out)
    return bool(kept.record.failed) or (
        folder.best.is_file() and len(folder.read_history()) == kept.record.epochs and not folder.last.is_file()
    )


def folder_of(run: PlannedRun, out: Path) -> RunFolder:
    """Return a run's folder. The folder contains ``last.safetensors`` until the run is finished."""
    return RunFolder(out / "runs" / run.folder_name)
