"""Prediction sets that contain the true class with a promised probability: split conformal prediction, cross-fitted.

The nonconformity score of a class is one minus its probability (LAC: Sadinle, Lei & Wasserman, JASA 114, 2019). A set
holds every class whose score is at most the threshold. Of all sets with the promised coverage these are the smallest on
average; a hard sample may get an empty set. The promise is for all samples together, not for each class: see
``coverage_per_class``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.evaluation.intervals import proportion_among
from mien.evaluation.metrics import Floats, Labels
from mien.evaluation.results import Estimate, fields_to_dict
from mien.evaluation.temperature import FOLDS, assign_folds
from mien.sample_groups import Groups, join_groups


@dataclass(frozen=True, eq=False)
class ConformalSets:
    """A set of classes for each sample, from thresholds of the other folds, and what they hold.

    Attributes:
        level: promised fraction of samples whose set holds the true class.
        members: bool (N, C), the sets.
        coverage: measured fraction, with its 95% Wilson interval.
        coverage_per_class: the same for the samples of each true class; NaN for a class without samples.
        mean_size: mean number of classes in a set, 0..C.
        size_counts: int64 (C + 1,), how many sets have 0, 1, ... C classes.
        empty: fraction of samples with an empty set.
        singleton: fraction of samples with a set of one class.
        singleton_accuracy: fraction of those whose one class is the true one.
        fold_thresholds: float64 (F,), one per fold; infinite if the other folds have too few samples for the level;
            every class is in the set then.
        threshold: fitted on all samples, for future use. No metric here uses it.
    """

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
        """JSON-ready, NaN and infinity as None; without ``members``, which is as large as the predictions."""
        return fields_to_dict(self, leave_out=("members",))


def conformal_sets(
    labels: Labels,
    probabilities: Floats,
    groups: Groups | None = None,
    level: float = 0.9,
    folds: int = FOLDS,
    *,
    copies: Groups | None = None,
) -> ConformalSets:
    """Make the set of each sample with a threshold from the folds that it is not in, and measure the sets.

    Args:
        labels: int64 (N,), 0..C-1; N at least 1.
        probabilities: float (N, C), calibrated or not: the promise holds either way.
        groups: int64 (N,), samples of one number, such as those of a person, share a fold, and the intervals count them
            as :func:`mien.evaluation.intervals.proportion_among`; None: every sample by itself.
        level: promised coverage, above 0 and below 1.
        folds: number of folds.
        copies: int64 (N,), samples of one number, such as identical images, share a fold.

    Raises:
        DataError: ``level`` is not above 0 and below 1, or fewer than 2 folds.
    """
    nonconformity = np.asarray(1.0 - probabilities, dtype=np.float64)
    of_truth = nonconformity[np.arange(len(labels)), labels]
    fold_of_row = assign_folds(join_groups(len(labels), groups, copies), folds)
    thresholds = np.array(
        [conformal_threshold(of_truth[fold_of_row != fold], level) for fold in range(int(fold_of_row.max()) + 1)]
    )
    members = nonconformity <= thresholds[fold_of_row][:, np.newaxis]
    covered = members[np.arange(len(labels)), labels]
    sizes = members.sum(axis=1)
    class_count = probabilities.shape[1]
    return ConformalSets(
        level=level,
        members=members,
        coverage=proportion_among(covered, groups=groups),
        coverage_per_class=tuple(proportion_among(covered, labels == index, groups) for index in range(class_count)),
        mean_size=float(sizes.mean()),
        size_counts=np.bincount(sizes, minlength=class_count + 1),
        empty=float((sizes == 0).mean()),
        singleton=float((sizes == 1).mean()),
        singleton_accuracy=proportion_among(covered, sizes == 1, groups),
        fold_thresholds=thresholds,
        threshold=conformal_threshold(of_truth, level),
    )


def conformal_threshold(of_truth: Floats, level: float) -> float:
    """The ceil((n + 1) * level)-th smallest of n nonconformity scores of true classes; infinite if n is too small.

    A set of all classes up to it holds the true one with at least the probability ``level``, for a sample that is
    exchangeable with the n: Vovk, Gammerman & Shafer 2005; Lei et al., JASA 113, 2018, lemma 1.

    Raises:
        DataError: ``level`` is not above 0 and below 1.
    """
    if not 0 < level < 1:
        raise DataError(
            f"The level of prediction sets must be above 0 and below 1; found {level}. 0.9 is usual.",
            code="level-range",
        )
    # Minus a tolerance: a product such as 9.000000000000002 must not become 10.
    rank = math.ceil((len(of_truth) + 1) * level - 1e-9)
    return float(np.sort(of_truth)[rank - 1]) if rank <= len(of_truth) else math.inf
