"""Metrics by annotators' votes: of a model's predictions, and the best that any model can reach, and of a data set.

docs/evaluation.md has the formula of each metric. Intervals are those of :mod:`mien.evaluation.estimates`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.labels import NO_EXPRESSION
from mien.data.dataset import Dataset
from mien.data.votes import vote_probabilities
from mien.evaluation.calibration import Reliability
from mien.evaluation.estimates import evaluate_predictions, evaluate_subsets
from mien.evaluation.ferplus import Floats, majority, sample_cross_entropies
from mien.evaluation.intervals import bootstrap_mean, bootstrap_means, percentile_interval
from mien.evaluation.metrics import CALIBRATION_BINS, divide, equal_width_bins
from mien.evaluation.predictions import Predictions, VotePredictions
from mien.evaluation.results import Estimate, Evaluation, JsonResult, SubsetMetrics

BASELINE = "label (baseline)"
"""Name of the output that learned from labels, where it is measured by votes."""


@dataclass(frozen=True, eq=False)
class MajorityMetrics(JsonResult):
    """Metrics by FER+'s protocol of one output; see :mod:`mien.evaluation.ferplus`.

    Attributes:
        output: its name, or :data:`BASELINE`.
        evaluation: of the samples with a majority, under the classes that are expressions.
        subsets: the same samples without those that leaked, and the like; may be empty.
    """

    output: str
    evaluation: Evaluation
    subsets: Sequence[SubsetMetrics]

    @property
    def parts(self) -> Sequence[SubsetMetrics]:
        """The subsets, or all samples with a majority where there are none."""
        whole = self.evaluation
        return self.subsets or [SubsetMetrics("all samples", whole.samples, whole.accuracy, whole.macro_f1)]


@dataclass(frozen=True, eq=False)
class DistributionMetrics(JsonResult):
    """How far predicted distributions are from the distributions of votes, over all classes of the votes.

    Attributes:
        cross_entropy: mean of -sum_k t_k ln p_k, in nats; 0 or more.
        vote_entropy: mean entropy of the votes in nats: the least cross-entropy that a model can have.
        calibration_error: gap between the probability of the most probable class and the fraction of annotators who
            chose it, over 15 bins of equal width; 0..1.
        reliability: that gap in each bin; its ``accuracy`` is the mean fraction of annotators.
    """

    cross_entropy: Estimate
    vote_entropy: float
    calibration_error: Estimate
    reliability: Reliability


@dataclass(frozen=True, eq=False)
class VoteEvaluation(JsonResult):
    """A model measured by annotators' votes.

    Attributes:
        samples: number of samples with votes. All metrics are of these.
        without_votes: number of samples that nobody was asked about.
        with_majority: how many of ``samples`` FER+'s protocol counts.
        majority: of the output that learned from votes if there is one, then of the label's output if its classes are
            among those of the votes. Empty without a sample to count.
        distribution: None where no output learned from votes.
    """

    samples: int
    without_votes: int
    with_majority: int
    majority: Sequence[MajorityMetrics]
    distribution: DistributionMetrics | None


def evaluate_votes(
    predictions: Predictions, kept: Mapping[str, npt.NDArray[np.bool_]] | None = None, resamples: int = 1000
) -> VoteEvaluation | None:
    """Measure predictions by the votes that they carry; None where nothing can be measured by them.

    Args:
        predictions: N samples.
        kept: for each subset by name, bool (N,), such as those of :func:`mien.pipeline.measured_split.subset_masks`.
        resamples: bootstrap resamples behind each interval.
    """
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
    without = len(predictions) - len(voted)
    return VoteEvaluation(len(voted), without, int(counted.sum()), measured, distribution)


@dataclass(frozen=True)
class VoteCeiling(JsonResult):
    """The accuracy on the majority of annotators that nobody can be expected to pass.

    Attributes:
        samples: number of samples with a majority by FER+'s protocol, and with two votes or more.
        second_panel: how often a second panel of as many annotators has the same most frequent answer as a first one.
    """

    samples: int
    second_panel: Estimate


def vote_ceiling(
    counts: npt.NDArray[Any],
    classes: Sequence[str],
    groups: npt.NDArray[np.int64] | None = None,
    *,
    panels: int = 400,
    resamples: int = 1000,
) -> VoteCeiling | None:
    """Estimate how well anybody can predict the majority of annotators, by drawing votes again.

    Each sample's votes are taken for the shares of all people, and panels of as many annotators are drawn from them. A
    panel's answer is its most frequent expression; of tied ones each counts its part. So the disagreement of annotators
    is all that stands in the way: habits of one labeller, which a model may learn, are not in it.

    Args:
        counts: (N, V), the number of votes for each class. Samples with a fraction of a vote, or fewer than two votes,
            are left out: a panel of unknown size cannot be drawn again.
        classes: V class names.
        groups: int64 (N,), samples of one number are drawn together in the intervals; None: every sample by itself.
        panels: drawn for each sample; at least 2.
        resamples: bootstrap resamples behind each interval.

    Returns:
        None where no sample is left.
    """
    counts = np.asarray(counts, dtype=np.float64)
    usable = (counts == np.rint(counts)).all(axis=1) & (counts.sum(axis=1) >= 2) & (majority(counts, classes) >= 0)
    if not usable.any():
        return None
    counts, groups = counts[usable], None if groups is None else groups[usable]
    sizes, shares = counts.sum(axis=1).astype(np.int64), vote_probabilities(counts)
    expressions = np.array([name not in NO_EXPRESSION for name in classes])
    generator = np.random.default_rng(0)
    # How often each class is the answer: of two sets of panels, since a panel always agrees with itself.
    first, second = (
        np.mean([_answers(generator.multinomial(sizes, shares), expressions) for _ in range(panels // 2)], axis=0)
        for _ in range(2)
    )
    agree = (first * second).sum(axis=1)
    return VoteCeiling(len(counts), bootstrap_mean(agree, resamples, groups=groups))


def _answers(weights: npt.NDArray[Any], expressions: npt.NDArray[np.bool_]) -> Floats:
    """1 for the expression of the greatest weight in each row, tied ones their part: (N, V) -> float64 (N, V)."""
    competing = np.where(expressions, weights, -1)
    top = competing >= competing.max(axis=1, keepdims=True)
    return np.asarray(top / top.sum(axis=1, keepdims=True))


def majority_predictions_by_output(predictions: Predictions) -> dict[str, Predictions]:
    """Each output's predictions, by its name, on the samples with a majority, which is their label.

    The classes are those of the votes that are expressions; the probabilities of others are left out, and those of a
    row rescaled. Empty where no sample has a majority.
    """
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
    """The columns of the expressions, rescaled: (N, C) -> (N, E); 0 for one that is not among the classes."""
    found = np.zeros((len(probabilities), len(expressions)))
    for at, name in enumerate(classes):
        if name in expressions:
            found[:, expressions.index(name)] = probabilities[:, at]
    totals = found.sum(axis=1, keepdims=True)
    # A model may be certain of "not a face" to the last bit.
    return np.asarray(np.where(totals > 0, divide(found, totals), 1 / len(expressions)))


def _distribution_metrics(
    votes: VotePredictions, resamples: int, groups: npt.NDArray[np.int64] | None
) -> DistributionMetrics:
    assert votes.probabilities is not None
    truth, predicted = votes.distributions, votes.probabilities
    confidence, fraction = predicted.max(axis=1), truth[np.arange(len(truth)), predicted.argmax(axis=1)]
    inside = equal_width_bins(confidence)[:, np.newaxis] == np.arange(CALIBRATION_BINS)
    fractions, confidences = (inside * each[:, np.newaxis] for each in (fraction, confidence))
    drawn = bootstrap_means(np.concatenate([fractions - confidences, fractions, inside], axis=1), resamples, groups)
    gaps, hits, sizes = np.split(drawn, 3, axis=1)
    count = inside.sum(axis=0)
    heights = divide(fractions.sum(axis=0), count)
    intervals = [percentile_interval(*each) for each in zip(heights, divide(hits, sizes).T, strict=True)]
    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    return DistributionMetrics(
        cross_entropy=bootstrap_mean(sample_cross_entropies(truth, predicted), resamples, groups=groups),
        vote_entropy=float(sample_cross_entropies(truth, truth).mean()),
        calibration_error=percentile_interval(
            float(np.abs((fractions - confidences).mean(axis=0)).sum()), np.abs(gaps).sum(axis=1)
        ),
        reliability=Reliability(
            lower=edges[:-1],
            upper=edges[1:],
            count=count,
            confidence=divide(confidences.sum(axis=0), count),
            accuracy=heights,
            low=np.array([each.low for each in intervals]),
            high=np.array([each.high for each in intervals]),
        ),
    )


def vote_info(faces: Dataset) -> dict[str, Any] | None:
    """Summarise the votes of a data set for ``mien data info``, JSON-ready; None where no image has any.

    ``images`` have votes; ``comparable`` ones a majority by FER+'s protocol (:mod:`mien.evaluation.ferplus`), which is
    the label of a fraction ``agreement`` of them (None without any); ``fractions`` are those of all votes by class.
    """
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
