"""The stored results of finished runs, one folder per run, without weights or images, so that they stay small.

run.json                 the run's key and how it went
recipe.toml history.csv  copied from the run folder
predictions_validation.npz    predictions on validation (float32); missing if the run failed
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
        """Read the predictions on validation.

        Raises StudyError if they are missing, damaged, or for other data than the record says.
        """
        try:
            found = read_predictions(self.folder / PREDICTIONS)
        except DataError as error:
            raise StudyError(
                f"{error.raw} Remove the folder {self.folder}; the study then repeats the run.", code="study-damaged"
            ) from None
        if found.data_fingerprint != self.record.data_fingerprint:
            raise StudyError(
                f"The predictions in {self.folder} are for other data than {RECORD} says. Remove the folder.",
                code="study-data",
            )
        return found


def read_completed(results: Path) -> dict[str, CompletedRun]:
    """Read all runs in a folder, by key; empty if it does not exist. Raises StudyError for a damaged ``run.json``."""
    runs = [read_run(file.parent) for file in sorted(results.glob(f"*/{RECORD}"))]
    return {each.record.key: each for each in runs}


def read_run(folder: Path) -> CompletedRun:
    """Read the run in a folder. Raises the errors of :func:`read_completed`."""
    try:
        return CompletedRun(folder, RunRecord.model_validate_json((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError):
        raise StudyError(
            f"{folder / RECORD} is damaged. Remove its folder; the study then repeats the run.", code="study-damaged"
        ) from None
