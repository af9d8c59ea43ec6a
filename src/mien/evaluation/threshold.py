"""Two classes and the threshold between them: what it gives, and which one validation would choose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.evaluation import metrics
from mien.evaluation.curves import RocCurve, roc_curves, roc_points
from mien.evaluation.results import fields_to_dict
from mien.evaluation.scores import Scores
from mien.labels import check_threshold, positive_class

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class OperatingPoint:
    """What a threshold gives on some rows: one point of their ROC curve. NaN where undefined.

    Attributes:
        threshold: a row is called positive from this probability up, 0..1.
        accuracy: share of right rows.
        precision: of the rows called positive, the share that is; 0 where none is called so.
        true_positive_rate: of the positive rows, the share called so: their recall.
        false_positive_rate: of the negative rows, the share called positive.
        f1: of the positive class.
    """

    threshold: float
    accuracy: float
    precision: float
    true_positive_rate: float
    false_positive_rate: float
    f1: float

    @property
    def youden(self) -> float:
        """Youden's J: true minus false positive rate, -1..1; 0 is chance (Youden, Cancer 3, 1950)."""
        return self.true_positive_rate - self.false_positive_rate

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return {**fields_to_dict(self), "youden": None if math.isnan(self.youden) else self.youden}


@dataclass(frozen=True, eq=False)
class ThresholdResult:
    """A threshold on the rows of one split, and beside it the one that is best on validation.

    Attributes:
        positive: the class whose probability is held against the threshold.
        split: the split that the rows are of.
        chosen: what the threshold gives that was asked for.
        best: what the threshold gives *on these rows* whose Youden's J is greatest on validation; None where there
            are no validation rows of both classes. Where the rows are validation's own, its figures are flattered.
        roc: the curve on which both points lie.
        in_use: whether the probabilities are those of the model in use, its temperature applied.
    """

    positive: str
    split: str
    chosen: OperatingPoint
    best: OperatingPoint | None
    roc: RocCurve
    in_use: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return {"criterion": "Youden's J on validation", **fields_to_dict(self)}


def measure_threshold(
    scores: Scores, threshold: float, validation: Scores | None, resamples: int = 1000, seed: int = 0
) -> ThresholdResult:
    """Measure a threshold, and the best one of validation, on the rows of ``scores``.

    Args:
        scores: of two classes.
        threshold: 0..1.
        validation: scores of validation rows by the same model, at the same temperature; None where there are none.
        resamples: bootstrap resamples behind the curve's band and area.
        seed: seed of the resampling.

    Raises:
        DataError: not two classes, or a threshold outside 0..1.
    """
    check_threshold(threshold, scores.classes)
    best = math.nan if validation is None else best_threshold(validation)
    positive = positive_class(scores.classes)
    return ThresholdResult(
        positive=scores.classes[positive],
        split=scores.split,
        chosen=operating_point(scores, threshold),
        best=None if math.isnan(best) else operating_point(scores, best),
        roc=roc_curves(scores.labels, scores.probabilities, resamples, seed).per_class[positive],
    )


def operating_point(scores: Scores, threshold: float) -> OperatingPoint:
    """What a threshold gives on these rows. Raises :class:`DataError` where there are not two classes."""
    positive = positive_class(scores.classes)
    called = np.where(scores.probabilities[:, positive] >= threshold, positive, 1 - positive)
    confusion = metrics.confusion_matrix(scores.labels, called, 2)
    recall = metrics.recall(confusion)
    return OperatingPoint(
        threshold=threshold,
        accuracy=float(metrics.accuracy(confusion)),
        precision=float(metrics.precision(confusion)[positive]),
        true_positive_rate=float(recall[positive]),
        false_positive_rate=float(1 - recall[1 - positive]),
        f1=float(metrics.f1(confusion)[positive]),
    )


def best_threshold(scores: Scores) -> float:
    """The threshold with the greatest Youden's J on these rows; of equals the one nearest to 0.5.

    It lies halfway between the probabilities of two rows, so that rounding it calls no row otherwise. NaN where a
    class has no row.

    Raises:
        DataError: not two classes.
    """
    positive = positive_class(scores.classes)
    false, true, thresholds = roc_points(scores.labels == positive, scores.probabilities[:, positive])
    if not len(thresholds):
        return math.nan
    # The first point calls no row positive. From each other point down to the next, calls are the same.
    false, true, upper = false[1:], true[1:], thresholds[1:]
    middles = (upper + np.append(upper[1:], 0.0)) / 2
    gain = true - false
    # Rates are fractions of whole numbers: what differs by less is the same.
    equals = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(middles[equals[np.abs(middles[equals] - DEFAULT_THRESHOLD).argmin()]])
