from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS
from mien.data.synthetic import EXPRESSION_PROPORTIONS, draw_labels, render_faces, synthetic_faces
from support import raises

FER2013_TRAINING_COUNTS = [3995, 436, 4097, 7215, 4830, 3171, 4965]


def test_same_count_and_seed_give_identical_bytes_and_another_seed_does_not() -> None:
    first, again, other = synthetic_faces(70, 5), synthetic_faces(70, 5), synthetic_faces(70, 6)
    assert first.fingerprint == again.fingerprint
    assert first.source.tolist() == again.source.tolist()
    assert not np.array_equal(first.labels, other.labels)
    assert not np.array_equal(render_faces(first.labels, 5), render_faces(first.labels, 6))


@pytest.mark.parametrize("chunk_faces", [1, 7, 50, 200])
def test_bytes_match_rendering_in_chunks_of_another_size(chunk_faces: int, monkeypatch) -> None:
    labels = draw_labels(101, 3)
    usual = render_faces(labels, 3)
    monkeypatch.setattr("mien.data.synthetic._CHUNK_FACES", chunk_faces)
    assert np.array_equal(render_faces(labels, 3), usual)


def test_a_face_depends_on_seed_position_and_label_alone() -> None:
    labels = draw_labels(60, 1)
    images = render_faces(labels, 1)
    assert np.array_equal(render_faces(labels[:31], 1), images[:31])
    changed = labels.copy()
    changed[30] = (changed[30] + 1) % 7
    differs = (render_faces(changed, 1) != images).any(axis=(1, 2))
    assert np.flatnonzero(differs).tolist() == [30]


def test_proportions_are_fer2013s_and_at_its_size_the_counts_too() -> None:
    total = sum(FER2013_TRAINING_COUNTS)
    assert pytest.approx([count / total for count in FER2013_TRAINING_COUNTS]) == EXPRESSION_PROPORTIONS
    labels = draw_labels(total, 0)
    assert labels.dtype == np.int64
    assert np.bincount(labels).tolist() == FER2013_TRAINING_COUNTS


@pytest.mark.parametrize("count", [7, 8, 13, 50, 101, 999])
def test_each_count_is_within_one_of_its_exact_share_except_for_the_one_face_that_each_class_has(count: int) -> None:
    counts = np.bincount(draw_labels(count, 2), minlength=7)
    assert counts.sum() == count
    assert counts.min() >= 1
    exact = count * np.array(FER2013_TRAINING_COUNTS) / sum(FER2013_TRAINING_COUNTS)
    assert (np.abs(counts - exact) < 1 + (exact < 1).any()).all()


def test_faces_are_grey_bytes_that_use_the_range_and_are_all_different() -> None:
    images = render_faces(draw_labels(300, 0), 0)
    assert images.dtype == np.uint8
    assert images.shape == (300, 48, 48)
    assert images.min() == 0
    assert images.max() == 255
    # A wrapped overflow would put black specks into white and raise this; photographs in FER2013 stay near 0.
    assert np.mean((images == 0) | (images == 255)) < 0.08
    assert images.std(axis=(1, 2)).min() > 5  # no blank image
    assert len(np.unique(images.reshape(300, -1), axis=0)) == 300


# Where the Facial Action Coding System puts each expression's main action units, on an upright 48x48 face.
BROWS, EYES, NOSE, MOUTH = slice(8, 18), slice(15, 24), slice(20, 31), slice(30, 44)


@pytest.mark.parametrize(
    ("expression", "rows"),
    [
        ("angry", BROWS),
        ("disgust", NOSE),
        ("fear", EYES),
        ("fear", MOUTH),
        ("happy", MOUTH),
        ("sad", BROWS),
        ("sad", MOUTH),
        ("surprise", BROWS),
        ("surprise", EYES),
        ("surprise", MOUTH),
    ],
)
def test_expression_differs_from_neutral_in_the_region_of_its_action_units(expression: str, rows: slice) -> None:
    """Oracle: the same people drawn neutral; the image's border, which no expression moves, is the yardstick."""
    change = np.abs(drawn_as(expression) - drawn_as("neutral")).mean(axis=0)
    border = np.concatenate([change[:3].ravel(), change[:, :3].ravel(), change[:, -3:].ravel()]).mean()
    assert change[rows, 10:38].mean() > max(5 * border, 2.5)


def test_face_set_is_split_80_10_10_within_each_class() -> None:
    """Oracle: largest remainder, so each class's share of a split is within one face of exact."""
    faces = synthetic_faces(1000, 4)
    assert faces.classes == EXPRESSIONS
    assert len(faces) == 1000
    for split, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert (np.abs(faces.counts(split) - share * faces.counts()) < 1).all()
    assert np.array_equal(faces.images, render_faces(faces.labels, 4))
    assert faces.source[17] == "synthetic seed 4 face 17"
    assert faces.rows.tolist() == list(range(1000))


@pytest.mark.parametrize("count", [6, 0, -1])
def test_too_few_faces_are_a_data_error(count: int) -> None:
    with raises(DataError, "count-too-small", 7, count):
        synthetic_faces(count)
    with raises(DataError, "count-too-small", 7, count):
        draw_labels(count, 0)


def test_a_negative_seed_is_a_data_error() -> None:
    with raises(DataError, "seed-range", -1):
        synthetic_faces(7, seed=-1)


def drawn_as(expression: str) -> npt.NDArray[np.float64]:
    """The same 200 people, in the same pose and light, with this expression."""
    return render_faces(np.full(200, EXPRESSIONS.index(expression)), 9).astype(np.float64)
