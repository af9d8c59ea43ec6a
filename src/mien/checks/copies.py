"""Counts of duplicate images: groups, conflicting labels, leakage between splits.

A group is an integer; copies of one image have the same group. ``mien.data.splits.group_identical`` groups identical
images, and :func:`mien.near_copies.finder.find_near_copies` near-copies too.
"""

from dataclasses import dataclass

import numpy as np

from mien.base.arrays import Bools, Groups, Ints, Texts
from mien.data.dataset import SPLITS


@dataclass(frozen=True)
class Leak:
    """A leak: so many ``samples`` of ``split`` have a copy in ``source``, an earlier split."""

    split: str
    source: str
    samples: int


@dataclass(frozen=True)
class CopyCounts:
    """Counts of samples that are copies of others.

    Attributes:
        groups: groups of two samples or more.
        samples: samples in these groups.
        conflicting_groups: groups whose samples have more than one label.
        conflicting_samples: samples in conflicting groups.
        leaks: one entry for each pair of splits in the data.
    """

    groups: int
    samples: int
    conflicting_groups: int
    conflicting_samples: int
    leaks: tuple[Leak, ...]


def count_copies(groups: Groups, labels: Ints, split: Texts) -> CopyCounts:
    """Count groups of copies, conflicts between labels, and leaks between splits."""
    counts = [
        (len(np.unique(groups[mask])), int(mask.sum())) for mask in (has_copy(groups), in_conflict(groups, labels))
    ]
    present = [name for name in SPLITS if (split == name).any()]
    leaks = [
        Leak(later, earlier, int(copied_from(groups, split, later, earlier).sum()))
        for at, later in enumerate(present)
        for earlier in present[:at]
    ]
    return CopyCounts(*counts[0], *counts[1], tuple(leaks))


def has_copy(groups: Groups) -> Bools:
    """Return whether another sample is in the same group. int64 (N,) -> bool (N,)."""
    _, number, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(sizes[number] > 1)


def in_conflict(groups: Groups, labels: Ints) -> Bools:
    """Return whether a sample of the same group has another label. int64 (N,), int64 (N,) -> bool (N,)."""
    if not len(groups):
        return np.zeros(0, dtype=np.bool_)
    _, number = np.unique(groups, return_inverse=True)
    classes = int(labels.max()) + 1
    return np.asarray(np.bincount(np.unique(number * classes + labels) // classes)[number] > 1)


def copied_from(groups: Groups, split: Texts, later: str, earlier: str) -> Bools:
    """Return the samples of split ``later`` that have a copy in split ``earlier``. bool (N,)."""
    return np.asarray((split == later) & np.isin(groups, groups[split == earlier]))


def leaked(groups: Groups, split: Texts) -> Bools:
    """Return leaked samples: validation samples with a copy in train, test samples with one in train or validation.

    Copies in validation count as leaks too, because models are selected on it.
    """
    from_train = copied_from(groups, split, "validation", "train") | copied_from(groups, split, "test", "train")
    return from_train | copied_from(groups, split, "test", "validation")
