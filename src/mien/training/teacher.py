"""A teacher of a student."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Teacher:
    """Whose predictions a student learns from.

    Attributes:
        file: what the run records by its SHA-256: a model file, or a predictions file.
        predictions: a predictions file of the train split; None before it is made.
    """

    file: Path
    predictions: Path | None = None
