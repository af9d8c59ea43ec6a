"""Plan of a study, as values: its runs, parents before children, and which of them are pending. No torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mien.base.errors import Notice
from mien.base.recipe import Recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.runs.store import CompletedRun

FacesByForm = Mapping[tuple[int, int], Dataset]
"""The data by side of the images and number of channels, as the recipes of a study take it."""


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
        model: the built-in model whose weights it starts from.
    """

    variant: str
    recipe: Recipe
    data_fingerprint: str
    classes: tuple[str, ...]
    train_faces: int
    parent: PlannedRun | None = None
    start_digest: str = ""
    votes_fingerprint: str = ""
    model: RunFolder | None = None

    @cached_property
    def key(self) -> str:
        """SHA-256 over recipe (with its seed), data, first weights and votes: the same key, the same run."""
        start = self.parent.key if self.parent else self.start_digest
        votes = [self.votes_fingerprint] if self.votes_fingerprint else []
        parts = (self.recipe.digest, self.data_fingerprint, start, *votes)
        return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"

    @property
    def folder_name(self) -> str:
        """A name for people, made unique by the key."""
        return f"{self.recipe.name}-seed{self.recipe.seed}-{self.key[7:15]}"


class StudyCallback:
    """Called as a study proceeds; to be overridden."""

    def on_plan(self, runs: Sequence[PlannedRun], to_do: Sequence[PlannedRun], notices: Sequence[Notice]) -> None:
        """All runs are checked, and those of ``to_do`` begin; ``notices``: what a user may not expect of them."""

    def on_epochs(self, run: PlannedRun, done: int) -> None:
        """``done`` epochs of a run are finished; 0 when it starts."""

    def on_run_end(self, run: PlannedRun, completed: CompletedRun) -> None:
        """A run has ended and its results are stored."""

    def on_end(self) -> None:
        """Nothing runs any more, for whatever reason."""


def pending(runs: Sequence[PlannedRun], finished: Mapping[str, CompletedRun], out: Path) -> list[PlannedRun]:
    """The runs that are not finished, and their parents whose weights are not in ``out``. Parents come first.

    Args:
        runs: all of a study, parents first.
        finished: by key.
        out: where the study's run folders are.
    """
    wanted: set[str] = set()
    for run in runs:
        if run.key in finished:
            continue
        wanted.add(run.key)
        parent = run.parent
        while parent is not None and not _serves(parent, finished, out):
            wanted.add(parent.key)
            parent = parent.parent
    return [run for run in runs if run.key in wanted]


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
