"""What an evaluation says: typed values that the table, ``metrics.json`` and the report are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LEVEL = 0.95
"""Level of every interval."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % bootstrap interval; NaN where it is undefined."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return {"value": json_ready(self.value), "low": json_ready(self.low), "high": json_ready(self.high)}


@dataclass(frozen=True)
class ClassFigures:
    """Figures of one class, or an average over classes; NaN where undefined.

    ``support`` is the number of rows of the class (of all rows, in an average), ``auc`` one-vs-rest.
    """

    name: str
    support: int
    precision: float
    recall: float
    f1: float
    auc: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return fields_to_dict(self)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What the scores of one split amount to. How each figure is made stands in docs/evaluation.md.

    Attributes:
        split: the split that the rows are of.
        rows: number of rows.
        classes: C class names.
        data_fingerprint: as in the scores; ``""`` where unknown.
        accuracy: share of rows whose most probable class is the true one, 0..1.
        macro_f1: mean F1 over the classes that have rows, 0..1.
        macro_auc: mean one-vs-rest area under the ROC curve over the classes where it is defined, 0..1.
        log_loss: mean negative natural logarithm of the true class's probability, 0..34.6.
        calibration_error: expected calibration error of the top label, 15 bins, 0..1.
        per_class: one entry per class, in their order.
        macro: plain mean over the classes that have rows.
        weighted: mean over the same classes, weighted by their rows.
        confusion: int64 (C, C), rows are true classes, columns predicted ones.
        resamples: number of bootstrap resamples behind the intervals.
        seed: seed of the resampling.
    """

    split: str
    rows: int
    classes: tuple[str, ...]
    data_fingerprint: str
    accuracy: Estimate
    macro_f1: Estimate
    macro_auc: Estimate
    log_loss: Estimate
    calibration_error: Estimate
    per_class: tuple[ClassFigures, ...]
    macro: ClassFigures
    weighted: ClassFigures
    confusion: npt.NDArray[np.int64]
    resamples: int
    seed: int

    @property
    def headline(self) -> dict[str, Estimate]:
        """The headline figures by name, in the order in which they are shown."""
        return {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "macro_auc": self.macro_auc,
            "log_loss": self.log_loss,
            "calibration_error": self.calibration_error,
        }

    def to_dict(self) -> dict[str, Any]:
        """The content of ``metrics.json``: only dicts, lists, strings, numbers and None (for NaN)."""
        return {
            "split": self.split,
            "rows": self.rows,
            "classes": list(self.classes),
            "data_fingerprint": self.data_fingerprint,
            "headline": {name: estimate.to_dict() for name, estimate in self.headline.items()},
            "intervals": {
                "level": LEVEL,
                "method": "percentile bootstrap over rows",
                "resamples": self.resamples,
                "seed": self.seed,
            },
            "per_class": [figures.to_dict() for figures in self.per_class],
            "macro": self.macro.to_dict(),
            "weighted": self.weighted.to_dict(),
            "confusion_matrix": self.confusion.tolist(),
        }


@dataclass(frozen=True)
class Part:
    """The rows that share one value of a column."""

    value: str
    count: int
    accuracy: Estimate
    macro_f1: Estimate

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return fields_to_dict(self)


def fields_to_dict(result: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """The fields of a dataclass, JSON-ready by :func:`json_ready`, without those named in ``leave_out``."""
    return {each.name: json_ready(getattr(result, each.name)) for each in fields(result) if each.name not in leave_out}


def json_ready(value: Any) -> Any:
    """Turn results, arrays and sequences into what JSON knows; NaN and infinity become None.

    A dataclass gives what its own ``to_dict`` says.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return value.to_dict() if hasattr(value, "to_dict") else fields_to_dict(value)
    if isinstance(value, Mapping):
        return {key: json_ready(each) for key, each in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return json_ready(value.tolist())
    if isinstance(value, (list, tuple)):
        return [json_ready(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
