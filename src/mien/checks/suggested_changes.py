"""From what was found to a list of changes that a person can review: which samples to drop or relabel, and why.

Validation and test keep all their samples but two kinds, which are facts of the data: blank ones, and identical images
in one of them whose labels differ, of which no answer can get both right. Everything else is settled in train: the copy
of a validation or test sample goes, the second of two identical samples goes, an image goes in which most voters saw no
face, and a label that its own copies outvote, or that a model and its neighbours are sure to be wrong, is changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.sample_groups import Groups
from mien.checks.copies import Mask, in_conflict
from mien.data.clean import Change, Kind
from mien.data.dataset import Dataset

OUTVOTED_BY = 2 / 3
"""Fraction of the copies of an image that must agree to outvote the others; and there must be three at least."""


def suggest_changes(
    faces: Dataset,
    blank: Mask,
    not_a_face: Mask,
    identical: Groups,
    near: Groups,
    doubted: Mask,
    suggested: npt.NDArray[np.int64],
) -> list[Change]:
    """Suggest at most one change a sample, in the order of the samples.

    Args:
        faces: N faces.
        blank: bool (N,), images with nothing in them.
        not_a_face: bool (N,), images in which most people saw no face.
        identical: int64 (N,), identical images share a number.
        near: int64 (N,), identical and near-copies share a number.
        doubted: bool (N,), samples whose label a model and its neighbours are sure to be wrong.
        suggested: int64 (N,), the class that they name.
    """
    chosen: dict[int, Change] = {}
    for changes in (
        _blank(faces, blank),
        _conflicts_of_measured(faces, identical),
        _no_faces(faces, not_a_face),
        _leaks(faces, identical, near),
        _conflicts_of_train(faces, identical, near, not_a_face),
        _copies(faces, identical, not_a_face),
        _doubts(faces, doubted, suggested),
    ):
        for index, change in changes:
            chosen.setdefault(index, change)
    return [chosen[index] for index in sorted(chosen)]


Found = Iterator[tuple[int, Change]]


def _blank(faces: Dataset, blank: Mask) -> Found:
    for index in np.flatnonzero(blank):
        yield int(index), _change(faces, index, "blank", "blank image: about one grey level")


def _no_faces(faces: Dataset, not_a_face: Mask) -> Found:
    for index in np.flatnonzero(not_a_face & (faces.split == "train")):
        yield int(index), _change(faces, index, "no-face", "most voters saw no face")


def _conflicts_of_measured(faces: Dataset, identical: Groups) -> Found:
    for split in ("validation", "test"):
        members = np.flatnonzero(faces.split == split)
        for index in members[in_conflict(identical[members], faces.labels[members])]:
            other = members[(identical[members] == identical[index]) & (faces.labels[members] != faces.labels[index])][
                0
            ]
            words = f"identical to sample {faces.rows[other]} of {split}, whose label is {_label(faces, other)}"
            yield int(index), _change(faces, index, "conflict", words)


def _leaks(faces: Dataset, identical: Groups, near: Groups) -> Found:
    train = np.flatnonzero(faces.split == "train")
    measured = np.flatnonzero(faces.split != "train")
    first_of = _first_member(near, measured)
    exact_of = _first_member(identical, measured)
    for index in train[np.isin(near[train], near[measured])]:
        exact = exact_of.get(int(identical[index]))
        other = first_of[int(near[index])] if exact is None else exact
        how = "a near-copy" if exact is None else "a copy"
        words = f"{how} of sample {faces.rows[other]} of {faces.split[other]}"
        yield int(index), _change(faces, index, "leak", words)


def _conflicts_of_train(faces: Dataset, identical: Groups, near: Groups, not_a_face: Mask) -> Found:
    train = np.flatnonzero((faces.split == "train") & ~not_a_face)
    first_of = _first_member(identical, train)
    settled: set[int] = set()
    for groups, by_identity in ((near, False), (identical, True)):
        disputed = train[in_conflict(groups[train], faces.labels[train])]
        for group in np.unique(groups[disputed]):
            members = disputed[groups[disputed] == group]
            if int(near[members[0]]) in settled:
                continue  # its near-copies have said what the image is
            counts = np.bincount(faces.labels[members], minlength=len(faces.classes))
            top = int(counts.argmax())
            outvoted = len(members) > 2 and counts[top] >= OUTVOTED_BY * len(members)
            if outvoted and not by_identity:
                settled.add(int(group))
            for index in members:
                if outvoted and faces.labels[index] != top and first_of[int(identical[index])] != index:
                    continue  # the first of the identical ones stands for it; this one goes as a copy
                if outvoted and faces.labels[index] != top:
                    words = f"{counts[top]} of {len(members)} copies are labelled {faces.classes[top]}"
                    yield int(index), _change(faces, index, "conflict", words, faces.classes[top])
                elif by_identity and not outvoted:
                    names = ", ".join(f"{faces.classes[at]} {counts[at]}" for at in np.flatnonzero(counts))
                    yield (
                        int(index),
                        _change(faces, index, "conflict", f"identical images with different labels: {names}"),
                    )


def _copies(faces: Dataset, identical: Groups, not_a_face: Mask) -> Found:
    # Where no face is, the image goes, and stands for none that people saw a face in.
    train = np.flatnonzero((faces.split == "train") & ~not_a_face)
    first_of = _first_member(identical, train)
    for index in train:
        first = first_of[int(identical[index])]
        if first != index:
            yield int(index), _change(faces, index, "copy", f"identical to sample {faces.rows[first]}")


def _doubts(faces: Dataset, doubted: Mask, suggested: npt.NDArray[np.int64]) -> Found:
    for index in np.flatnonzero(doubted & (faces.split == "train")):
        name = faces.classes[suggested[index]]
        words = f"out-of-fold model and nearest neighbours predict {name}"
        yield int(index), _change(faces, index, "doubt", words, name)


def _change(faces: Dataset, index: int | np.integer[Any], kind: Kind, reason: str, to: str | None = None) -> Change:
    return Change(
        row=int(faces.rows[index]),
        split=str(faces.split[index]),
        label=_label(faces, index),
        to=to,
        kind=kind,
        reason=reason,
        source=str(faces.source[index]),
    )


def _label(faces: Dataset, index: int | np.integer[Any]) -> str:
    return faces.classes[int(faces.labels[index])]


def _first_member(groups: Groups, members: npt.NDArray[np.int64]) -> dict[int, int]:
    """The first of ``members`` in each group."""
    numbers, first = np.unique(groups[members], return_index=True)
    return dict(zip(numbers.tolist(), members[first].tolist(), strict=True))
