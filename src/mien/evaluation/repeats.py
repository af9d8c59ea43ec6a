"""Recipes that were trained several times: figures with their spread over seeds, and differences between recipes.

Two kinds of chance move a figure: which faces the split happens to hold, and how a training run happens to go. One run
shows the first alone (by the bootstrap over rows); only repeats show the second.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.errors import DataError, nearest, needs_extra
from mien.evaluation import metrics
from mien.evaluation.compare import bootstrap_p_value, match_rows, shared_rows
from mien.evaluation.intervals import check_resamples, percentile_interval, resampled_weights
from mien.evaluation.metrics import Floats
from mien.evaluation.results import LEVEL, Estimate
from mien.evaluation.scores import Scores

_OF_CONFUSION = {"precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1}
FIGURES = (
    "accuracy", "macro_precision", "macro_recall", "macro_f1", "weighted_precision", "macro_auc", "log_loss",
    "calibration_error",
)  # fmt: skip
"""Figures of a whole split. Those of one class are ``precision.CLASS``, ``recall.CLASS`` and ``f1.CLASS``."""


def check_figure(name: str) -> None:
    """Refuse a name that is no figure. Raises :class:`DataError`."""
    kind, dot, of_class = name.partition(".")
    if name not in FIGURES and not (dot and of_class and kind in _OF_CONFUSION):
        raise DataError(
            f"there is no figure '{name}'."
            + nearest(name, [*FIGURES, *(f"{each}.CLASS" for each in _OF_CONFUSION)]).rstrip(".")
        )


class Figures:
    """Named figures of one model's scores, under any weights of the rows."""

    def __init__(self, scores: Scores, names: Sequence[str]) -> None:
        """Check the names. Raises :class:`DataError` for one that is no figure; one of a class not there is NaN."""
        for name in names:
            check_figure(name)
        self._names = names
        self._classes = scores.classes
        self._labels = scores.labels
        self._predictions = scores.probabilities.argmax(axis=1)
        self._curves = metrics.one_versus_rest(scores.labels, scores.probabilities) if "macro_auc" in names else []
        self._losses = metrics.row_losses(scores.labels, scores.probabilities)
        self._bins, self._gaps = metrics.confidence_gaps(scores.labels, scores.probabilities)

    def under(self, weights: Floats) -> Floats:
        """Float (N,) -> float64 (K,), NaN where undefined."""
        confusion = metrics.confusion_matrix(self._labels, self._predictions, len(self._classes), weights)
        return np.array([self._figure(name, confusion, weights) for name in self._names])

    def _figure(self, name: str, confusion: Floats, weights: Floats) -> float:
        rows = metrics.support(confusion)
        kind, _, of_class = name.partition(".")
        if of_class:
            known = of_class in self._classes
            return float(_OF_CONFUSION[kind](confusion)[self._classes.index(of_class)]) if known else math.nan
        if name == "accuracy":
            return float(metrics.accuracy(confusion))
        if name == "macro_auc":
            return float(metrics.macro_average(np.array([each.area(weights) for each in self._curves]), rows))
        if name == "log_loss":
            return float(weights @ self._losses / weights.sum())
        if name == "calibration_error":
            return float(np.abs(np.bincount(self._bins, weights=weights * self._gaps)).sum() / weights.sum())
        over, _, column = name.partition("_")
        average = metrics.macro_average if over == "macro" else metrics.weighted_average
        return float(average(_OF_CONFUSION[column](confusion), rows))


@dataclass(frozen=True)
class Spread:
    """A figure over runs that differ in their seed alone.

    Attributes:
        values: of each run.
        mean: over the runs.
        deviation: sample standard deviation (n - 1); NaN with one run.
        interval: of the faces' chance alone, by the bootstrap over rows of the mean over runs.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float
    interval: Estimate

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.values)


@dataclass(frozen=True)
class RepeatedDifference:
    """By how much the runs of one recipe exceed those of the baseline, seed by seed.

    Attributes:
        difference: mean over the seeds that both have, with its 95 % interval.
        p_value: two-sided, of no difference; NaN where undefined.
        seeds: how many pairs. With one, the interval and p-value know the faces' chance alone.
    """

    difference: Estimate
    p_value: float
    seeds: int


def spread(runs: Sequence[Scores], names: Sequence[str], resamples: int = 1000, seed: int = 0) -> list[Spread]:
    """Each figure over the runs of one recipe.

    Args:
        runs: one a seed, of the same rows.
        names: K figures.
        resamples: bootstrap resamples behind each interval.
        seed: of the resampling.

    Raises:
        DataError: other rows, or a name that is no figure.
    """
    values, drawn = _resampled(_aligned(runs), names, resamples, seed)
    return [
        Spread(
            values=tuple(float(value) for value in values[:, index]),
            mean=float(values[:, index].mean()),
            deviation=float(values[:, index].std(ddof=1)) if len(runs) > 1 else math.nan,
            interval=percentile_interval(float(values[:, index].mean()), drawn[:, :, index].mean(axis=0)),
        )
        for index in range(len(names))
    ]


def compare_repeats(
    baseline: Sequence[Scores], other: Sequence[Scores], names: Sequence[str], resamples: int = 1000, seed: int = 0
) -> list[RepeatedDifference]:
    """The runs of one recipe against those of another, on the rows that all share.

    With one pair of runs: the paired bootstrap over rows. With S >= 2 pairs the variance of the mean difference has two
    parts, v_rows (of the faces: the bootstrap over rows of the mean over pairs) and v_runs (of training: the sample
    variance of the pairs' differences over S). The interval is the difference +- t sqrt(v_rows + v_runs), t with the
    degrees of freedom of Satterthwaite (Biometrics Bulletin 2, 1946), (v_rows + v_runs)^2 / (v_runs^2 / (S - 1)): three
    seeds are few, and t says so.

    Args:
        baseline: S runs, one a seed.
        other: S runs, of the same seeds in the same order.
        names: K figures.
        resamples: bootstrap resamples.
        seed: of the resampling.

    Raises:
        DataError: not as many runs on both sides, no shared rows, other labels or classes, or a name that is no figure.
        MissingExtraError: scipy is not installed (for two pairs or more).
    """
    if len(baseline) != len(other) or not baseline:
        raise DataError(f"Runs are compared in pairs of one seed; found {len(baseline)} and {len(other)}.")
    values, drawn = _resampled(_aligned([*baseline, *other]), names, resamples, seed)
    pairs = len(baseline)
    differences, of_resamples = values[pairs:] - values[:pairs], (drawn[pairs:] - drawn[:pairs]).mean(axis=0)
    found = []
    for index in range(len(names)):
        mean, resampled = float(differences[:, index].mean()), of_resamples[:, index]
        if pairs == 1 or math.isnan(mean):
            p_value = math.nan if math.isnan(mean) else bootstrap_p_value(resampled)
            found.append(RepeatedDifference(percentile_interval(mean, resampled), p_value, pairs))
        else:
            found.append(_with_t(mean, float(np.nanvar(resampled)), differences[:, index]))
    return found


def _with_t(mean: float, of_rows: float, differences: Floats) -> RepeatedDifference:
    with needs_extra("report", "Comparing repeated runs"):
        from scipy.stats import t as student
    pairs = len(differences)
    of_runs = float(differences.var(ddof=1)) / pairs
    total = of_rows + of_runs
    if total == 0:
        return RepeatedDifference(Estimate(mean, mean, mean), 1.0 if mean == 0 else 0.0, pairs)
    freedom = total**2 / (of_runs**2 / (pairs - 1)) if of_runs else math.inf
    reach = float(student.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(total)
    p_value = 2 * float(student.sf(abs(mean) / math.sqrt(total), freedom))
    return RepeatedDifference(Estimate(mean, mean - reach, mean + reach), p_value, pairs)


def _aligned(many: Sequence[Scores]) -> list[Scores]:
    """The rows that all have, in one order; other labels, classes or data are refused."""
    first, *others = shared_rows(many)
    return [match_rows(first, scores)[1] for scores in (first, *others)]


def _resampled(runs: Sequence[Scores], names: Sequence[str], resamples: int, seed: int) -> tuple[Floats, Floats]:
    """Figures of R runs of the same rows, (R, K), and in the same resamples of the rows for all, (R, B, K)."""
    check_resamples(resamples)
    figures = [Figures(scores, names) for scores in runs]
    count = len(runs[0])
    values = np.stack([each.under(np.ones(count)) for each in figures])
    drawn = np.stack(
        [[each.under(weights) for each in figures] for weights in resampled_weights(count, resamples, seed)], axis=1
    )
    return values, drawn
