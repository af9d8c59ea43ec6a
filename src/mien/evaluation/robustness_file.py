"""``robustness.json``: a result with what it is of and, where there is a baseline, how its errors compare."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.evaluation.corruptions import CORRUPTIONS
from mien.evaluation.results import json_ready
from mien.evaluation.robustness import (
    CorruptionErrors,
    RobustnessResult,
    fingerprint_of_images,
    mean_corruption_error,
)
from mien.files import write_text

NAME = "robustness.json"


@dataclass(frozen=True)
class RelativeRobustness:
    """Errors relative to a baseline's.

    Attributes:
        baseline: the baseline's file.
        model: the baseline's model, as ``mien robustness`` was told; ``""`` where unknown.
        clean_accuracy: of the baseline, on the faces as they are; NaN where unknown.
        errors: of the result, relative to the baseline's.
    """

    baseline: str
    model: str
    clean_accuracy: float
    errors: CorruptionErrors


@dataclass(frozen=True, eq=False)
class RobustnessReport:
    """The content of a ``robustness.json``.

    Attributes:
        model, data, split: what was measured, as ``mien robustness`` was told.
        result: what was found.
        relative: against a baseline; None without.
        data_fingerprint: of the data as it was read; ``""`` where unknown.
    """

    model: str
    data: str
    split: str
    result: RobustnessResult
    relative: RelativeRobustness | None = None
    data_fingerprint: str = ""

    @property
    def description(self) -> str:
        """What was measured, for a reader."""
        return f"the model {self.model} on {self.result.faces:,} samples of the split {self.split} of {self.data}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; :func:`read_robustness` reads it again."""
        content = {
            "model": self.model,
            "data": self.data,
            "data_fingerprint": self.data_fingerprint,
            "split": self.split,
            **self.result.to_dict(),
        }
        if self.relative is not None:
            content["relative_to"] = {
                "baseline": self.relative.baseline,
                "model": self.relative.model,
                "clean_accuracy": json_ready(self.relative.clean_accuracy),
                **self.relative.errors.to_dict(),
            }
        return content


def relative_to(baseline: RobustnessReport, result: RobustnessResult, name: str) -> RelativeRobustness:
    """The errors of a result relative to a baseline's, whose file is called ``name``.

    Raises:
        DataError: the two may not be compared; see :func:`mien.evaluation.robustness.mean_corruption_error`.
    """
    try:
        errors = mean_corruption_error(result, baseline.result)
    except DataError as error:
        raise DataError(f"{name}: {error}.", code=error.code) from None
    return RelativeRobustness(name, baseline.model, baseline.result.clean_accuracy.value, errors)


def check_baseline(
    baseline: RobustnessReport,
    name: str,
    images: npt.NDArray[np.uint8],
    labels: npt.NDArray[np.int64],
    seed: int,
    samples_fingerprint: str,
) -> None:
    """Refuse a baseline, whose file is called ``name``, for what is about to be measured under every corruption.

    Args:
        baseline: its measurement.
        name: its file.
        images: uint8 (N, S, S[, 3]), the faces.
        labels: int64 (N,).
        seed: of the corruptions.
        samples_fingerprint: :func:`mien.evaluation.robustness.fingerprint_of_samples`.

    Raises:
        DataError: the two could not be compared.
    """
    try:
        baseline.result.check_baseline_for(
            fingerprint_of_images(images, labels), samples_fingerprint, len(images), seed, tuple(CORRUPTIONS)
        )
    except DataError as error:
        raise DataError(f"{name}: {error}.", code=error.code) from None


def write_robustness(folder: Path, measurement: RobustnessReport) -> Path:
    """Write ``robustness.json`` into a folder. Raises :class:`RunError`: the file system refused."""
    write_text(folder / NAME, json.dumps(measurement.to_dict(), indent=2) + "\n")
    return folder / NAME


def read_robustness(path: str | os.PathLike[str]) -> RobustnessReport:
    """Read a ``robustness.json``, or the one in a folder. Raises :class:`DataError`: missing, or something else."""
    path = Path(path) / NAME if Path(path).is_dir() else Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        result = RobustnessResult.from_dict(content)
        model, data, split = (str(content.get(name, "unknown")) for name in ("model", "data", "split"))
        relative = _relative(content.get("relative_to"), result)
        return RobustnessReport(model, data, split, result, relative, str(content.get("data_fingerprint", "")))
    except FileNotFoundError:
        raise DataError(
            f"{path} does not exist. Make it with: mien robustness ... --out DIR", code="robustness-missing"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.", code="file-unreadable") from None
    except (ValueError, RecursionError, OverflowError):
        raise DataError(
            f"{path} is not a {NAME}: it is not JSON. Make it with mien robustness.", code="robustness-invalid"
        ) from None
    except DataError as error:
        raise DataError(f"{path} is not a {NAME}: {error}. Make it with mien robustness.", code=error.code) from None


def _relative(content: Any, result: RobustnessResult) -> RelativeRobustness | None:
    if content is None:
        return None
    try:
        ratios = {str(name): float(ratio) for name, ratio in content["of"].items()}
        errors = CorruptionErrors(ratios, float(content["mean"]))
        clean = content.get("clean_accuracy")
        relative = RelativeRobustness(
            str(content["baseline"]), str(content.get("model", "")), math.nan if clean is None else float(clean), errors
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError("its 'relative_to' is invalid", code="robustness-invalid") from None
    fine = all(math.isfinite(ratio) and ratio >= 0 for ratio in (*ratios.values(), errors.mean))
    if tuple(ratios) != result.corruptions or not fine:
        raise DataError("its 'relative_to' needs one number of at least 0 per corruption", code="robustness-invalid")
    return relative
