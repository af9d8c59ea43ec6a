"""Oracle: what the rules say, checked on any data; applied, the copies that they are about are gone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.checks.copies import copied_from, in_conflict, suggest_changes
from mien.data.clean import Clean, apply_clean
from mien.data.dataset import Dataset

CLASSES = ("angry", "happy", "sad")


def faces_of(rows):
    """A face for each (group of copies, label, split): images of a group have its number as their grey."""
    greys, labels, splits, *_ = zip(*rows, strict=True)
    images, ids = np.repeat(np.array(greys, dtype=np.uint8), 64).reshape(-1, 8, 8), 100 + np.arange(len(rows))
    return Dataset(images, np.array(labels), CLASSES, np.array(splits, dtype="<U10"), ids.astype(str), ids)


SPLITS = st.sampled_from(["train", "train", "validation", "test"])
ROW = st.tuples(st.integers(0, 5), st.integers(0, 2), SPLITS, st.booleans(), st.booleans())
ROWS = st.lists(ROW, min_size=1, max_size=25)


@given(ROWS)
def test_suggest_changes_keeps_its_rules_for_any_data(rows):
    faces, identical = faces_of(rows), np.array([row[0] for row in rows])
    near = identical // 2  # pairs of images are near-copies
    blank, doubted = (np.array([row[side] for row in rows]) for side in (3, 4))
    no_face, suggested = ~doubted, (faces.labels + 1) % 3
    changes = suggest_changes(faces, blank, no_face, identical, near, doubted, suggested)
    assert [change.row for change in changes] == sorted({change.row for change in changes})
    for change in changes:
        assert (change.split == "train") or change.kind in {"blank", "conflict"}
        assert change.kind != "doubt" or change.split == "train"
        assert change.to != change.label
        assert change.to is None or change.split == "train"
    dropped = {change.row for change in changes if change.to is None}
    assert {100 + at for at in np.flatnonzero(blank | (no_face & (faces.split == "train")))} <= dropped
    if len(dropped) == len(rows):
        return
    left = apply_clean(faces, Clean(faces.fingerprint, tuple(changes)))
    groups, was = near[left.rows - 100], identical[left.rows - 100]
    for split in ("validation", "test"):
        inside = left.split == split
        assert not copied_from(groups, left.split, split, "train").any()
        assert not in_conflict(was[inside], left.labels[inside]).any()
    train = left.split == "train"
    assert len(set(was[train].tolist())) == train.sum(), "no identical images are left in train"


def test_suggest_changes_relabels_an_outvoted_copy():
    faces = faces_of([(0, 1, "train"), (1, 1, "train"), (2, 0, "train"), (9, 0, "train")])
    near, nobody = np.array([0, 0, 0, 9]), np.zeros(4, dtype=bool)
    changes = suggest_changes(faces, nobody, nobody, np.array([0, 1, 2, 9]), near, nobody, faces.labels)
    assert [(change.row, change.to, change.kind) for change in changes] == [(102, "happy", "conflict")]
    assert "2 of 3 copies" in changes[0].reason
    faces = faces_of([(0, 0, "train"), (1, 0, "validation"), (2, 0, "test")])
    everybody, nobody = np.ones(3, dtype=bool), np.zeros(3, dtype=bool)
    changes = suggest_changes(faces, nobody, nobody, np.arange(3), np.arange(3), everybody, np.array([2, 2, 2]))
    assert [(change.row, change.to, change.kind) for change in changes] == [(100, "sad", "doubt")]


@pytest.mark.parametrize("labels", [[1, 0, 0, 0], [0, 1, 0, 0]])
def test_suggest_changes_prefers_near_copies_to_identical_ones(labels):
    """Rows 0 and 1 are identical, and alone have no majority; with 2 and 3 they have one, in whatever order."""
    faces, nobody = faces_of([(at, label, "train") for at, label in enumerate(labels)]), np.zeros(4, dtype=bool)
    changes = suggest_changes(faces, nobody, nobody, np.array([0, 0, 2, 3]), np.zeros(4, int), nobody, faces.labels)
    left = apply_clean(faces, Clean(faces.fingerprint, tuple(changes)))
    assert (left.rows.tolist(), left.labels.tolist()) == ([100, 102, 103], [0, 0, 0])
