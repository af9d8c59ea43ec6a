"""Rows that are the same picture: how many, with which labels, on which sides of the splits.

A group is any numbering of the rows in which copies share a number: ``mien.data.splits.group_identical`` for identical
pixels, :func:`mien.audit.near_copies.find_near_copies` for near-copies too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.data.faceset import SPLITS

Groups = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Leak:
    """``rows`` rows of ``split`` have a copy in ``source``, the split that is seen before it."""

    split: str
    source: str
    rows: int


@dataclass(frozen=True)
class CopyCounts:
    """How many rows are copies of others.

    Attributes:
        groups: groups of two rows or more.
        rows: rows in them.
        conflicting_groups: those of them whose rows have more than one label.
        conflicting_rows: rows in these.
        leaks: one entry for each pair of splits that the data has.
    """

    groups: int
    rows: int
    conflicting_groups: int
    conflicting_rows: int
    leaks: tuple[Leak, ...]


def count_copies(groups: Groups, labels: npt.NDArray[np.int64], split: npt.NDArray[np.str_]) -> CopyCounts:
    """Count groups, conflicts and leaks.

    Args:
        groups: int64 (N,), copies share a number.
        labels: int64 (N,), at least 0.
        split: str (N,), train, validation or test.
    """
    copied, conflicting = has_copy(groups), in_conflict(groups, labels)
    present = [name for name in SPLITS if (split == name).any()]
    pairs = [(later, earlier) for at, later in enumerate(present) for earlier in present[:at]]
    return CopyCounts(
        groups=len(np.unique(groups[copied])),
        rows=int(copied.sum()),
        conflicting_groups=len(np.unique(groups[conflicting])),
        conflicting_rows=int(conflicting.sum()),
        leaks=tuple(
            Leak(later, earlier, int(copied_from(groups, split, later, earlier).sum())) for later, earlier in pairs
        ),
    )


def has_copy(groups: Groups) -> Mask:
    """Whether another row is in the same group. int64 (N,) -> bool (N,)."""
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(sizes[number] > 1)


def in_conflict(groups: Groups, labels: npt.NDArray[np.int64]) -> Mask:
    """Whether a row of the same group has another label. int64 (N,), int64 (N,) -> bool (N,)."""
    if not len(groups):
        return np.zeros(0, dtype=np.bool_)
    _, number = np.unique(groups, return_inverse=True)
    classes = int(labels.max()) + 1
    seen = np.unique(number * classes + labels) // classes
    return np.asarray(np.bincount(seen)[number] > 1)


def copied_from(groups: Groups, split: npt.NDArray[np.str_], later: str, earlier: str) -> Mask:
    """The rows of the split ``later`` that have a copy in the split ``earlier``. bool (N,)."""
    return np.asarray((split == later) & np.isin(groups, groups[split == earlier]))


def leaked(groups: Groups, split: npt.NDArray[np.str_]) -> Mask:
    """Rows that were seen before they are measured on. bool (N,).

    Those of validation with a copy in train, and those of test with a copy in train, or in validation, on which a
    model was chosen.
    """
    from_train = copied_from(groups, split, "validation", "train") | copied_from(groups, split, "test", "train")
    return from_train | copied_from(groups, split, "test", "validation")
