import numpy as np
import pytest

from mien.base.labels import EXPRESSIONS
from mien.data.synthetic import EXPRESSION_PROPORTIONS, draw_labels, render_faces, synthetic_faces

FER2013_TRAINING_COUNTS = [3995, 436, 4097, 7215, 4830, 3171, 4965]


def test_synthetic_faces_repeat_for_equal_seeds():
    first, again, other = synthetic_faces(70, 5), synthetic_faces(70, 5), synthetic_faces(70, 6)
    assert first.fingerprint == again.fingerprint
    assert first.source.tolist() == again.source.tolist()
    assert not np.array_equal(first.labels, other.labels)
    assert not np.array_equal(render_faces(first.labels, 5), render_faces(first.labels, 6))


def test_render_faces_depends_on_seed_index_and_label_only():
    labels = draw_labels(60, 1)
    images = render_faces(labels, 1)
    assert np.array_equal(render_faces(labels[:31], 1), images[:31])
    changed = labels.copy()
    changed[30] = (changed[30] + 1) % 7
    assert np.flatnonzero((render_faces(changed, 1) != images).any(axis=(1, 2))).tolist() == [30]


def test_draw_labels_has_the_proportions_of_fer2013():
    total = sum(FER2013_TRAINING_COUNTS)
    assert pytest.approx([count / total for count in FER2013_TRAINING_COUNTS]) == EXPRESSION_PROPORTIONS
    labels = draw_labels(total, 0)
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == FER2013_TRAINING_COUNTS


def test_synthetic_faces_are_split_80_10_10_within_classes():
    """Oracle: largest remainder, so each class's share of a split is within one face of exact."""
    faces = synthetic_faces(1000, 4)
    assert faces.classes == EXPRESSIONS
    assert len(faces) == 1000
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert (np.abs(faces.counts(split) - share * faces.counts()) < 1).all()
    assert np.array_equal(faces.images, render_faces(faces.labels, 4))
    assert faces.source[17] == "synthetic seed 4 face 17"
    assert faces.rows.tolist() == list(range(1000))
