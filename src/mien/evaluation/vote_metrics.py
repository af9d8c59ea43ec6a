"""Metrics by annotators' votes: for predictions, the best possible model, a data set, and the annotators themselves.

docs/evaluation.md has the formulas. Intervals are as in :mod:`mien.evaluation.estimates`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mien.base.arrays import Array, Bools, Floats, Ints
from mien.base.labels import NO_EXPRESSION
from mien.data.dataset import Dataset
from mien.data.votes import vote_probabilities
from mien.evaluation import metrics
from mien.evaluation.calibration import binned
from mien.evaluation.estimates import evaluate_predictions, evaluate_subsets
from mien.evaluation.metrics import bootstrap_mean, divide, majority, sample_cross_entropies
from mien.evaluation.predictions import Predictions, VotePredictions
from mien.evaluation.results import DistributionMetrics, Estimate, JsonResult, MajorityMetrics, VoteEvaluation

MIN_VOTES = 5
"""Panels that are drawn from fewer votes than this agree too often."""
BASELINE = "label (baseline)"
"""Name under which the label's output appears in metrics by votes."""


def evaluate_votes(
    predictions: Predictions, kept: Mapping[str, Bools] | None = None, resamples: int = 1000
) -> VoteEvaluation | None:
    """Compute metrics of predictions by their votes, also on subsets by masks; None without usable votes."""
    votes = predictions.votes
    if votes is None or not votes.known.any():
        return None
    counted = majority(votes.counts, votes.classes) >= 0
    measured = []
    masks = {name: mask[counted] for name, mask in (kept or {}).items()}
    for name, found in majority_predictions_by_output(predictions).items():
        subsets = evaluate_subsets(found, masks, resamples)
        measured.append(MajorityMetrics(name, evaluate_predictions(found, resamples), subsets))
    distribution, voted = None, predictions.subset(votes.known)
    if voted.votes is not None and votes.probabilities is not None:
        distribution = _distribution_metrics(voted.votes, resamples, voted.groups)
    if not measured and distribution is None:
        return None
    return VoteEvaluation(len(voted), len(predictions) - len(voted), int(counted.sum()), measured, distribution)


@dataclass(frozen=True)
class VoteCeiling(JsonResult):
    """The highest accuracy on the annotators' majority that any model can be expected to reach.

    Attributes:
        samples: number of samples with a majority by FER+'s protocol and at least :data:`MIN_VOTES` votes.
        second_panel: how often two panels of annotators of the same size have the same most frequent answer.
        best_answer: how often a panel's most frequent answer is the one most probable among all people: the ceiling.
    """

    samples: int
    second_panel: Estimate
    best_answer: Estimate


def vote_ceiling(
    counts: Array, classes: Sequence[str], groups: Ints | None = None, *, panels: int = 400, resamples: int = 1000
) -> VoteCeiling | None:
    """Estimate how well anybody can predict the majority of annotators, by resampling the votes (N, V).

    Each sample's votes are treated as the shares of all people, and panels of the same size are drawn from them. A
    panel's answer is its most frequent expression; ties count fractionally. Samples with fractional votes, or fewer
    than :data:`MIN_VOTES`, are left out. None if no sample is left.
    """
    counts = np.asarray(counts, dtype=np.float64)
    usable = (
        (counts == np.rint(counts)).all(axis=1) & (counts.sum(axis=1) >= MIN_VOTES) & (majority(counts, classes) >= 0)
    )
    if not usable.any():
        return None
    counts, groups = counts[usable], None if groups is None else groups[usable]
    sizes, shares = counts.sum(axis=1).astype(np.int64), vote_probabilities(counts)
    expressions = np.array([name not in NO_EXPRESSION for name in classes])
    generator = np.random.default_rng(0)
    # Compare answers of two sets of panels, because a panel always agrees with itself.
    first, second = (
        np.mean([_answers(generator.multinomial(sizes, shares), expressions) for _ in range(panels // 2)], axis=0)
        for _ in range(2)
    )
    agree = (first * answers for answers in (second, _answers(shares, expressions)))
    return VoteCeiling(len(counts), *(bootstrap_mean(each.sum(axis=1), resamples, groups=groups) for each in agree))


def _answers(weights: Array, expressions: Bools) -> Floats:
    """Return 1 for the largest expression in each row, or 1/n for n equal ones: (N, V) -> float64 (N, V)."""
    competing = np.where(expressions, weights, -1)
    top = competing >= competing.max(axis=1, keepdims=True)
    return np.asarray(top / top.sum(axis=1, keepdims=True))


def majority_predictions_by_output(predictions: Predictions) -> dict[str, Predictions]:
    """Return each output's predictions of expressions, rescaled to sum to 1, where a majority is the label."""
    votes = predictions.votes
    assert votes is not None
    truth = majority(votes.counts, votes.classes)
    counted = truth >= 0
    expressions = tuple(name for name in votes.classes if name not in NO_EXPRESSION)
    if len(expressions) < 2 or not counted.any():
        return {}
    sources: list[tuple[str, Floats, Sequence[str]]] = []
    if votes.probabilities is not None:
        sources.append((votes.output, votes.probabilities, votes.classes))
    if set(predictions.classes) <= set(expressions):
        sources.append((BASELINE, predictions.probabilities, predictions.classes))
    place = np.array([expressions.index(name) if name in expressions else -1 for name in votes.classes])
    return {
        name: replace(
            predictions.subset(counted),
            labels=place[truth[counted]],
            probabilities=_over(expressions, probabilities[counted], classes),
            classes=expressions,
            votes=None,
            answers=None,
        )
        for name, probabilities, classes in sources
    }


def _over(expressions: Sequence[str], probabilities: Floats, classes: Sequence[str]) -> Floats:
    """Select and rescale the columns of the expressions: (N, C) -> (N, E); a missing expression gets 0."""
    found = np.zeros((len(probabilities), len(expressions)))
    for at, name in enumerate(classes):
        if name in expressions:
            found[:, expressions.index(name)] = probabilities[:, at]
    totals = found.sum(axis=1, keepdims=True)
    # A model may give "not a face" a probability of exactly 1.
    return np.asarray(np.where(totals > 0, divide(found, totals), 1 / len(expressions)))


def _distribution_metrics(votes: VotePredictions, resamples: int, groups: Ints | None) -> DistributionMetrics:
    assert votes.probabilities is not None
    truth, predicted = votes.distributions, votes.probabilities
    confidence, fraction = predicted.max(axis=1), truth[np.arange(len(truth)), predicted.argmax(axis=1)]
    inside = metrics.equal_width_bins(confidence)[:, np.newaxis] == np.arange(metrics.CALIBRATION_BINS)
    fractions, confidences = (inside * each[:, np.newaxis] for each in (fraction, confidence))
    hits, sizes = np.split(
        metrics.bootstrap_means(np.concatenate([fractions, inside], axis=1), resamples, groups), 2, axis=1
    )
    heights = divide(fractions.sum(axis=0), inside.sum(axis=0))
    intervals = [metrics.percentile_interval(*each) for each in zip(heights, divide(hits, sizes).T, strict=True)]
    return DistributionMetrics(
        cross_entropy=bootstrap_mean(sample_cross_entropies(truth, predicted), resamples, groups=groups),
        vote_entropy=float(sample_cross_entropies(truth, truth).mean()),
        calibration_error=Estimate(float(np.abs((fractions - confidences).mean(axis=0)).sum())),
        reliability=binned(confidence, intervals),
    )


def vote_info(faces: Dataset) -> dict[str, Any] | None:
    """Summarise a data set's votes, JSON-ready, or None; ``comparable`` images have a majority by FER+'s protocol."""
    if faces.votes is None or not faces.votes.any():
        return None
    best = majority(faces.votes, faces.vote_classes)
    clear = best >= 0
    same = np.array(faces.vote_classes)[best[clear]] == np.array(faces.classes)[faces.labels[clear]]
    fractions = faces.votes.sum(axis=0) / faces.votes.sum()
    return {
        "images": int(faces.votes.any(axis=1).sum()),
        "comparable": int(clear.sum()),
        "agreement": float(same.mean()) if clear.any() else None,
        "fractions": dict(zip(faces.vote_classes, fractions.tolist(), strict=True)),
    }


def pair_agreement(counts: Ints) -> Estimate | None:
    """Compute the mean fraction of pairs of people with the same answer, from counts (N, V); None without pairs."""
    shared = counts[counts.sum(axis=1) >= 2]
    if not len(shared):
        return None
    people = shared.sum(axis=1)
    return bootstrap_mean((shared * (shared - 1)).sum(axis=1) / (people * (people - 1)))


def krippendorff_alpha(counts: Ints) -> float:
    """Compute Krippendorff's alpha for nominal answers, int64 (N, V): 1 is full agreement, 0 agreement by chance.

    The value is 1 - observed / expected disagreement (Krippendorff, Content Analysis, 2004, chapter 11). Samples with
    fewer than two answers are left out; NaN if none has two, or all answers are the same class.
    """
    shared = counts[counts.sum(axis=1) >= 2].astype(np.float64)
    totals = shared.sum(axis=0)
    everything = totals.sum()
    expected = everything**2 - (totals**2).sum()
    if not expected:
        return float("nan")
    sizes = shared.sum(axis=1)
    observed = ((sizes**2 - (shared**2).sum(axis=1)) / (sizes - 1)).sum()
    return float(1 - (everything - 1) * observed / expected)
