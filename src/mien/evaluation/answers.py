"""Metrics of the answers that ``mien predict`` shows by default: right, wrong or unsure."""

import math
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from mien.base.labels import UNSURE
from mien.evaluation.ferplus import majority
from mien.evaluation.intervals import proportion_among
from mien.evaluation.metrics import equal_width_bins
from mien.evaluation.named_metrics import Bools, NamedMetric, estimates
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import AnswerEvaluation, ClassAnswers, Estimate


def evaluate_answers(predictions: Predictions, resamples: int = 1000) -> AnswerEvaluation:
    """Compute metrics of the answers, or of the most probable classes if the predictions have no answers.

    For an output trained on votes, the truth is the annotators' majority if any sample has one; samples without one are
    left out. Otherwise the truth is the label. Intervals are bootstrap intervals over samples or groups; those of
    recalls are Wilson's.
    """
    truth, kind = _truth(predictions)
    known = truth != ""
    truth, predictions, output = truth[known], predictions.subset(known), ""
    said = np.array(predictions.classes)[predictions.probabilities.argmax(axis=1)]
    shown = predictions.probabilities.max(axis=1)
    if predictions.answers is not None:
        output, said, shown = predictions.answers.output, predictions.answers.said, predictions.answers.confidence
    right = said == truth
    unsure = (said == UNSURE) & (predictions.answers is not None)  # a class can have this name
    hits = {"right": right, "wrong": ~(right | unsure), "unsure": unsure}
    shares = [NamedMetric(name, name, hits=partial(_hits, mask)) for name, mask in hits.items()]
    found = estimates(_as_predictions(predictions, truth, said), [*shares, "balanced_accuracy"], resamples)
    gaps = np.bincount(equal_width_bins(shown[~unsure]), weights=(right - shown)[~unsure])
    error = math.nan if unsure.all() else float(np.abs(gaps).sum() / (~unsure).sum())
    names, counts = np.unique(truth, return_counts=True)
    # Keep the order of the classes. Classes that only annotators could choose, such as contempt, come last.
    order = sorted(names.tolist(), key=lambda name: ([*predictions.classes, name].index(name), name))
    per_class = tuple(
        ClassAnswers(
            name,
            int((truth == name).sum()),
            proportion_among(right, truth == name, predictions.groups),
            float(unsure[truth == name].mean()),
        )
        for name in order
    )
    return AnswerEvaluation(
        output=output,
        truth=kind,
        samples=len(truth),
        right=found["right"],
        wrong=found["wrong"],
        unsure=found["unsure"],
        balanced_accuracy=found["balanced_accuracy"],
        calibration_error=Estimate(error, math.nan, math.nan),
        largest_class=str(names[counts.argmax()]),
        largest_share=float(counts.max() / len(truth)),
        per_class=per_class,
    )


def _hits(mask: Bools, _: Predictions) -> tuple[Bools, Bools]:
    return mask, np.ones(len(mask), dtype=np.bool_)


def _as_predictions(predictions: Predictions, truth: npt.NDArray[np.str_], said: npt.NDArray[np.str_]) -> Predictions:
    """Return answers as predictions: the true class is the label, the answer has probability 1."""
    classes = tuple(dict.fromkeys([*predictions.classes, *truth.tolist(), *said.tolist()]))
    number = {name: at for at, name in enumerate(classes)}
    labels, answers = (np.array([number[name] for name in each.tolist()]) for each in (truth, said))
    return replace(
        predictions,
        labels=labels,
        probabilities=np.eye(len(classes))[answers],
        classes=classes,
        votes=None,
        answers=None,
    )


def _truth(predictions: Predictions) -> tuple[npt.NDArray[np.str_], str]:
    """Return each sample's true class, str (N,), ``""`` if unknown, and ``"label"`` or ``"majority"``."""
    if predictions.votes is not None and predictions.answers is not None:
        found = majority(predictions.votes.counts, predictions.votes.classes)
        if (found >= 0).any():
            return np.where(found >= 0, np.array(predictions.votes.classes)[found], ""), "majority"
    return np.array(predictions.classes)[predictions.labels], "label"
