"""Result classes of an evaluation. The table, ``metrics.json`` and the report are built from them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from mien.base.arrays import Floats, Ints
from mien.base.errors import Notice

LEVEL = 0.95
"""Level of all intervals."""
VERSION = 1
"""Version of ``metrics.json``; it rises if a key changes its meaning or goes."""
SEED = 0
"""Seed of all bootstraps, so that equal samples give equal intervals."""


class JsonResult:
    """Base of dataclasses that convert to JSON field by field."""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, JSON-ready, with NaN as None."""
        return fields_to_dict(self)


@dataclass(frozen=True)
class Estimate(JsonResult):
    """A metric with its 95% interval; NaN if undefined, or without an interval."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True)
class MetricInfo:
    """How a metric is named and shown.

    Attributes:
        key: name in options, studies and JSON, such as ``"macro_f1"``.
        name: name in tables, such as ``"macro-F1"``.
        meaning: short explanation.
        percent: whether it is written in percent, and its differences in points.
        lower_is_better: whether 0 is best.
    """

    key: str
    name: str
    meaning: str = ""
    percent: bool = field(default=False, kw_only=True)
    lower_is_better: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class ClassMetrics(JsonResult):
    """Metrics of one class, or their average over classes; NaN if undefined.

    ``support`` is the number of samples of the class (in an average, of all samples). ``auc`` is one-vs-rest.
    """

    name: str
    support: int
    precision: float
    recall: float
    f1: float
    auc: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The metrics of one split. docs/evaluation.md gives the formulas.

    Attributes:
        data_fingerprint: as in the predictions; ``""`` if unknown.
        headline: metrics of the whole split by name, in display order: those of
            :data:`~mien.evaluation.named_metrics.HEADLINES`, of ratings (such as ``valence_ccc``), and further ones.
        metrics: how each of these metrics is named and shown, in the same order.
        per_class: one entry per class, in their order.
        macro: unweighted mean over the classes that have samples.
        weighted: mean over the same classes, weighted by their support.
        confusion: int64 (C, C), rows are true classes, columns predicted classes.
        resamples: number of bootstrap resamples for the intervals.
        groups: number of groups that were resampled; None if samples were resampled.
        note: how the predictions were made; ``""`` for one model and one view of each face.
        answer: metrics of the answers that users get: right, wrong and unsure.
        subsets: metrics on all samples and without copies; empty without data.
        votes: metrics by annotators' votes; None without votes, or if a label scheme merged classes.
        trained_on: number of samples that the model was trained on, although they are not in train now.
        by: metrics for each value of a column of the data; None if no column is named.
    """

    split: str
    samples: int
    classes: tuple[str, ...]
    data_fingerprint: str
    headline: Mapping[str, Estimate]
    metrics: tuple[MetricInfo, ...]
    per_class: tuple[ClassMetrics, ...]
    macro: ClassMetrics
    weighted: ClassMetrics
    confusion: Ints
    resamples: int
    groups: int | None = None
    note: str = ""
    answer: "AnswerEvaluation | None" = None
    subsets: "tuple[SubsetMetrics, ...]" = ()
    votes: "VoteEvaluation | None" = None
    trained_on: int = 0
    by: "BreakDown | None" = None

    @property
    def accuracy(self) -> Estimate:
        """Fraction of samples whose most probable class is the true class, 0..1."""
        return self.headline["accuracy"]

    @property
    def balanced_accuracy(self) -> Estimate:
        """Mean recall over the classes that have samples, 0..1."""
        return self.headline["balanced_accuracy"]

    @property
    def macro_f1(self) -> Estimate:
        """Mean F1 over the classes that have samples, 0..1."""
        return self.headline["macro_f1"]

    @property
    def macro_auc(self) -> Estimate:
        """Mean one-vs-rest area under the ROC curve over the classes where it is defined, 0..1."""
        return self.headline["macro_auc"]

    @property
    def log_loss(self) -> Estimate:
        """Mean negative natural logarithm of the true class's probability, 0..34.6."""
        return self.headline["log_loss"]

    @property
    def calibration_error(self) -> Estimate:
        """Expected calibration error of the top label, 15 bins, 0..1; without an interval."""
        return self.headline["calibration_error"]

    @property
    def largest_class(self) -> str:
        """The class with the most samples."""
        return self.classes[int(self.confusion.sum(axis=1).argmax())]

    @property
    def largest_share(self) -> float:
        """Fraction of samples in the largest class, 0..1: the accuracy of always answering it."""
        return float(self.confusion.sum(axis=1).max() / self.samples)

    @property
    def trained_on_notice(self) -> Notice | None:
        """Notice that a model was trained on some of the samples; None if it was trained on none of them."""
        if not self.trained_on:
            return None
        advice = "Training used other splits (--group, --clean), had identical images, or began with such a model."
        advice = "Evaluate it on other images." if self.split in {"all", "train"} else advice
        words = f"The model was trained on {self.trained_on:,} of these {self.samples:,} samples. {advice}"
        return Notice(words, code="trained-on")

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``metrics.json``: only dicts, lists, strings, numbers and None (for NaN)."""
        over: dict[str, Any] = {"method": "percentile bootstrap over samples"}
        if self.groups is not None:
            over = {"method": "percentile bootstrap over groups", "groups": self.groups}
        unknown = [
            name for name in ("note", "answer", "subsets", "votes", "trained_on", "by") if not getattr(self, name)
        ]
        return {
            "version": VERSION,
            **fields_to_dict(self, ("metrics", "confusion", "resamples", "groups", *unknown)),
            "intervals": {"level": LEVEL, **over, "resamples": self.resamples, "seed": SEED},
            "confusion_matrix": self.confusion.tolist(),
        }


@dataclass(frozen=True)
class SubsetMetrics(JsonResult):
    """Metrics of a subset, such as the samples with one value of a column.

    Attributes:
        accuracy: accuracy on the subset, 0..1.
        macro_f1: mean F1 over the classes that have samples in the subset, 0..1.
    """

    value: str
    count: int
    accuracy: Estimate
    macro_f1: Estimate


@dataclass(frozen=True)
class GroupGap(JsonResult):
    """Difference between the samples with one value of a column and all others.

    Attributes:
        value: value of the column.
        metric: ``"accuracy"``, ``"recall of CLASS"``, or for answers ``"no face"``, ``"in doubt"`` or ``"says CLASS"``.
        count: number of samples with this value among which the metric counts; for a recall only samples of the class.
        rate: the metric, 0..1.
        difference: rate minus the rate of all other samples.
        p_value: two-sided, after Holm's correction for the tests of the column.
    """

    value: str
    metric: str
    count: int
    rate: Estimate
    difference: Estimate
    p_value: float


@dataclass(frozen=True)
class BreakDown(JsonResult):
    """Metrics for each value of a column, in the order of the values, and their differences; None if not compared."""

    column: str
    parts: tuple[SubsetMetrics, ...]
    gaps: tuple[GroupGap, ...] | None = None


@dataclass(frozen=True)
class ClassAnswers(JsonResult):
    """The answers on the samples of one true class.

    Attributes:
        recall: fraction of right answers, 0..1; "unsure" counts as not right.
        unsure: fraction of "unsure" answers, 0..1.
    """

    name: str
    samples: int
    recall: Estimate
    unsure: float


@dataclass(frozen=True)
class AnswerEvaluation(JsonResult):
    """Metrics of right, wrong and unsure answers; docs/evaluation.md has the formulas.

    Attributes:
        output: name of the answering output; ``""`` if the answer is the most probable class of the predictions.
        truth: ``"label"``, or ``"majority"`` for the majority of annotators by FER+'s protocol.
        samples: number of samples for which the truth is known.
        right, wrong, unsure: fractions of the samples, 0..1; they sum to 1. "not-a-face" counts as wrong.
        balanced_accuracy: mean recall over the classes with samples, 0..1.
        calibration_error: expected calibration error of the shown probability, over answers that are not "unsure",
            0..1; without an interval.
        largest_class: the most frequent true class.
        largest_share: fraction of the largest class, 0..1: the accuracy of always answering it.
        per_class: metrics of the true classes with samples.
    """

    output: str
    truth: str
    samples: int
    right: Estimate
    wrong: Estimate
    unsure: Estimate
    balanced_accuracy: Estimate
    calibration_error: Estimate
    largest_class: str
    largest_share: float
    per_class: tuple[ClassAnswers, ...]


@dataclass(frozen=True, eq=False)
class Reliability(JsonResult):
    """A reliability diagram: the accuracy of answers in each bin of confidence.

    Attributes:
        lower: float64 (M,), lower end of each bin of confidence.
        upper: float64 (M,), upper end of each bin.
        count: int64 (M,), samples in each bin.
        confidence: float64 (M,), mean confidence in the bin; NaN for an empty bin, as in the arrays below.
        accuracy: float64 (M,), fraction of right samples.
        low: float64 (M,), lower end of the accuracy's 95% interval.
        high: float64 (M,), upper end.
    """

    lower: Floats
    upper: Floats
    count: Ints
    confidence: Floats
    accuracy: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, eq=False)
class MajorityMetrics(JsonResult):
    """Metrics of one output by FER+'s protocol; see :func:`mien.evaluation.metrics.majority`.

    Attributes:
        output: name of the output, or :data:`mien.evaluation.vote_metrics.BASELINE`.
        evaluation: evaluation of the samples with a majority, with expressions as the only classes.
        subsets: metrics on subsets, such as the samples without copies; may be empty.
    """

    output: str
    evaluation: Evaluation
    subsets: Sequence[SubsetMetrics]

    @property
    def parts(self) -> Sequence[SubsetMetrics]:
        """Metrics on the subsets; without subsets, on all samples with a majority."""
        whole = self.evaluation
        return self.subsets or [SubsetMetrics("all samples", whole.samples, whole.accuracy, whole.macro_f1)]


@dataclass(frozen=True, eq=False)
class DistributionMetrics(JsonResult):
    """How far predicted distributions are from the distributions of votes, over all classes of the votes.

    Attributes:
        cross_entropy: mean of -sum_k t_k ln p_k, in nats; 0 or more.
        vote_entropy: mean entropy of the votes in nats; no model can have a lower cross-entropy.
        calibration_error: gap between the probability of the most probable class and the fraction of annotators who
            chose it, over 15 bins of equal width; 0..1, without an interval.
        reliability: this gap in each bin; its ``accuracy`` is the mean fraction of annotators.
    """

    cross_entropy: Estimate
    vote_entropy: float
    calibration_error: Estimate
    reliability: Reliability


@dataclass(frozen=True, eq=False)
class VoteEvaluation(JsonResult):
    """Metrics of a model by annotators' votes.

    Attributes:
        samples: number of samples with votes; all metrics use only these.
        without_votes: number of samples without votes.
        with_majority: number of ``samples`` with a majority by FER+'s protocol.
        majority: metrics of the output trained on votes, if any, then of the label's output if its classes are among
            those of the votes. Empty if no sample has a majority.
        distribution: metrics of the distributions; None if no output was trained on votes.
    """

    samples: int
    without_votes: int
    with_majority: int
    majority: Sequence[MajorityMetrics]
    distribution: DistributionMetrics | None

    def __str__(self) -> str:
        found = [(each.output, each.evaluation.accuracy) for each in self.majority]
        lines = [f"{name}: accuracy {own.value:.1%} [{own.low:.1%}, {own.high:.1%}]" for name, own in found]
        return "\n".join([f"FER+ majority: {self.with_majority} of {self.samples} samples have one", *lines])


def fields_to_dict(result: Any, leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a dataclass except ``leave_out``, converted by :func:`json_ready`."""
    return {each.name: json_ready(getattr(result, each.name)) for each in fields(result) if each.name not in leave_out}


def json_ready(value: Any) -> Any:
    """Convert results, by their ``to_dict``, arrays and sequences to JSON types; NaN and infinity become None."""
    if is_dataclass(value) and not isinstance(value, type):
        return value.to_dict() if hasattr(value, "to_dict") else fields_to_dict(value)
    if isinstance(value, Mapping):
        return {key: json_ready(each) for key, each in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return json_ready(value.tolist())
    if isinstance(value, (list, tuple)):
        return [json_ready(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
