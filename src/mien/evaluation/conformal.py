"""Prediction sets that hold the true class as often as promised: split conformal prediction, cross-fitted.

Two scores of how strange a class is for a row; a set holds every class that is no stranger than the threshold.

- LAC, the default: one minus the class's probability (Sadinle, Lei & Wasserman, JASA 114, 2019). Of all sets with the
  promised coverage these are smallest on average, and they need no random numbers; hard rows may get an empty set.
- APS: the probability of all likelier classes, plus a random share of the class's own (Romano, Sesia & Candes,
  NeurIPS 2020). Larger sets, whose coverage varies less from easy rows to hard ones.

The promise is over all rows, not for each class: see ``coverage_per_class``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError, nearest
from mien.evaluation.intervals import share_of
from mien.evaluation.metrics import Floats, Labels
from mien.evaluation.results import Estimate, fields_to_dict
from mien.evaluation.temperature import FOLDS, assign_folds

METHODS = ("lac", "aps")


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """A set of classes for each row, from thresholds of the other folds, and what they hold.

    Attributes:
        method: ``"lac"`` or ``"aps"``.
        level: promised share of rows whose set holds the true class.
        members: bool (N, C), the sets.
        coverage: measured share, with its 95 % Wilson interval.
        coverage_per_class: the same for the rows of each true class; NaN for a class without rows.
        mean_size: mean number of classes in a set, 0..C.
        size_counts: int64 (C + 1,), how many sets have 0, 1, ... C classes.
        empty: share of rows with an empty set.
        singleton: share of rows with a set of one class.
        singleton_accuracy: share of those whose one class is the true one.
        fold_thresholds: float64 (F,), one per fold; infinite where the other folds have too few rows for the level,
            so that every class is in.
        threshold: from all rows: the one to use from now on. No figure here is computed with it.
    """

    method: str
    level: float
    members: npt.NDArray[np.bool_]
    coverage: Estimate
    coverage_per_class: tuple[Estimate, ...]
    mean_size: float
    size_counts: npt.NDArray[np.int64]
    empty: float
    singleton: float
    singleton_accuracy: Estimate
    fold_thresholds: Floats
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, NaN and infinity as None; without ``members``, which is as large as the scores."""
        return fields_to_dict(self, leave_out=("members",))


def conformal_sets(
    labels: Labels,
    probabilities: Floats,
    groups: npt.NDArray[np.int64] | None = None,
    level: float = 0.9,
    method: str = "lac",
    folds: int = FOLDS,
    seed: int = 0,
) -> ConformalSets:
    """Make the set of each row with a threshold from the folds that it is not in, and measure the sets.

    Args:
        labels: int64 (N,), 0..C-1; N at least 1.
        probabilities: float (N, C), calibrated or not: the promise holds either way.
        groups: int64 (N,), rows of one number (identical images) share a fold; None: every row by itself.
        level: promised coverage, above 0 and below 1.
        method: one of :data:`METHODS`.
        folds: number of folds.
        seed: of the random numbers of ``"aps"``.

    Raises:
        DataError: a level outside, an unknown method, or fewer than 2 folds.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    strangeness = nonconformity(probabilities, method, groups, seed)
    of_truth = strangeness[np.arange(len(labels)), labels]
    fold_of_row = assign_folds(groups, folds)
    thresholds = np.array(
        [conformal_threshold(of_truth[fold_of_row != fold], level) for fold in range(int(fold_of_row.max()) + 1)]
    )
    members = strangeness <= thresholds[fold_of_row][:, np.newaxis]
    covered = members[np.arange(len(labels)), labels]
    sizes = members.sum(axis=1)
    class_count = probabilities.shape[1]
    return ConformalSets(
        method=method,
        level=level,
        members=members,
        coverage=share_of(covered.sum(), len(labels)),
        coverage_per_class=tuple(
            share_of(covered[labels == index].sum(), (labels == index).sum()) for index in range(class_count)
        ),
        mean_size=float(sizes.mean()),
        size_counts=np.bincount(sizes, minlength=class_count + 1),
        empty=float((sizes == 0).mean()),
        singleton=float((sizes == 1).mean()),
        singleton_accuracy=share_of(covered[sizes == 1].sum(), (sizes == 1).sum()),
        fold_thresholds=thresholds,
        threshold=conformal_threshold(of_truth, level),
    )


def nonconformity(
    probabilities: Floats, method: str = "lac", groups: npt.NDArray[np.int64] | None = None, seed: int = 0
) -> Floats:
    """How strange each class is for each row, in 0..1. float (N, C) -> float64 (N, C).

    For ``"aps"`` each group of rows has one random number, so that identical images get identical sets.

    Raises:
        DataError: an unknown method.
    """
    if method not in METHODS:
        raise DataError(f"There is no conformal method '{method}'." + nearest(method, METHODS))
    if method == "lac":
        return np.asarray(1.0 - probabilities, dtype=np.float64)
    distinct, group_of_row = np.unique(np.arange(len(probabilities)) if groups is None else groups, return_inverse=True)
    random_share = np.random.default_rng(seed).random(len(distinct))[group_of_row]
    order = np.argsort(-probabilities, axis=1, kind="stable")
    falling = np.take_along_axis(probabilities, order, axis=1)
    ranked = np.cumsum(falling, axis=1) - (1.0 - random_share[:, np.newaxis]) * falling
    strangeness = np.empty(probabilities.shape)
    np.put_along_axis(strangeness, order, ranked, axis=1)
    return strangeness


def conformal_threshold(of_truth: Floats, level: float) -> float:
    """The ceil((n + 1) * level)-th smallest of n scores of true classes; infinite where n is too small for it.

    A set of all classes up to it holds the true one with at least the probability ``level``, for a row that is
    exchangeable with the n: Vovk, Gammerman & Shafer 2005; Lei et al., JASA 113, 2018, lemma 1.

    Raises:
        DataError: ``level`` is not above 0 and below 1.
    """
    if not 0 < level < 1:
        raise DataError(f"The level of prediction sets must be above 0 and below 1; found {level}. 0.9 is usual.")
    # Down by a hair, because 0.9 * 10 may be 9.000000000000002 in other numbers, and would become 10.
    rank = math.ceil((len(of_truth) + 1) * level - 1e-9)
    return float(np.sort(of_truth)[rank - 1]) if rank <= len(of_truth) else math.inf
