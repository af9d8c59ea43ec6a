from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from mien.data.synthetic import (
    EXPRESSION_PROPORTIONS,
    draw_labels,
    render_chunks,
    render_faces,
    synthetic_faces,
)
from mien.errors import DataError
from mien.labels import EXPRESSIONS
from support import raises

FER2013_TRAINING_COUNTS = [3995, 436, 4097, 7215, 4830, 3171, 4965]


def test_same_count_and_seed_give_identical_bytes_and_another_seed_does_not() -> None:
    first, again, other = synthetic_faces(70, 5), synthetic_faces(70, 5), synthetic_faces(70, 6)
    assert first.fingerprint == again.fingerprint
    assert first.source.tolist() == again.source.tolist()
    assert not np.array_equal(first.labels, other.labels)
    assert not np.array_equal(render_faces(first.labels, 5), render_faces(first.labels, 6))


@pytest.mark.parametrize("chunk_faces", [1, 7, 50, 200])
def test_bytes_match_rendering_in_chunks_of_another_size(chunk_faces: int) -> None:
    labels = draw_labels(101, 3)
    assert np.array_equal(
        np.concatenate(list(render_chunks(labels, 3, chunk_faces=chunk_faces))), render_faces(labels, 3)
    )


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


def test_order_of_labels_is_shuffled() -> None:
    """Oracle: in random order neighbours agree with probability sum(p^2), sorted they nearly always do."""
    labels = draw_labels(5000, 0)
    expected = sum(share**2 for share in EXPRESSION_PROPORTIONS)
    assert np.mean(labels[1:] == labels[:-1]) == pytest.approx(expected, abs=0.03)


def test_faces_are_grey_bytes_that_use_the_range_and_are_all_different() -> None:
    images = render_faces(draw_labels(300, 0), 0)
    assert images.dtype == np.uint8
    assert images.shape == (300, 48, 48)
    assert images.min() == 0
    assert images.max() == 255
    # A wrapped overflow would put black specks into white and raise this; photographs in FER2013 stay near 0.
    assert np.mean((images == 0) | (images == 255)) < 0.08
    assert images.std(axis=(1, 2)).min() > 5  # no blank picture
    assert len(np.unique(images.reshape(300, -1), axis=0)) == 300


def test_no_wrapped_bytes_beside_saturated_ones() -> None:
    """Oracle: blur leaves neighbours close, so white beside black comes from overflow alone."""
    images = render_faces(draw_labels(300, 0), 0).astype(np.int64)
    assert np.abs(np.diff(images, axis=2)).max() < 225


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
    """Oracle: the same people drawn neutral; the picture's border, which no expression moves, is the yardstick."""
    change = np.abs(drawn_as(expression) - drawn_as("neutral")).mean(axis=0)
    border = np.concatenate([change[:3].ravel(), change[:, :3].ravel(), change[:, -3:].ravel()]).mean()
    assert change[rows, 10:38].mean() > max(5 * border, 2.5)


def test_surprise_opens_a_dark_mouth_and_happiness_lifts_its_corners() -> None:
    """Oracle: the meaning of AU26 (jaw drop) and AU12 (lip corner puller), as mean grey levels against neutral."""
    neutral = drawn_as("neutral").mean(axis=0)
    surprise = drawn_as("surprise").mean(axis=0) - neutral
    assert surprise[37:42, 21:27].mean() < -10
    for expression, sign in (("happy", -1), ("sad", 1)):  # raised corners darken the rows above the lips' middle
        change = drawn_as(expression).mean(axis=0) - neutral
        corners = np.r_[14:18, 30:34]
        assert sign * (change[32:35][:, corners].mean() - change[38:41][:, corners].mean()) > 2


def test_brows_move_and_nose_wrinkles_as_the_action_units_say() -> None:
    """Oracle: AU1 raises the inner brow (sad), AU2 the outer (surprise), AU4 lowers both (angry), AU9 wrinkles.

    A brow that rises darkens the rows above its neutral place and clears those below.
    """
    neutral = drawn_as("neutral").mean(axis=0)

    def rise(expression: str, columns: npt.NDArray[np.int64]) -> float:
        change = drawn_as(expression).mean(axis=0) - neutral
        return float(change[13:17][:, columns].mean() - change[8:12][:, columns].mean())

    inner, outer = np.r_[18:22, 26:30], np.r_[9:13, 35:39]
    assert rise("sad", inner) > 1.5
    assert rise("surprise", outer) > 4
    assert rise("angry", inner) < -6
    assert (drawn_as("disgust").mean(axis=0) - neutral)[17:23, 20:28].mean() < -8


def test_linear_model_stays_well_below_orientation_histograms_and_both_far_above_chance() -> None:
    """Oracle: on photographs, too, histograms of gradients beat pixels by far; chance is the largest class, 25 %.

    Bands around what was measured: 2,400 faces to learn from and 600 to score give 0.48 and 0.66.
    """
    labels = draw_labels(3000, 0)
    images = render_faces(labels, 0).astype(np.float32)
    halved = images.reshape(-1, 24, 2, 24, 2).mean(axis=(2, 4)).reshape(len(images), -1)
    linear = held_out_accuracy(halved, labels)
    assert 0.40 < linear < 0.56
    assert linear + 0.08 < held_out_accuracy(orientation_histograms(images), labels) < 0.75


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


def test_from_29_faces_on_no_split_is_empty() -> None:
    for count in (29, 30, 37, 44, 59):
        assert set(synthetic_faces(count, 0).split) == {"train", "validation", "test"}


@pytest.mark.parametrize("count", [6, 0, -1])
def test_too_few_faces_are_a_data_error(count: int) -> None:
    with raises(DataError, "count-too-small", 7, count):
        synthetic_faces(count)
    with raises(DataError, "count-too-small", 7, count):
        draw_labels(count, 0)


def test_negative_seed_is_a_data_error() -> None:
    for call in (lambda: draw_labels(7, -1), lambda: render_faces(np.arange(7), -1), lambda: synthetic_faces(7, -1)):
        with raises(DataError, "seed-range", -1):
            call()


@pytest.mark.parametrize(
    ("labels", "code", "named"),
    [
        (np.array([0, 7]), "label-range", "0..7"),
        (np.array([-1, 3]), "label-range", "-1..3"),
        (np.array([[0, 1]]), "label-type", "(1, 2)"),
        (np.array([0.0, 1.0]), "label-type", "float64"),
    ],
)
def test_unusable_labels_are_a_data_error(labels: npt.NDArray[Any], code: str, named: str) -> None:
    with raises(DataError, code, named):
        render_faces(labels, 0)


def test_no_labels_give_no_faces() -> None:
    assert render_faces(np.array([], dtype=np.int64), 0).shape == (0, 48, 48)


def drawn_as(expression: str) -> npt.NDArray[np.float64]:
    """The same 200 people, in the same pose and light, with this expression."""
    return render_faces(np.full(200, EXPRESSIONS.index(expression)), 9).astype(np.float64)


def orientation_histograms(images: npt.NDArray[np.float32]) -> npt.NDArray[Any]:
    """Mean gradient in 8 directions in each of 12 x 12 cells, scaled by the picture's contrast: (N, 1152)."""
    down, right = np.gradient(images, axis=(1, 2))
    angles = np.arange(8) * np.pi / 4
    parts = [np.maximum(right * np.float32(np.cos(a)) + down * np.float32(np.sin(a)), 0) for a in angles]
    cells = np.stack([part.reshape(-1, 12, 4, 12, 4).mean(axis=(2, 4)) for part in parts], axis=1)
    cells = cells.reshape(len(images), -1)
    return np.sqrt(cells / cells.mean(axis=1, keepdims=True))


def held_out_accuracy(features: npt.NDArray[Any], labels: npt.NDArray[np.int64]) -> float:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000, tol=1e-3))
    with threadpool_limits(1):  # on a busy machine more threads took four times as long
        model.fit(features[:2400], labels[:2400])
    return float(model.score(features[2400:], labels[2400:]))
