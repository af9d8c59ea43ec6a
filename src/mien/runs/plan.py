"""What a study has to run, as values: its runs, parents before children, and which of them are pending. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from mien.base.recipe import Recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.runs.store import CompletedRun


class DataForm(NamedTuple):
    """The form in which a run takes its data: side of the images, 1 or 3 channels, and what train is cleaned of."""

    size_px: int
    channels: int
    cleaned: tuple[str, ...] = ()


FacesByForm = Mapping[DataForm, Dataset]
"""The data in every form that the recipes of a study take."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        variant: name of the study's row.
        recipe: with its seed, every setting of its model, and a name that tells the study and the variant.
        data_fingerprint: of the data as it was read, as validation predictions record it.
        classes: that it is trained on.
        train_faces: number of faces per epoch.
        parent: the run whose weights it starts from.
        start_digest: SHA-256 of the weights file that it starts from otherwise; ``""`` for none.
        votes_fingerprint: of the votes that an output learns from; ``""`` where none does.
        cleaned: what its train split is cleaned of: kinds of changes.
        cleaned_fingerprint: of the data with its train split cleaned; ``""`` for the data as it was read.
        model: the built-in model whose weights it starts from.
        corrupted: whether it is measured on corrupted validation images too.
    """

    variant: str
    recipe: Recipe
    data_fingerprint: str
    classes: tuple[str, ...]
    train_faces: int
    parent: PlannedRun | None = None
    start_digest: str = ""
    votes_fingerprint: str = ""
    cleaned: tuple[str, ...] = ()
    cleaned_fingerprint: str = ""
    model: RunFolder | None = None
    corrupted: bool = False

    @property
    def form(self) -> DataForm:
        """Which data it takes."""
        return DataForm(*self.recipe.input.stored_as, self.cleaned)

    @cached_property
    def key(self) -> str:
        """SHA-256 over recipe (with its seed), data, first weights, votes and cleaning: the same key, the same run."""
        start = self.parent.key if self.parent else self.start_digest
        more = [each for each in (self.votes_fingerprint, self.cleaned_fingerprint) if each]
        parts = (self.recipe.digest, self.data_fingerprint, start, *more)
        return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"

    @property
    def folder_name(self) -> str:
        """A name for people, made unique by the key."""
        return f"{self.recipe.name}-seed{self.recipe.seed}-{self.key[7:15]}"


@dataclass(frozen=True)
class StudyPlan:
    """All runs of a study, parents before children."""

    runs: tuple[PlannedRun, ...]


class StudyCallback:
    """Called as a study proceeds; to be overridden."""

    def on_epochs(self, run: PlannedRun, done: int) -> None:
        """``done`` epochs of a run are finished; 0 when it starts."""

    def on_run_end(self, run: PlannedRun, completed: CompletedRun) -> None:
        """A run has ended and its results are stored."""


def pending(plan: StudyPlan, finished: Mapping[str, CompletedRun], out: Path) -> list[PlannedRun]:
    """The runs that are not finished or lack what is asked for, and their parents whose weights are not in ``out``.

    Parents come first.

    Args:
        plan: all of it.
        finished: by key.
        out: where the study's run folders are.
    """
    wanted: set[str] = set()
    for run in plan.runs:
        kept = finished.get(run.key)
        if kept is not None and kept.is_complete(run.corrupted):
            continue
        wanted.add(run.key)
        parent = run.parent
        while parent is not None and not _serves(parent, finished, out):
            wanted.add(parent.key)
            parent = parent.parent
    return [run for run in plan.runs if run.key in wanted]


def _serves(parent: PlannedRun, finished: Mapping[str, CompletedRun], out: Path) -> bool:
    """Whether children can begin: the parent failed, which fails them too, or its weights of all epochs are there."""
    kept = finished.get(parent.key)
    if kept is None:
        return False
    folder = folder_of(parent, out)
    return bool(kept.record.failed) or (
        folder.best.is_file() and len(folder.read_history()) == kept.record.epochs and not folder.last.is_file()
    )


def folder_of(run: PlannedRun, out: Path) -> RunFolder:
    """Where a run of a study stands. It holds ``last.safetensors`` until the run is finished."""
    return RunFolder(out / "runs" / run.folder_name)
