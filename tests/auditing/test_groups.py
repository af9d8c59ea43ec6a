"""Oracle: three samples of one person tell as much as one of them; no fold splits a person or a copy."""

from dataclasses import replace

import numpy as np
import pytest

from mien.auditing.run import audit_faces, find_copies
from mien.base.labels import FERPLUS_CLASSES
from mien.data.dataset import Dataset
from mien.data.splits import split_groups
from mien.evaluation.predictions import Predictions
from mien.near_copies.finder import NearCopies

COUNT = 120
CLASSES = ("angry", "happy", "sad")


def people(times):
    """Each of 120 people with one sample, or with three equal ones; half are of train."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (COUNT, 48, 48)).astype(np.uint8)
    votes = generator.multinomial(10, [0.2] * 5 + [0] * 5, COUNT)
    labels, split = generator.integers(0, 3, COUNT), np.array(["train", "validation"]).repeat(COUNT * times // 2)
    of_person = np.arange(COUNT).repeat(times)
    faces = Dataset.from_arrays(images[of_person], labels[of_person], CLASSES, split, groups=of_person)
    return replace(faces, votes=votes[of_person], vote_classes=FERPLUS_CLASSES)


def test_ceilings_resample_whole_groups():
    found, nothing = [], np.zeros(0, dtype=np.int64)
    for times in (1, 3):
        faces = people(times)
        own = np.arange(len(faces))
        copies = NearCopies(nothing, nothing, nothing.astype(np.float32), own, own)
        panels = [each.second_panel for each in audit_faces(faces, copies).ceilings.values()]
        found.append([[each.value, each.low, each.high] for each in panels])
    assert found[0]
    for alone, thrice in zip(*found, strict=True):
        assert thrice == pytest.approx(alone, abs=0.02), "panels are drawn by sample, so only about"


def test_split_groups_keeps_people_and_copies_of_an_audit_together():
    """Each person, and each pair of copies, has one number."""
    faces = replace(people(1), columns={"group": np.arange(COUNT) // 3})
    images = np.asarray(faces.images).copy()
    images[4] = images[70]
    faces = replace(faces, images=images)
    copies = find_copies(faces)
    groups = split_groups(faces.images, faces.groups, copies.groups)
    assert all(len(set(groups[faces.groups == each])) == 1 for each in range(COUNT // 3))
    assert groups[4] == groups[70]
    assert len(set(groups)) == COUNT // 3 - 1
    chances = np.random.default_rng(1).dirichlet(np.ones(3), COUNT)
    found = audit_faces(faces, copies, Predictions(faces.rows, faces.labels, chances, CLASSES, "out-of-fold", ""))
    np.testing.assert_array_equal(found.label_review.predictions.groups, faces.groups)
