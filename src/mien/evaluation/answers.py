"""Metrics of the answers that ``mien predict`` shows by default: right, wrong or unsure."""

import math

import numpy as np
import numpy.typing as npt

from mien.base.labels import UNSURE
from mien.evaluation.ferplus import majority
from mien.evaluation.intervals import bootstrap_means, percentile_interval, proportion_among, share_interval
from mien.evaluation.metrics import Floats, divide, equal_width_bins
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import AnswerEvaluation, ClassAnswers, Estimate


def evaluate_answers(predictions: Predictions, resamples: int = 1000) -> AnswerEvaluation:
    """Compute metrics of the answers, or of the most probable classes if the predictions have no answers.

    For an output trained on votes, the truth is the annotators' majority if any sample has one; samples without one are
    left out. Otherwise the truth is the label. Intervals are bootstrap intervals over samples or groups; those of
    recalls are Wilson's.
    """
    truth, kind = _truth(predictions)
    counted = truth != ""
    truth, predictions = truth[counted], predictions.subset(counted)
    classes = np.array(predictions.classes)
    if predictions.answers is None:
        output, said = "", classes[predictions.probabilities.argmax(axis=1)]
        shown = predictions.probabilities.max(axis=1)
    else:
        output, said, shown = predictions.answers.output, predictions.answers.said, predictions.answers.confidence
    right = said == truth
    unsure = (said == UNSURE) & (predictions.answers is not None)  # a class can have this name
    names, number = np.unique(truth, return_inverse=True)
    of_class = number[:, np.newaxis] == np.arange(len(names))
    columns = np.column_stack([right, unsure, of_class, of_class & right[:, np.newaxis]]).astype(np.float64)

    def metrics_of(means: Floats) -> Floats:
        """Compute right, wrong, unsure and balanced accuracy: (B, K) -> (B, 4), NaN where undefined."""
        answered, doubtful = means[:, 0], means[:, 1]
        supports, hits = np.split(means[:, 2:], 2, axis=1)
        # NaN if a resample lacks a class, as in macro averages.
        return np.stack([answered, 1 - answered - doubtful, doubtful, divide(hits, supports).mean(axis=1)], axis=1)

    values = metrics_of(columns.mean(axis=0, keepdims=True))[0]
    drawn = metrics_of(bootstrap_means(columns, resamples, groups=predictions.groups))
    answered, wrong, doubtful = (
        share_interval(hits, of, predictions.groups)
        for hits, of in zip((right, ~(right | unsure), unsure), drawn.T, strict=False)
    )
    balanced = percentile_interval(float(values[3]), drawn[:, 3])
    gaps = np.bincount(equal_width_bins(shown[~unsure]), weights=(right - shown)[~unsure])
    error = math.nan if unsure.all() else float(np.abs(gaps).sum() / (~unsure).sum())
    largest = int(of_class.sum(axis=0).argmax())
    # Keep the order of the classes. Classes that only annotators could choose, such as contempt, come last.
    order = sorted(range(len(names)), key=lambda at: ([*predictions.classes, names[at]].index(names[at]), names[at]))
    per_class = tuple(
        ClassAnswers(
            str(names[at]),
            int(of_class[:, at].sum()),
            proportion_among(right, of_class[:, at], predictions.groups),
            float(unsure[of_class[:, at]].mean()),
        )
        for at in order
    )
    return AnswerEvaluation(
        output=output,
        truth=kind,
        samples=len(truth),
        right=answered,
        wrong=wrong,
        unsure=doubtful,
        balanced_accuracy=balanced,
        calibration_error=Estimate(error, math.nan, math.nan),
        largest_class=str(names[largest]),
        largest_share=float(of_class[:, largest].mean()),
        per_class=per_class,
    )


def _truth(predictions: Predictions) -> tuple[npt.NDArray[np.str_], str]:
    """Return each sample's true class, str (N,), ``""`` if unknown, and ``"label"`` or ``"majority"``."""
    if predictions.votes is not None and predictions.answers is not None:
        found = majority(predictions.votes.counts, predictions.votes.classes)
        if (found >= 0).any():
            return np.where(found >= 0, np.array(predictions.votes.classes)[found], ""), "majority"
    return np.array(predictions.classes)[predictions.labels], "label"
