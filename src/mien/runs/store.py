"""The stored results of finished runs: one folder per run, without weights or images, small enough for a repository.

run.json                 the key it is found by, and how the run went
recipe.toml history.csv  as in the run folder
predictions_validation.npz    predictions on validation (float32); none of a run that failed
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field

from mien.base.errors import DataError, StudyError
from mien.evaluation.predictions import Predictions, read_predictions

RECORD = "run.json"
PREDICTIONS = "predictions_validation.npz"


class RunRecord(BaseModel):
    """How a run went: the content of ``run.json``.

    ``key`` is that of :class:`mien.runs.plan.PlannedRun`, ``variant`` the name under which it was run first.
    ``data_fingerprint`` and ``started_from`` (the key of another run, the digest of a file, or ``""``), with the recipe
    and the votes where an output learns from them, are what the key is made of. ``epochs`` is how many were done,
    ``best_epoch`` the one that is kept and measured (0 for none).
    ``seconds`` are of training and validation, with ``threads`` of torch. ``failed`` says why training could not
    go on, ``""`` where it did; ``machine`` is for the reader.
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
    """A finished run where it is kept."""

    folder: Path
    record: RunRecord

    def predictions(self) -> Predictions:
        """Its predictions on validation.

        Raises:
            StudyError: they are missing or damaged, or of other data than the record says.
        """
        try:
            found = read_predictions(self.folder / PREDICTIONS)
        except DataError as error:
            raise StudyError(
                f"{error.raw} Remove the folder {self.folder}; the study then repeats the run.", code="study-damaged"
            ) from None
        if found.data_fingerprint != self.record.data_fingerprint:
            raise StudyError(
                f"The predictions in {self.folder} are of other data than {RECORD} says. Remove the folder.",
                code="study-data",
            )
        return found


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
