"""What an evaluation says: typed values that the table, ``metrics.json`` and the report are made of."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
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

    def to_dict(self) -> dict[str, float | None]:
        """JSON-ready, NaN as None."""
        return {name: _json_number(value) for name, value in asdict(self).items()}


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
        return {
            name: _json_number(value) if isinstance(value, float) else value for name, value in asdict(self).items()
        }


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
        return {
            "value": self.value,
            "count": self.count,
            "accuracy": self.accuracy.to_dict(),
            "macro_f1": self.macro_f1.to_dict(),
        }


def _json_number(value: float) -> float | None:
    return None if math.isnan(value) else value
