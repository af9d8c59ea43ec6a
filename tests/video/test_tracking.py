"""Boxes joined to tracks, on sequences made by hand; smoothing against its closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.faces.face import Box, Face
from mien.video.tracking import PATIENCE_SECONDS, IouTracker, Track, between


def at(left, top=100, size=60):
    return Face(Box(left, top, size, size), 1.0, {"nose": (left + size / 2, top + size / 2)})


def update(tracker, seconds, *lefts):
    """The number of each face's track."""
    return [track.number for track in tracker.update(seconds, [at(left) for left in lefts])]


def numbers(tracks):
    return [track.number for track in tracks]


def test_tracks_keep_their_numbers_in_any_order_of_detection():
    tracker, shuffle = IouTracker(), np.random.default_rng(0)
    starts = [(100 * (face % 5), 100 * (face // 5)) for face in range(20)]
    assert numbers(tracker.update(0, [at(*start) for start in starts])) == list(range(1, 21))
    for step in range(1, 10):
        order = shuffle.permutation(20)
        faces = [at(starts[face][0] + 4 * step, starts[face][1] - 3 * step) for face in order]
        assert numbers(tracker.update(0.1 * step, faces)) == [face + 1 for face in order]


def test_track_survives_missed_detections_within_its_patience():
    tracker = IouTracker()
    update(tracker, 0, 0)
    for seconds in (0.3, 0.6, 0.9):
        update(tracker, seconds)
        assert (numbers(tracker.visible), numbers(tracker.tracks)) == ([], [1])
    assert update(tracker, 1.0, 10) == [1]
    # Patience begins again with each detection.
    assert update(tracker, 1.0 + PATIENCE_SECONDS, 20) == [1]


@pytest.mark.parametrize("gap", [0.6, 1.2, 5])
def test_track_ends_after_its_patience_and_never_between_two_detections(gap):
    tracker = IouTracker()
    for step in range(5):
        assert update(tracker, gap * step, 5 * step) == [1]
    missed = gap * 5
    update(tracker, missed)
    assert update(tracker, missed + 0.9 * PATIENCE_SECONDS, 25) == [1]
    update(tracker, missed + 2)
    assert update(tracker, missed + 2.1 + PATIENCE_SECONDS, 25) == [2]
    assert numbers(tracker.tracks) == [2]


def test_track_follows_a_steady_motion_further_than_its_boxes_overlap():
    """Oracle: steps of 50 px of a face 60 px wide, whose boxes overlap by a tenth; and a box that jumps is another."""
    tracker = IouTracker()
    assert [update(tracker, 0.1 * step, left) for step, left in enumerate((0, 30, 70, 120, 170))] == [[1]] * 5
    assert update(tracker, 0.6, 400) == [2]


def test_extrapolation_is_linear_and_ends_after_the_last_step():
    """Oracle: 20 px in 0.1 s, by hand."""
    tracker = IouTracker()
    update(tracker, 0, 0)
    (track,) = tracker.update(0.1, [at(20)])
    assert [track.at(seconds).box.left for seconds in (0.1, 0.15, 0.2, 0.9)] == [20, 30, 40, 40]
    assert track.at(0.2).landmarks == {"nose": (70, 130)}


def test_interpolation_moves_box_and_landmarks_and_keeps_the_first_score():
    first, last = Face(Box(0, 0, 10, 20), 0.9, {"nose": (5, 5)}), Face(Box(40, 20, 30, 40), 0.5, {"nose": (45.0, 25.0)})
    assert between(first, last, 0.25) == Face(Box(10, 5, 15, 25), 0.9, {"nose": (15.0, 10.0)})


@given(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=12), st.floats(0.05, 1.0))
def test_smoothing_does_not_depend_on_the_frame_rate(gaps, half_life):
    """Oracle: the closed form of a step from 0 to 1: 1 - 2 ** (-t / half-life) at any time."""
    track = Track(1, at(0))
    assert track.smoothed(5.0, np.array([0.0, 1.0]), half_life) == pytest.approx([0.0, 1.0])
    seconds = 5.0
    for gap in gaps:
        seconds += gap
        risen = 1 - 2 ** (-(seconds - 5.0) / half_life)
        assert track.smoothed(seconds, np.array([1.0, 0.0]), half_life) == pytest.approx([risen, 1 - risen])
