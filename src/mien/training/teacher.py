"""A teacher of a student."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Teacher:
    """Whose predictions a student learns from.

    Attributes:
        file: what the run records by its SHA-256: a predictions file, a model file, or the weights of a network that
            runs live.
        predictions: a predictions file of the train split; None for a network that runs live, and before it is made.
    """

    file: Path
    predictions: Path | None = None
