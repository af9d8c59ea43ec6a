"""The stored results of finished runs: one folder per run, without weights or images, small enough for a repository.

run.json                 the key it is found by, and how the run went
recipe.toml history.csv  as in the run folder
predictions_validation.npz    predictions on validation (float32)
predictions_corrupted.npz     the same on corrupted images, where the study asks for it
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mien.errors import DataError, StudyError
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions
from mien.files import write_text
from mien.recipe import Recipe
from mien.recipe_file import dump_recipe
from mien.run_folder import RunFolder

RECORD = "run.json"
PREDICTIONS: dict[bool, str] = {False: "predictions_validation.npz", True: "predictions_corrupted.npz"}
"""By whether the images are corrupted."""


class DataForm(NamedTuple):
    """The form in which a run takes its data: side of the images, 1 or 3 channels, and what train is cleaned of."""

    size_px: int
    channels: int
    cleaned: tuple[str, ...] = ()


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
    """All runs of a study, parents before children, and why optional variants cannot be run here, by variant."""

    runs: tuple[PlannedRun, ...]
    left_out: Mapping[str, str]


class RunRecord(BaseModel):
    """How a run went: the content of ``run.json``.

    ``key`` is that of :class:`PlannedRun`, ``variant`` the name under which it was run first. ``recipe_digest``,
    ``data_fingerprint``, ``started_from`` (the key of another run, the digest of a file, or ``""``) and
    ``cleaned_fingerprint`` (of the data with train cleaned of ``cleaned``, or ``""``), with the votes where an output
    learns from them, are what the key is made of. ``train_faces`` is how many faces an epoch showed,
    ``epochs`` how many were done, ``best_epoch`` the one that is kept and measured, chosen on validation (0 for none).
    ``seconds`` are of training and validation, with ``threads`` of torch. ``parameters`` counts those that the network
    trains. ``failed`` says why training could not go on, ``""`` where it did; ``machine`` is for the reader.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="ignore", frozen=True, strict=True)

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
    cleaned: tuple[str, ...] = Field(default=(), strict=False)
    cleaned_fingerprint: str = ""

    @property
    def trained_on(self) -> str:
        """As :func:`trained_on` says it."""
        return trained_on(self.machine.get("device", ""), self.threads)


def trained_on(device: str, threads: int) -> str:
    """What the time of a run hangs on, in words: a GPU, of whatever make, or so many threads of a CPU."""
    return "GPU" if device.startswith("cuda") else f"{threads} {'thread' if threads == 1 else 'threads'}"


@dataclass(frozen=True)
class CompletedRun:
    """A finished run where it is kept."""

    folder: Path
    record: RunRecord

    def has(self, corrupted: bool) -> bool:
        """Whether it has predictions on validation, or on it corrupted."""
        return not self.record.failed and (self.folder / PREDICTIONS[corrupted]).is_file()

    def lacks(self, run: PlannedRun) -> bool:
        """Whether a study asks for predictions on corrupted images that were not made when it was kept."""
        return run.corrupted and not self.record.failed and not self.has(corrupted=True)

    def predictions(self, corrupted: bool = False) -> Predictions:
        """Its predictions on validation, or on it corrupted. Raises :class:`DataError` where the file is damaged."""
        return read_predictions(self.folder / PREDICTIONS[corrupted])


def read_completed(results: Path) -> dict[str, CompletedRun]:
    """All runs kept in a folder, by their key; none where there is no folder.

    Raises:
        StudyError: a ``run.json`` is damaged.
    """
    found = {}
    for file in sorted(results.glob(f"*/{RECORD}")):
        try:
            record = RunRecord.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise StudyError(
                f"{file} is damaged. Remove its folder; the study then repeats the run.", code="study-damaged"
            ) from None
        found[record.key] = CompletedRun(file.parent, record)
    return found


def keep_result(
    results: Path, folder_name: str, record: RunRecord, run: RunFolder, predictions: Mapping[bool, Predictions]
) -> CompletedRun:
    """Keep what matters of a run. The record comes last: it makes the folder a finished run.

    Args:
        results: the folder of all kept runs.
        folder_name: its own one there.
        record: how it went.
        run: where it was trained.
        predictions: on validation, by whether its images are corrupted.

    Raises:
        RunError: the file system refused.
    """
    folder = results / folder_name
    if run.is_run:
        write_text(folder / "recipe.toml", dump_recipe(run.read_recipe()))
    history = run.path / "history.csv"
    if history.is_file():
        write_text(folder / "history.csv", history.read_text(encoding="utf-8"))
    for corrupted, each in predictions.items():
        write_predictions(folder / PREDICTIONS[corrupted], each, np.float32)
    write_text(folder / RECORD, record.model_dump_json(indent=2) + "\n")
    return CompletedRun(folder, record)


def predictions_of(finished: Sequence[CompletedRun], corrupted: bool = False) -> list[Predictions]:
    """The predictions of several runs. Raises :class:`StudyError` when one is damaged or of other data."""
    many = []
    for each in finished:
        try:
            predictions = each.predictions(corrupted)
        except DataError as error:
            raise StudyError(
                f"{error} Remove the folder {each.folder}; the study then repeats the run.", code="study-damaged"
            ) from None
        if predictions.data_fingerprint != each.record.data_fingerprint:
            raise StudyError(
                f"The predictions in {each.folder} are of other data than {RECORD} says. Remove the folder.",
                code="study-data",
            )
        many.append(predictions)
    return many
