"""What is kept of a study's finished runs: a folder each, light enough for a repository, without weights or images.

run.json                 the key it is found by, and how the run went
recipe.toml history.csv  as in the run folder
scores_validation.npz    what the model said about each row of validation (float32)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mien.errors import DataError, StudyError
from mien.evaluation.scores import Scores, read_scores, write_scores
from mien.files import write_text
from mien.recipe import Recipe
from mien.recipe_file import dump_recipe
from mien.run_folder import RunFolder

RECORD = "run.json"


@dataclass(frozen=True)
class Planned:
    """One run of a study.

    Attributes:
        variant: name of the study's row.
        recipe: with its seed, every setting of its model, and a name that tells the study and the variant.
        data_fingerprint: of the data as it was read, as scores of validation go by it.
        classes: that it learns.
        train_faces: how many faces an epoch shows.
        parent: the run whose weights it begins with.
        start_digest: SHA-256 of the file whose weights it begins with otherwise; ``""`` for none.
    """

    variant: str
    recipe: Recipe
    data_fingerprint: str
    classes: tuple[str, ...]
    train_faces: int
    parent: Planned | None = None
    start_digest: str = ""

    @cached_property
    def key(self) -> str:
        """SHA-256 over recipe (with its seed), data and first weights: the same key, the same run."""
        start = self.parent.key if self.parent else self.start_digest
        parts = (self.recipe.digest, self.data_fingerprint, start)
        return f"sha256:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"

    @property
    def folder_name(self) -> str:
        """A name for people, made unique by the key."""
        return f"{self.recipe.name}-seed{self.recipe.seed}-{self.key[7:15]}"


@dataclass(frozen=True)
class Plan:
    """All runs of a study, parents before children, and the optional variants that cannot be run here, with why."""

    runs: tuple[Planned, ...]
    left_out: Mapping[str, str]


class Record(BaseModel):
    """How a run went: the content of ``run.json``.

    ``key`` is that of :class:`Planned`, ``variant`` the name under which it was run first. ``recipe_digest``,
    ``data_fingerprint`` and ``started_from`` (the key of another run, the digest of a file, or ``""``) are what the key
    is made of. ``train_faces`` is how many faces an epoch showed, ``epochs`` how many were done, ``best_epoch`` the one
    that is kept and measured, chosen on validation (0 for none). ``seconds`` are of training and validation, with
    ``threads`` of torch. ``parameters`` counts the network's trainable numbers. ``failed`` says why training could not
    go on, ``""`` where it did; ``machine`` is for the reader.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    key: str
    variant: str
    seed: int
    recipe_digest: str
    data_fingerprint: str
    started_from: str
    train_faces: int = Field(ge=0)
    epochs: int = Field(ge=0)
    best_epoch: int = Field(ge=0)
    seconds: float = Field(ge=0)
    threads: int
    parameters: int
    failed: str
    machine: dict[str, str]

    @property
    def trained_on(self) -> str:
        """As :func:`trained_on` says it."""
        return trained_on(self.machine.get("device", ""), self.threads)


def trained_on(device: str, threads: int) -> str:
    """What the time of a run hangs on, in words: a GPU, of whatever make, or so many threads of a CPU."""
    return "GPU" if device.startswith("cuda") else f"{threads} {'thread' if threads == 1 else 'threads'}"


@dataclass(frozen=True)
class Finished:
    """A finished run where it is kept."""

    folder: Path
    record: Record

    def scores(self) -> Scores:
        """Its scores of validation. Raises :class:`DataError` where the file is damaged."""
        return read_scores(self.folder / "scores_validation.npz")


def read_finished(results: Path) -> dict[str, Finished]:
    """All runs kept in a folder, by their key; none where there is no folder.

    Raises:
        StudyError: a ``run.json`` is damaged.
    """
    found = {}
    for file in sorted(results.glob(f"*/{RECORD}")):
        try:
            record = Record.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise StudyError(f"{file} is damaged. Remove its folder; the study runs it again.") from None
        found[record.key] = Finished(file.parent, record)
    return found


def keep_result(results: Path, folder_name: str, record: Record, run: RunFolder, scores: Scores | None) -> Finished:
    """Keep what matters of a run. The record comes last: it makes the folder a finished run.

    Raises:
        RunError: the file system refused.
    """
    folder = results / folder_name
    if run.is_run:
        write_text(folder / "recipe.toml", dump_recipe(run.read_recipe()))
    history = run.path / "history.csv"
    if history.is_file():
        write_text(folder / "history.csv", history.read_text(encoding="utf-8"))
    if scores is not None:
        write_scores(folder / "scores_validation.npz", scores, np.float32)
    write_text(folder / RECORD, record.model_dump_json(indent=2) + "\n")
    return Finished(folder, record)


def scores_of(finished: Sequence[Finished]) -> list[Scores]:
    """The scores of several runs. Raises :class:`StudyError` where one is damaged or is of other data than it says."""
    many = []
    for each in finished:
        try:
            scores = each.scores()
        except DataError as error:
            raise StudyError(f"{error} Remove the folder {each.folder}; the study runs it again.") from None
        if scores.data_fingerprint != each.record.data_fingerprint:
            raise StudyError(f"The scores in {each.folder} are of other data than {RECORD} says. Remove the folder.")
        many.append(scores)
    return many
