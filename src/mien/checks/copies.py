"""Copies of images, counted by group; and changes suggested to a person: samples to drop or relabel, and why.

A group is an integer; copies of one image have the same group. ``mien.data.splits.group_identical`` groups identical
images, and :func:`mien.near_copies.finder.find_near_copies` near-copies too.

From validation and test only two kinds are dropped, which the data itself proves: blank images, and identical images
with different labels in one split. All other changes are made in train. A copy of a validation or test sample is
dropped, and the second of two identical samples. An image in which most voters saw no face is dropped. A label is
changed if the image's copies outvote it, or if model and neighbours are sure that it is wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np

from mien.base.arrays import Bools, Groups, Ints, Texts
from mien.data.clean import Change, Kind
from mien.data.dataset import SPLITS, Dataset


@dataclass(frozen=True)
class Leak:
    """A leak: so many ``samples`` of ``split`` have a copy in ``source``, an earlier split."""

    split: str
    source: str
    samples: int


@dataclass(frozen=True)
class CopyCounts:
    """Counts of groups of two samples or more, of those with several labels, and of leaks between splits."""

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
    _, number = np.unique(groups, return_inverse=True)
    classes = int(labels.max(initial=0)) + 1
    return np.asarray(np.bincount(np.unique(number * classes + labels) // classes)[number] > 1)


def copied_from(groups: Groups, split: Texts, later: str, earlier: str) -> Bools:
    """Return the samples of split ``later`` that have a copy in split ``earlier``. bool (N,)."""
    return np.asarray((split == later) & np.isin(groups, groups[split == earlier]))


def leaked(groups: Groups, split: Texts) -> Bools:
    """Return leaked samples: those of validation with a copy in train, of test with one in train or validation."""
    from_train = copied_from(groups, split, "validation", "train") | copied_from(groups, split, "test", "train")
    return from_train | copied_from(groups, split, "test", "validation")


OUTVOTED_BY = 2 / 3
"""A label is changed if this fraction of the copies has another one; three copies are needed."""

Found = Iterator[tuple[int, Kind, str, int | None]]
"""Index of a sample, kind of reason, reason, and new class (None: drop the sample)."""


def suggest_changes(
    dataset: Dataset, blank: Bools, not_a_face: Bools, identical: Groups, near: Groups, doubted: Bools, suggested: Ints
) -> list[Change]:
    """Suggest at most one change per sample, in the order of the samples.

    ``identical`` images are also in one group of ``near``. In images of ``not_a_face``, most people saw no face. For
    samples of ``doubted``, model and neighbours are sure that the label is wrong; each has a suggested class.
    """
    of_train = dataset.split == "train"
    # An image without a face is dropped and does not count as a copy of others.
    train = np.flatnonzero(of_train & ~not_a_face)
    found: Found = chain(
        ((at, "blank", "blank image: about one grey level", None) for at in np.flatnonzero(blank).tolist()),
        _conflicts_of_measured(dataset, identical),
        ((at, "no-face", "most voters saw no face", None) for at in np.flatnonzero(not_a_face & of_train).tolist()),
        _leaks(dataset, identical, near),
        _conflicts_of_train(dataset, train, identical, near),
        _copies(dataset, train, identical),
        (
            (at, "doubt", f"model and nearest neighbours predict {dataset.classes[suggested[at]]}", to)
            for at, to in enumerate(suggested.tolist())
            if doubted[at] and of_train[at]
        ),
    )
    chosen: dict[int, Change] = {}
    for index, kind, reason, to in found:
        if index not in chosen:
            chosen[index] = Change(
                row=int(dataset.rows[index]),
                split=str(dataset.split[index]),
                label=dataset.classes[dataset.labels[index]],
                to=None if to is None else dataset.classes[to],
                kind=kind,
                reason=reason,
                source=str(dataset.source[index]),
            )
    return [chosen[index] for index in sorted(chosen)]


def _conflicts_of_measured(dataset: Dataset, identical: Groups) -> Found:
    for split in ("validation", "test"):
        members = np.flatnonzero(dataset.split == split)
        for copies in _by_group(identical, members[in_conflict(identical[members], dataset.labels[members])]):
            for index in copies.tolist():
                other = copies[dataset.labels[copies] != dataset.labels[index]][0]
                label = dataset.classes[dataset.labels[other]]
                yield index, "conflict", f"identical to sample {dataset.rows[other]} of {split}, labelled {label}", None


def _leaks(dataset: Dataset, identical: Groups, near: Groups) -> Found:
    train = np.flatnonzero(dataset.split == "train")
    measured = np.flatnonzero(dataset.split != "train")
    near_of, exact_of = (_first_member(groups, measured) for groups in (near, identical))
    for index in train[np.isin(near[train], near[measured])].tolist():
        exact, close = exact_of.get(int(identical[index])), near_of[int(near[index])]
        other, how = (close, "a near-copy") if exact is None else (exact, "a copy")
        yield index, "leak", f"{how} of sample {dataset.rows[other]} of {dataset.split[other]}", None


def _conflicts_of_train(dataset: Dataset, train: Ints, identical: Groups, near: Groups) -> Found:
    first_of = _first_member(identical, train)
    settled: set[int] = set()
    for groups, by_identity in ((near, False), (identical, True)):
        for members in _by_group(groups, train[in_conflict(groups[train], dataset.labels[train])]):
            if int(near[members[0]]) in settled:
                continue  # its near-copies decided the label already
            counts = np.bincount(dataset.labels[members], minlength=len(dataset.classes))
            top = int(counts.argmax())
            if len(members) > 2 and counts[top] >= OUTVOTED_BY * len(members):
                if not by_identity:
                    settled.add(int(near[members[0]]))
                words = f"{counts[top]} of {len(members)} copies are labelled {dataset.classes[top]}"
                for index in members[dataset.labels[members] != top].tolist():
                    # The first of identical images is kept; the others are dropped as copies.
                    if first_of[int(identical[index])] == index:
                        yield index, "conflict", words, top
            elif by_identity:
                names = ", ".join(f"{dataset.classes[at]} {counts[at]}" for at in np.flatnonzero(counts))
                for index in members.tolist():
                    yield index, "conflict", f"identical images with different labels: {names}", None


def _copies(dataset: Dataset, train: Ints, identical: Groups) -> Found:
    first_of = _first_member(identical, train)
    for index in train.tolist():
        first = first_of[int(identical[index])]
        if first != index:
            yield index, "copy", f"identical to sample {dataset.rows[first]}", None


def _by_group(groups: Groups, members: Ints) -> list[Ints]:
    order = members[np.argsort(groups[members], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1) if len(order) else []


def _first_member(groups: Groups, members: Ints) -> dict[int, int]:
    numbers, first = np.unique(groups[members], return_index=True)
    return dict(zip(numbers.tolist(), members[first].tolist(), strict=True))
