"""Folds for ``mien train --folds K``: by group, with about the same share of every class in each."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mien.data.dataset import Dataset
from mien.data.splits import check_class_groups, count_by_group, cut_groups
from mien.errors import DataError
from mien.evaluation.temperature import FOLD_SEED
from mien.runs.folds import VALIDATION_FOLDS, Folds


class StratifiedFolds(Folds):
    """``count`` folds with about the same share of every class in each, trained on all samples of the other folds."""

    def __init__(self, faces: Dataset, groups: npt.NDArray[np.int64], count: int) -> None:
        """Raises DataError: fewer groups than folds; a group that holds every face of a class."""
        self._wanted = count
        super().__init__(faces, groups)

    def _assign(self) -> npt.NDArray[np.int64]:
        groups, labels = self._groups[self._predicted], self._faces.labels[self._predicted]
        found = len(np.unique(groups))
        if not 2 <= self._wanted <= found:
            raise DataError(
                f"--folds {self._wanted}: train and validation have {found:,} groups, so give 2 to {found}.",
                code="folds-range",
            )
        names = self._faces
        if names.group_column:
            check_class_groups(names.columns[names.group_column][self._predicted], labels, names.classes)
        else:
            check_class_groups(groups, labels, names.classes)
        return stratified_folds(groups, labels, self._wanted)

    def training(self, fold: int) -> Dataset:
        """The samples of the other folds; a tenth of them, in whole groups, are the validation split."""
        others = self._predicted[self._fold_of != fold]
        validates = cut_groups(self._groups[others], self._faces.labels[others], share=1 / VALIDATION_FOLDS)
        return replace(self._faces.subset(others), split=np.where(validates, "validation", "train"), cleaned_from=())


def stratified_folds(groups: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Deal groups into folds so that each class is spread evenly over them, as scikit-learn's StratifiedGroupKFold.

    Groups with the most uneven classes go first, each into the fold that keeps the shares of the classes most even.

    Args:
        groups: int64 (N,).
        labels: int64 (N,).
        count: 2..number of groups.

    Returns:
        int64 (N,), 0..count-1; every fold has a group.
    """
    _, number, counts = count_by_group(groups, labels)
    counts = counts[:, counts.sum(axis=0) > 0]
    shares = counts / counts.sum(axis=0)
    shuffled = np.random.default_rng(FOLD_SEED).permutation(len(counts))
    order = shuffled[np.argsort(-counts[shuffled].std(axis=1), kind="stable")]
    held, sizes = np.zeros((count, shares.shape[1])), np.zeros(count)
    fold_of = np.zeros(len(counts), dtype=np.int64)
    for done, group in enumerate(order):
        # One fold's line at a time is raised by the group's shares: (candidate, fold, class).
        raised = held + np.eye(count)[:, :, np.newaxis] * shares[group]
        uneven = np.round(raised.std(axis=1).mean(axis=1), 12)
        uneven[(sizes > 0) & (len(order) - done <= (sizes == 0).sum())] = np.inf  # an empty fold must get one
        fold = int(np.lexsort((sizes, uneven))[0])
        fold_of[group] = fold
        held[fold] += shares[group]
        sizes[fold] += counts[group].sum()
    return np.asarray(fold_of[number])
