"""Boxes joined to tracks, on sequences made by hand; smoothing against its closed form."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.faces.face import Box
from mien.video.tracking import PATIENCE_SECONDS, BoxTracker, Track


def at(left, top=100, size=60):
    return Box(left, top, size, size)


def detected(tracker, seconds, boxes):
    """The number of each box's track."""
    return [track.number for track in tracker.detected(seconds, boxes)]


def numbers(tracks):
    return [track.number for track in tracks]


def test_twenty_faces_keep_their_numbers_whatever_order_the_detector_gives_them_in():
    tracker, shuffle = BoxTracker(), np.random.default_rng(0)
    places = [(100 * (face % 5), 100 * (face // 5)) for face in range(20)]
    assert detected(tracker, 0, [at(*place) for place in places]) == list(range(1, 21))
    for step in range(1, 10):
        order = shuffle.permutation(20)
        boxes = [at(places[face][0] + 4 * step, places[face][1] - 3 * step) for face in order]
        assert detected(tracker, 0.1 * step, boxes) == [face + 1 for face in order]
    assert len(tracker.visible) == 20


def test_a_face_that_is_overlooked_for_a_while_keeps_its_track():
    tracker = BoxTracker()
    tracker.detected(0, [at(0)])
    for seconds in (0.3, 0.6, 0.9):
        tracker.detected(seconds, [])
        assert numbers(tracker.visible) == [1]
    assert detected(tracker, 1.0, [at(10)]) == [1]
    # Patience begins again with each detection.
    assert detected(tracker, 1.0 + PATIENCE_SECONDS, [at(20)]) == [1]


def test_a_face_that_stays_away_comes_back_as_another():
    tracker = BoxTracker()
    tracker.detected(0, [at(0)])
    tracker.detected(0.5, [])
    assert numbers(tracker.tracks) == [1]
    tracker.detected(0.51 + PATIENCE_SECONDS, [])
    assert numbers(tracker.tracks) == []
    assert detected(tracker, 0.6 + PATIENCE_SECONDS, [at(0)]) == [2]
    assert numbers(tracker.tracks) == [2]


@pytest.mark.parametrize("seconds", [1.2, 2, 5])
def test_patience_never_ends_between_two_detections(seconds):
    """However far apart they are: a face is given up where it was looked for in vain, twice or more."""
    tracker = BoxTracker()
    for step in range(5):
        assert detected(tracker, seconds * step, [at(5 * step)]) == [1]
    tracker.detected(seconds * 5, [])
    assert numbers(tracker.visible) == [1]
    assert detected(tracker, seconds * 6, [at(30)]) == [1]
    tracker.detected(seconds * 7, [])
    tracker.detected(seconds * 8, [])
    assert tracker.tracks == []


def test_a_face_lost_from_sight_is_not_seen_but_found_again():
    tracker = BoxTracker()
    tracker.detected(0, [at(0), at(300)])
    first, second = tracker.tracks
    first.lost, second.box = True, at(310)
    assert [(track.number, track.box) for track in tracker.visible] == [(2, at(310))]
    assert detected(tracker, 0.5, [at(6), at(312)]) == [1, 2]
    assert numbers(tracker.visible) == [1, 2]
    first.lost = True
    assert [detected(tracker, 1, [at(312)]), detected(tracker, 9, [at(6), at(312)])] == [[2], [3, 2]]


def test_followed_boxes_carry_a_track_further_than_overlap_could():
    """A face that moves by five times its width between two detections."""
    tracker = BoxTracker()
    (track,) = tracker.detected(0, [at(0)])
    for step in range(1, 31):
        track.box = at(10 * step)
    assert detected(tracker, 1.0, [at(300)]) == [1]
    blind = BoxTracker()
    blind.detected(0, [at(0)])
    assert detected(blind, 1.0, [at(300)]) == [2]


def test_a_face_that_hides_another_does_not_become_two():
    tracker = BoxTracker()
    _, second = tracker.detected(0, [at(0), at(100)])
    # The second face passes before the first: the matcher of the first slides onto it.
    second.box = at(8)
    assert detected(tracker, 0.2, [at(8)]) == [2]
    assert numbers(tracker.visible) == [2]
    # It steps aside, and the first is there again.
    second.box = at(55)
    assert detected(tracker, 0.4, [at(60), at(0)]) == [2, 1]


@given(st.lists(st.floats(0.001, 2.0), min_size=1, max_size=12), st.floats(0.05, 1.0))
def test_smoothing_does_not_hang_on_the_rate_of_frames(gaps, half_life):
    """Oracle: the closed form of a step from 0 to 1: 1 - 2 ** (-t / half-life) at whatever times it is looked at."""
    track = Track(1, at(0))
    assert track.smoothed(5.0, np.array([0.0, 1.0]), half_life) == pytest.approx([0.0, 1.0])
    seconds = 5.0
    for gap in gaps:
        seconds += gap
        risen = 1 - 2 ** (-(seconds - 5.0) / half_life)
        assert track.smoothed(seconds, np.array([1.0, 0.0]), half_life) == pytest.approx([risen, 1 - risen])
