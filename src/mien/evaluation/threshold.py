"""The decision threshold of a two-class model: its metrics, and the best threshold on validation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from mien.base.labels import check_threshold, positive_class
from mien.evaluation import metrics
from mien.evaluation.curves import Curve, roc_curves, roc_points
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import fields_to_dict

DEFAULT_THRESHOLD = 0.5


@dataclass(frozen=True)
class OperatingPoint:
    """The metrics of one threshold: one point of the ROC curve. NaN where undefined.

    Attributes:
        threshold: a sample is predicted positive from this probability up, 0..1.
        accuracy: fraction of correct predictions, 0..1.
        precision: TP / (TP + FP), 0..1; 0 if no sample is predicted positive.
        true_positive_rate: TP / (TP + FN), the recall, 0..1.
        false_positive_rate: FP / (FP + TN), 0..1.
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
    """A threshold on one split; on validation also the best one.

    Attributes:
        positive: the class whose probability is compared with the threshold.
        split: the split that is measured.
        chosen: metrics of the requested threshold.
        best: on validation, metrics of the threshold with the greatest Youden's J there, which are optimistic. None on
            other splits, and without samples of both classes.
        roc: the curve that the points lie on.
        in_use: whether the model's temperature is applied, as ``mien predict`` does.
    """

    positive: str
    split: str
    chosen: OperatingPoint
    best: OperatingPoint | None
    roc: Curve
    in_use: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN as None."""
        return {"criterion": "Youden's J on validation", **fields_to_dict(self)}


def measure_threshold(predictions: Predictions, threshold: float, resamples: int = 1000) -> ThresholdResult:
    """Measure a threshold; of predictions on validation also the best one.

    Args:
        predictions: with two classes.
        threshold: 0..1.
        resamples: bootstrap resamples behind the interval of the curve's area.

    Raises:
        DataError: not two classes, or a threshold outside 0..1.
    """
    check_threshold(threshold, predictions.classes)
    best = best_threshold(predictions) if predictions.split == "validation" else math.nan
    positive = positive_class(predictions.classes)
    curves = roc_curves(predictions.labels, predictions.probabilities, resamples, groups=predictions.groups)
    return ThresholdResult(
        positive=predictions.classes[positive],
        split=predictions.split,
        chosen=operating_point(predictions, threshold),
        best=None if math.isnan(best) else operating_point(predictions, best),
        roc=curves.per_class[positive],
    )


def operating_point(predictions: Predictions, threshold: float) -> OperatingPoint:
    """Metrics of a threshold. Raises :class:`DataError` unless there are two classes."""
    positive = positive_class(predictions.classes)
    predicted = np.where(predictions.probabilities[:, positive] >= threshold, positive, 1 - positive)
    confusion = metrics.confusion_matrix(predictions.labels, predicted, 2)
    recall = metrics.recall(confusion)
    return OperatingPoint(
        threshold=threshold,
        accuracy=float(metrics.accuracy(confusion)),
        precision=float(metrics.precision(confusion)[positive]),
        true_positive_rate=float(recall[positive]),
        false_positive_rate=float(1 - recall[1 - positive]),
        f1=float(metrics.f1(confusion)[positive]),
    )


def best_threshold(predictions: Predictions) -> float:
    """The threshold with the greatest Youden's J; of equal ones the nearest to 0.5.

    It lies halfway between the probabilities of two samples, so rounding it changes no prediction. NaN if a class has
    no samples.

    Raises:
        DataError: not two classes.
    """
    positive = positive_class(predictions.classes)
    false, true, thresholds = roc_points(predictions.labels == positive, predictions.probabilities[:, positive])
    if not len(thresholds):
        return math.nan
    # The first point predicts no positive. Between two points predictions do not change.
    false, true, upper = false[1:], true[1:], thresholds[1:]
    middles = (upper + np.append(upper[1:], 0.0)) / 2
    gain = true - false
    # Rates are fractions of integers: smaller differences are rounding.
    equals = np.flatnonzero(gain >= gain.max() - 1e-12)
    return float(middles[equals[np.abs(middles[equals] - DEFAULT_THRESHOLD).argmin()]])
