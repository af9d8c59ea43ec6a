"""Scores in, an evaluation out: headline figures with intervals, figures per class, the confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.evaluation import metrics
from mien.evaluation.figures import resample
from mien.evaluation.intervals import check_resamples, percentile_interval
from mien.evaluation.results import ClassFigures, Estimate, Evaluation, Part
from mien.evaluation.scores import Scores

_HEADLINE = ("accuracy", "macro_f1", "macro_auc", "log_loss", "calibration_error")

MOST_PARTS = 100
"""A column with more different values than this is a name or a measurement, not a grouping."""


def evaluate_scores(scores: Scores, resamples: int = 1000, seed: int = 0) -> Evaluation:
    """Compute all figures of ``scores``.

    The intervals are percentile bootstrap intervals over rows (Efron & Tibshirani, An Introduction to the Bootstrap,
    1993, chapter 13): ``resamples`` times, N rows are drawn with replacement and the figure is computed again; the
    interval runs from the 2.5th to the 97.5th percentile. The same scores, resamples and seed give the same intervals.

    Raises:
        DataError: ``resamples`` is less than 1.
    """
    labels, probabilities = scores.labels, scores.probabilities
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(axis=1), len(scores.classes))
    rows = metrics.support(confusion)
    columns = {
        "precision": metrics.precision(confusion),
        "recall": metrics.recall(confusion),
        "f1": metrics.f1(confusion),
        "auc": metrics.roc_auc(labels, probabilities),
    }

    def average(name: str, over: Callable[..., npt.NDArray[np.float64]]) -> ClassFigures:
        return ClassFigures(name, len(scores), **{key: float(over(column, rows)) for key, column in columns.items()})

    (own,) = resample([scores], _HEADLINE, resamples, seed)
    estimates = [percentile_interval(*pair) for pair in zip(own.values, own.drawn.T, strict=True)]
    headline = dict(zip(_HEADLINE, estimates, strict=True))
    return Evaluation(
        split=scores.split,
        rows=len(scores),
        classes=scores.classes,
        data_fingerprint=scores.data_fingerprint,
        **headline,
        per_class=tuple(
            ClassFigures(name, int(rows[index]), **{key: float(column[index]) for key, column in columns.items()})
            for index, name in enumerate(scores.classes)
        ),
        macro=average("macro average", metrics.macro_average),
        weighted=average("weighted average", metrics.weighted_average),
        confusion=confusion,
        resamples=resamples,
        seed=seed,
    )


def parts_of(values: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The different values of a column (N,), in order, and which of them each row has, int64 (N,).

    Raises:
        DataError: more than :data:`MOST_PARTS` different ones, which would not group the rows.
    """
    if values.dtype.kind == "O":
        values = values.astype(np.str_)
    distinct, part_of_row = np.unique(values, return_inverse=True)
    if len(distinct) > MOST_PARTS:
        raise DataError(
            f"A column to group by may have at most {MOST_PARTS} different values; found {len(distinct)}, such as "
            f"{distinct[0]} and {distinct[1]}. Choose a column that groups the rows."
        )
    return distinct, part_of_row


def break_down(scores: Scores, values: npt.NDArray[Any], resamples: int = 1000, seed: int = 0) -> list[Part]:
    """Accuracy and macro-F1 for each value of a column, ordered by value.

    Args:
        scores: N rows.
        values: (N,) strings, whole numbers, floats or booleans, one per row of ``scores`` and in its order.
        resamples: bootstrap resamples, as in :func:`evaluate_scores`; each part is resampled by itself.
        seed: seed of the resampling.

    Raises:
        DataError: ``values`` is not one value per row, or as :func:`parts_of`; ``resamples`` is less than 1.
    """
    values = np.asarray(values)
    if values.shape != (len(scores),):
        raise DataError(f"A column to group by needs one value for each of {len(scores)} rows; found {values.shape}.")
    distinct, part_of_row = parts_of(values)
    return on_subsets(
        scores, {str(value): part_of_row == index for index, value in enumerate(distinct)}, resamples, seed
    )


def on_subsets(
    scores: Scores, kept: Mapping[str, npt.NDArray[np.bool_]], resamples: int = 1000, seed: int = 0
) -> list[Part]:
    """Accuracy and macro-F1 on some of the rows at a time, such as those that are no copies of training rows.

    Args:
        scores: N rows.
        kept: for each subset by name, bool (N,): the rows in it, in the order of ``scores``.
        resamples: bootstrap resamples, as in :func:`evaluate_scores`; each subset is resampled by itself.
        seed: seed of the resampling.

    Returns:
        One part a subset, in their order; figures are NaN where no row is left.

    Raises:
        DataError: a mask is not one yes or no per row, or ``resamples`` is less than 1.
    """
    check_resamples(resamples)
    parts = []
    for name, mask in kept.items():
        if mask.shape != (len(scores),) or mask.dtype != np.bool_:
            raise DataError(
                f"'{name}' needs a yes or no for each of {len(scores)} rows; found {mask.dtype} {mask.shape}."
            )
        parts.append(_part(name, scores, mask, resamples, seed))
    return parts


def _part(name: str, scores: Scores, inside: npt.NDArray[np.bool_], resamples: int, seed: int) -> Part:
    if not inside.any():
        undefined = Estimate(math.nan, math.nan, math.nan)
        return Part(name, 0, undefined, undefined)
    (own,) = resample([scores.subset(inside)], ("accuracy", "macro_f1"), resamples, seed)
    accuracy, macro_f1 = (percentile_interval(*pair) for pair in zip(own.values, own.drawn.T, strict=True))
    return Part(name, int(inside.sum()), accuracy, macro_f1)
