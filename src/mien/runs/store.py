"""The stored results of finished runs: one folder per run, without weights or images, small enough for a repository.

run.json                 the key it is found by, and how the run went
recipe.toml history.csv  as in the run folder
predictions_validation.npz    predictions on validation (float32)
predictions_corrupted.npz     the same on corrupted images, where the study asks for it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mien.base.errors import DataError, StudyError
from mien.base.files import write_text
from mien.base.recipe import dump_recipe
from mien.base.run_folder import RunFolder
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions

RECORD = "run.json"
PREDICTIONS: dict[bool, str] = {False: "predictions_validation.npz", True: "predictions_corrupted.npz"}
"""By whether the images are corrupted."""


class RunRecord(BaseModel):
    """How a run went: the content of ``run.json``.

    ``key`` is that of :class:`mien.runs.plan.PlannedRun`, ``variant`` the name under which it was run first.
    ``recipe_digest``, ``data_fingerprint``, ``started_from`` (the key of another run, the digest of a file, or ``""``)
    and ``cleaned_fingerprint`` (of the data with train cleaned of ``cleaned``, or ``""``), with the votes where an
    output learns from them, are what the key is made of. ``train_faces`` is how many faces an epoch showed,
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
    def hardware(self) -> str:
        """What its time depends on, in words: a GPU, or so many threads of a CPU."""
        if self.machine.get("device", "").startswith("cuda"):
            return "GPU"
        return f"{self.threads} {'thread' if self.threads == 1 else 'threads'}"


@dataclass(frozen=True)
class CompletedRun:
    """A finished run where it is kept."""

    folder: Path
    record: RunRecord

    def has(self, corrupted: bool) -> bool:
        """Whether it has predictions on validation, or on it corrupted."""
        return not self.record.failed and (self.folder / PREDICTIONS[corrupted]).is_file()

    def is_complete(self, corrupted: bool) -> bool:
        """Whether it has what is asked of it; a run that failed has nothing to give."""
        return bool(self.record.failed) or self.has(corrupted)

    def predictions(self, corrupted: bool = False) -> Predictions:
        """Its predictions on validation, or on it corrupted. Raises :class:`DataError` where the file is damaged."""
        return read_predictions(self.folder / PREDICTIONS[corrupted])


def read_completed(results: Path) -> dict[str, CompletedRun]:
    """All runs kept in a folder, by their key; none where there is no folder.

    Raises:
        StudyError: a ``run.json`` is damaged.
    """
    runs = [read_run(file.parent) for file in sorted(results.glob(f"*/{RECORD}"))]
    return {each.record.key: each for each in runs}


def read_run(folder: Path) -> CompletedRun:
    """The run that is kept in a folder. Raises as :func:`read_completed`."""
    try:
        return CompletedRun(folder, RunRecord.model_validate_json((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise StudyError(
            f"{folder / RECORD} is damaged. Remove its folder; the study then repeats the run.", code="study-damaged"
        ) from None


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
