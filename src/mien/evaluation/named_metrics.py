"""All metrics of a whole split, by name. To add one, add an entry to :data:`METRICS`.

A metric is computed under sample weights, so that it gets bootstrap intervals and paired tests like all others.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from mien.base.arrays import Array, Bools, Floats, Ints
from mien.base.errors import DataError, nearest, reason_of
from mien.base.files import expand_home, run_python
from mien.evaluation import metrics
from mien.evaluation.predictions import Predictions
from mien.evaluation.results import Estimate, MetricInfo


class WeightedSplit:
    """Predictions for N samples under sample weights, float (..., N). Results are (...), or (..., C) for classes."""

    def __init__(self, predictions: Predictions, weights: Floats) -> None:
        self.predictions = predictions
        self.weights = weights

    @cached_property
    def confusion(self) -> Floats:
        """Confusion matrix, float64 (..., C, C): rows are true classes, columns predicted classes."""
        count = len(self.predictions.classes)
        cells = self.predictions.labels * count + self.predictions.predicted
        return self.sums(self.weights, cells, count**2).reshape(*self.weights.shape[:-1], count, count)

    def mean(self, values: Floats, among: Array | None = None) -> Floats:
        """Average values (N, ...) over the samples in the mask ``among`` (N,); None is all samples."""
        weights = self.weights if among is None else self.weights * among
        totals = weights.sum(axis=-1)
        return metrics.divide(weights @ values, totals if values.ndim == 1 else totals[..., np.newaxis])

    def macro(self, per_class: Floats) -> Floats:
        """Average over classes; NaN if a class has samples but weight 0, because that would be another metric."""
        present = np.bincount(self.predictions.labels, minlength=len(self.predictions.classes)) > 0
        support = self.confusion.sum(axis=-1)
        return np.where((present & (support == 0)).any(axis=-1), np.nan, metrics.macro_average(per_class, support))

    @staticmethod
    def sums(values: Floats, cells: Ints, count: int) -> Floats:
        """Sum the values of each cell, 0..count-1: float (..., N) and int64 (N,) -> float64 (..., count)."""
        return np.apply_along_axis(lambda row: np.bincount(cells, row, count), -1, values)


@dataclass(frozen=True)
class NamedMetric(MetricInfo):
    """A metric of a whole split.

    Attributes:
        compute: value under sample weights, NaN where undefined; for a fraction of samples, give ``hits`` instead.
        hits: the samples that count as hits, and those among which they count, bool (N,) each. Such a metric has
            Wilson's interval where the bootstrap has none, and McNemar's test.
        bounded: whether it is in 0..1.
        resampled: False if resamples give no valid interval.
        headline: whether each evaluation has it.
    """

    compute: Callable[[WeightedSplit], Floats] | None = None
    hits: Callable[[Predictions], tuple[Bools, Bools]] | None = None
    bounded: bool = True
    resampled: bool = True
    headline: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle only how the metric is shown: an evaluation passes between processes, its functions cannot."""
        shown = {"percent": self.percent, "lower_is_better": self.lower_is_better}
        return partial(MetricInfo, self.key, self.name, self.meaning, **shown), ()

    def of(self, split: WeightedSplit) -> Floats:
        """Compute the metric under the weights of a split: float64 (...), NaN where undefined."""
        if self.compute is not None:
            return self.compute(split)
        assert self.hits is not None
        return split.mean(*(each.astype(np.float64) for each in self.hits(split.predictions)))

    def value(self, predictions: Predictions) -> float:
        """Compute the metric of predictions; NaN where undefined."""
        return float(self.of(WeightedSplit(predictions, np.ones(len(predictions)))))


Metric: TypeAlias = str | NamedMetric | Callable[[metrics.Labels, Floats], float]
"""A metric as a user gives it: its name, ``file.py:function``, or a function of labels and probabilities."""


def _all(hits: Bools) -> tuple[Bools, Bools]:
    return hits, np.ones(len(hits), dtype=np.bool_)


def _among_two_best(predictions: Predictions) -> tuple[Bools, Bools]:
    # A stable order, so that equal probabilities rank by class, as they do for accuracy.
    best = np.argsort(-predictions.probabilities, axis=1, kind="stable")[:, :2]
    return _all((best == predictions.labels[:, np.newaxis]).any(axis=1))


def _majority_hits(predictions: Predictions, *, agreed: bool) -> tuple[Bools, Bools]:
    """Return which samples agree with the annotators' majority, and which have one; ``agreed``: equal to the label."""
    if predictions.votes is None:
        return _all(np.zeros(len(predictions), dtype=np.bool_))[0], np.zeros(len(predictions), dtype=np.bool_)
    votes, classes = predictions.votes, predictions.votes.classes
    truth = metrics.majority(votes.counts, classes)
    answers = np.array([classes.index(each) if each in classes else -2 for each in predictions.classes])
    said = answers[predictions.predicted]
    if agreed:
        counted = truth == answers[predictions.labels]
    elif votes.probabilities is not None:
        counted, said = truth >= 0, metrics.majority_predictions(votes.probabilities, classes)
    else:
        # An output with merged classes cannot be compared with votes.
        counted = (truth >= 0) & (answers >= 0).all()
    return counted & (said == truth), counted


def _macro_auc(split: WeightedSplit) -> Floats:
    curves = metrics.one_versus_rest(split.predictions.labels, split.predictions.probabilities)
    return split.macro(np.stack([np.apply_along_axis(each.area, -1, split.weights) for each in curves], axis=-1))


def _calibration_error(split: WeightedSplit) -> Floats:
    bins, gaps = metrics.confidence_gaps(split.predictions.labels, split.predictions.probabilities)
    gaps = split.sums(split.weights * gaps, bins, metrics.CALIBRATION_BINS)
    return metrics.divide(np.abs(gaps).sum(axis=-1), split.weights.sum(axis=-1))


def _macro(per_class: Callable[[Floats], Floats]) -> Callable[[WeightedSplit], Floats]:
    return lambda split: split.macro(per_class(split.confusion))


METRICS: dict[str, NamedMetric] = {
    each.key: each
    for each in (
        NamedMetric(
            "accuracy", "accuracy", "samples whose most probable class is the true class",
            hits=lambda predictions: _all(predictions.right), percent=True, headline=True,
        ),
        NamedMetric(
            "balanced_accuracy", "balanced accuracy", "mean recall over classes", _macro(metrics.recall),
            percent=True, headline=True,
        ),
        NamedMetric(
            "macro_f1", "macro-F1", "mean F1 over classes; 100% is best", _macro(metrics.f1),
            percent=True, headline=True,
        ),
        NamedMetric(
            "macro_auc", "macro-AUC", "mean one-vs-rest ROC AUC; 0.5 is chance, 1 is best", _macro_auc, headline=True
        ),
        NamedMetric(
            "log_loss", "log loss", "negative log-likelihood of the true class, in nats; 0 is best",
            lambda split: split.mean(metrics.sample_losses(split.predictions.labels, split.predictions.probabilities)),
            lower_is_better=True, bounded=False, headline=True,
        ),
        NamedMetric(
            # Noise can only increase a sum of absolute values, so resamples give no valid interval.
            "calibration_error", "calibration error", "gap between confidence and accuracy; 0 is best",
            _calibration_error, lower_is_better=True, resampled=False, headline=True,
        ),
        NamedMetric("macro_precision", "macro precision", "mean precision over classes", _macro(metrics.precision),
                    percent=True),
        NamedMetric("macro_recall", "macro recall", "mean recall over classes", _macro(metrics.recall), percent=True),
        NamedMetric(
            "kappa", "Cohen's kappa", "agreement with the labels beyond chance; 0 is chance, 1 is best",
            lambda split: metrics.cohen_kappa(split.confusion), bounded=False,
        ),
        NamedMetric(
            "mcc", "MCC", "Matthews correlation coefficient; 0 is chance, 1 is best",
            lambda split: metrics.matthews_correlation(split.confusion), bounded=False,
        ),
        NamedMetric(
            "top2_accuracy", "top-2 accuracy", "samples whose true class is one of the two most probable",
            hits=_among_two_best, percent=True,
        ),
        NamedMetric(
            "majority_accuracy", "FER+ majority", "accuracy on the annotators' majority, by FER+'s protocol",
            hits=partial(_majority_hits, agreed=False), percent=True,
        ),
        NamedMetric(
            "agreed_accuracy", "accuracy where votes agree", "accuracy where the annotators' majority is the label",
            hits=partial(_majority_hits, agreed=True), percent=True,
        ),
    )
}  # fmt: skip
"""All metrics by key; those of the headline first. Beside them there are ``precision.CLASS``, ``recall.CLASS`` and
``f1.CLASS``, ``VALUE_ccc`` and ``VALUE_rmse`` of values with ratings, and users' own. ``majority_accuracy`` is of the
output trained on votes, or else of the label's output; metrics of votes are NaN without votes."""

HEADLINES: tuple[str, ...] = tuple(key for key, each in METRICS.items() if each.headline)

_OF_CLASS = {"precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1}
_OF_RATINGS = {
    "ccc": "agreement with people's ratings (concordance correlation); 0 is chance, 1 is best",
    "rmse": "root mean squared error against people's ratings, -1..1; 0 is best",
}


def find_metric(given: Metric, folder: str | Path = "") -> NamedMetric:
    """Return a metric by name, from a user's file (``file.py:function``, relative to ``folder``), or of a function.

    Raises DataError: no such metric (``metric-unknown``), or the file cannot be used (``own-part``).
    """
    if isinstance(given, NamedMetric):
        return given
    if not isinstance(given, str):
        return _own(given, getattr(given, "__name__", type(given).__name__))
    if given in METRICS:
        return METRICS[given]
    file, colon, name = given.rpartition(":")
    if colon and file.endswith(".py"):
        return _own(_from_file(Path(folder) / expand_home(file), name), name)
    kind, _, of_class = given.partition(".")
    if of_class and kind in _OF_CLASS:
        return _of_class(kind, of_class)
    value, _, kind = given.rpartition("_")
    if value and kind in _OF_RATINGS:
        name = f"{value.replace('_', ' ')} {kind.upper()}"
        compute = partial(_of_rating, value, at=list(_OF_RATINGS).index(kind))
        return NamedMetric(given, name, _OF_RATINGS[kind], compute, lower_is_better=kind == "rmse", bounded=False)
    known = [*METRICS, *(f"{each}.CLASS" for each in _OF_CLASS)]
    words = f"There is no metric '{given}'.{nearest(given, known)} Or your own: file.py:function."
    raise DataError(words, code="metric-unknown")


def find_metrics(given: Sequence[Metric], folder: str | Path = "") -> list[NamedMetric]:
    """Return several metrics, as :func:`find_metric` does. Raises DataError too if two have one name."""
    found = [find_metric(each, folder) for each in given]
    keys = [each.key for each in found]
    if repeated := [key for key in keys if keys.count(key) > 1]:
        raise DataError(f"Two metrics have the name '{repeated[0]}'. Rename one.", code="options")
    return found


def _of_class(kind: str, of_class: str) -> NamedMetric:
    def compute(split: WeightedSplit) -> Floats:
        if of_class not in split.predictions.classes:
            return np.full(split.weights.shape[:-1], np.nan)
        return _OF_CLASS[kind](split.confusion)[..., split.predictions.classes.index(of_class)]

    def hits(predictions: Predictions) -> tuple[Bools, Bools]:
        return predictions.right, np.array(predictions.classes)[predictions.labels] == of_class

    name = f"{'F1' if kind == 'f1' else kind} of {of_class}"
    by_hits = {"hits": hits} if kind == "recall" else {"compute": compute}
    return NamedMetric(f"{kind}.{of_class}", name, **by_hits, percent=True)


def _of_rating(value: str, split: WeightedSplit, at: int) -> Floats:
    """Compute the concordance (``at`` 0) or error (1) of a value with two ratings or more; else NaN."""
    rated = split.predictions.rated
    known = None if rated is None or value not in rated.names else ~np.isnan(rated.ratings[:, rated.names.index(value)])
    if rated is None or known is None or known.sum() < 2:
        return np.full(split.weights.shape[:-1], np.nan)
    x, y = (each[:, rated.names.index(value)] for each in (rated.values, rated.ratings))
    x, y = np.where(known, x - y[known][0], 0), np.where(known, y - y[known][0], 0)  # equal values: a variance of 0
    return metrics.concordance_and_error(split.mean(np.stack([x, y, x * x, y * y, x * y], axis=1), known))[at]


def _own(function: Callable[..., Any], name: str) -> NamedMetric:
    """Return a user's own metric; its attributes ``percent`` and ``lower_is_better`` may say how to show it."""
    if name in METRICS:
        raise DataError(f"Your own metric has the name of a built-in one, '{name}'. Rename it.", code="options")

    def value_of(labels: metrics.Labels, probabilities: Floats) -> float:
        try:
            value = function(labels, probabilities)
        except Exception as error:
            raise DataError(f"The metric '{name}' raised {reason_of(error)}.", code="own-part") from error
        try:
            return float(value) if np.ndim(value) == 0 and not isinstance(value, str) else float("no number")
        except (TypeError, ValueError):
            words = f"The metric '{name}' must return a number; it returned {type(value).__name__}."
            raise DataError(words, code="own-part") from None

    def compute(split: WeightedSplit) -> Floats:
        labels, probabilities = split.predictions.labels, split.predictions.probabilities

        def drawn(weights: Floats) -> float:
            if np.isnan(weights).any():
                return math.nan
            rows = np.repeat(np.arange(len(labels)), weights.astype(np.int64))
            try:
                return value_of(labels[rows], probabilities[rows])
            except DataError:  # such as a resample without one of the classes
                return math.nan

        if split.weights.ndim == 1:
            return np.asarray(value_of(labels, probabilities))
        return np.apply_along_axis(drawn, -1, split.weights)

    return NamedMetric(
        name,
        name.replace("_", " "),
        (inspect.getdoc(function) or "").partition("\n")[0].rstrip("."),
        compute,
        percent=bool(getattr(function, "percent", False)),
        lower_is_better=bool(getattr(function, "lower_is_better", False)),
        bounded=False,
    )


def _from_file(file: Path, name: str) -> Callable[..., Any]:
    """Run a user's Python file and return its function. Raises DataError with the code ``own-part``."""
    if not file.is_file():
        raise DataError(f"There is no file {file} with the metric '{name}'.", code="own-part")
    try:
        names = run_python(file, f"mien_metrics_{file.stem}")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the code is the user's
        raise DataError(f"{file} cannot be imported: {reason_of(error)}.", code="own-part") from None
    function: Callable[..., Any] | None = names.get(name)
    if not callable(function):
        known = [key for key, each in names.items() if inspect.isfunction(each)]
        raise DataError(f"{file} has no function '{name}'.{nearest(name, known)}", code="own-part")
    return function


@dataclass(frozen=True, eq=False)
class Resampled:
    """Values of K metrics for one run: on its samples, and on bootstrap resamples of them.

    Attributes:
        values: float64 (K,), NaN where undefined.
        drawn: float64 (B, K), metrics on each resample; row b of every run uses the same resample.
        units: number of samples, or groups, that each resample draws.
    """

    values: Floats
    drawn: Floats
    units: int


def resample(runs: Sequence[Predictions], names: Sequence[Metric], resamples: int = 1000) -> list[Resampled]:
    """Compute metrics of one or more runs on the same samples in the same order, with the same resamples.

    If the predictions have groups, whole groups are drawn. Shared resamples make differences between runs paired, so
    faces that are hard for all runs cancel out. Raises DataError for an unknown metric, or one that fails.
    """
    chosen = find_metrics(names)

    def measured(weights: Floats) -> list[Floats]:
        splits = [WeightedSplit(predictions, weights) for predictions in runs]
        return [np.stack([metric.of(split) for metric in chosen], axis=-1) for split in splits]

    count, groups = len(runs[0]), groups_of(runs)
    values = measured(np.ones(count))  # first, because a user's own metric may fail
    units = count if groups is None else len(np.unique(groups))
    chunks = [measured(weights) for weights in metrics.resampled_weights(count, resamples, groups)]
    drawn = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
    return [Resampled(*each, units) for each in zip(values, drawn, strict=True)]


def estimates(predictions: Predictions, names: Sequence[Metric], resamples: int = 1000) -> dict[str, Estimate]:
    """Compute metrics with their 95% intervals, by key."""
    chosen, found = find_metrics(names), dict[str, Estimate]()
    (own,) = resample([predictions], chosen, resamples)
    for metric, value, drawn in zip(chosen, own.values.tolist(), own.drawn.T, strict=True):
        found[metric.key] = Estimate(value)
        if metric.hits is not None and not math.isnan(value):
            hits, among = metric.hits(predictions)
            groups = None if predictions.groups is None else predictions.groups[among]
            found[metric.key] = metrics.share_interval(hits[among], drawn, groups)
        elif metric.resampled:
            found[metric.key] = metrics.percentile_interval(value, drawn)
    return found


def groups_of(runs: Sequence[Predictions]) -> Ints | None:
    """Return the groups of the first run that has any, int64 (N,); None if none has. All runs have the same samples."""
    return next((each.groups for each in runs if each.groups is not None), None)
