"""What is kept of a video, against sums over all of its frames."""

import numpy as np
import pytest

from mien.faces.face import Box
from mien.inference import timeline as timeline_module
from mien.inference.readings import Reading
from mien.inference.timeline import MOST_STEPS, Timeline
from mien.inference.video import TrackedReading, VideoFrame

CLASSES = ("sad", "happy", "neutral")


def frame(number, seconds, faces):
    """Of faces as {track: (scores, side of the box)}."""
    tracked = []
    for track, (scores, side) in faces.items():
        square = np.full((8, 8), side % 256, dtype=np.uint8)
        reading = Reading("clip", CLASSES, np.array(scores), None, Box(0, 0, side, side), square)
        tracked.append(TrackedReading(track, reading, reading))
    return VideoFrame(number, number, seconds, np.zeros((2, 2, 3), dtype=np.uint8), tracked)


def made(frames):
    timeline = Timeline(CLASSES, frame_seconds=0.04)
    for number, (seconds, faces) in enumerate(frames):
        timeline.add(frame(number, seconds, faces))
    return timeline


def test_a_track_is_summed_up():
    timeline = made(
        [
            (0.0, {1: ([0.2, 0.7, 0.1], 20)}),
            (0.5, {1: ([0.4, 0.5, 0.1], 40), 2: ([0.1, 0.1, 0.8], 9)}),
            (1.0, {1: ([0.9, 0.0, 0.1], 30)}),
        ]
    )
    track = timeline.tracks[1]
    assert (track.first_seconds, track.last_seconds, track.frames, track.top) == (0.0, 1.0, 3, "happy")
    assert track.mean == pytest.approx([0.5, 0.4, 0.1])
    assert dict(track.read_as) == {"happy": 2, "sad": 1}
    assert track.face[0, 0] == 40
    assert timeline.tracks[2].frames == 1
    assert (timeline.frames, timeline.end_seconds) == (3, 1.5)


@pytest.mark.parametrize("seconds", [0.0, 3.2])
def test_the_only_frame_is_shown_as_long_as_the_rate_says(seconds):
    timeline = made([(seconds, {1: ([0.2, 0.7, 0.1], 20)})])
    ((edges, _),) = timeline.runs(1)
    assert edges.tolist() == pytest.approx([seconds, seconds + 0.04])


@pytest.mark.parametrize("count", [1, 7, MOST_STEPS, MOST_STEPS + 1, 5 * MOST_STEPS + 3])
def test_steps_are_means_of_equally_many_frames(count):
    """Oracle: the means of slices of all scores."""
    scores = np.random.default_rng(0).dirichlet(np.ones(3), count)
    times = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.5, count))
    timeline = made([(float(at), {1: (row, 10)}) for at, row in zip(times, scores, strict=True)])
    ((edges, shares),) = timeline.runs(1)
    length = 1
    while count > MOST_STEPS * length:
        length *= 2
    assert shares == pytest.approx(np.array([scores[at : at + length].mean(axis=0) for at in range(0, count, length)]))
    assert edges[:-1] == pytest.approx(times[::length])
    assert edges[-1] == timeline.end_seconds
    assert len(shares) <= MOST_STEPS


def test_a_face_that_is_away_for_a_while_has_two_runs():
    seen = {1: ([1.0, 0.0, 0.0], 10)}
    timeline = made([(0.1 * n, seen if n < 4 or n > 6 else {}) for n in range(10)])
    runs = timeline.runs(1)
    assert [edges.tolist() for edges, _ in runs] == [
        pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4]),
        pytest.approx([0.7, 0.8, 0.9, 1.0]),
    ]


def test_a_video_however_long_is_kept_in_the_same_room(monkeypatch):
    monkeypatch.setattr(timeline_module, "MOST_STEPS", 8)
    timeline = made([(n / 30, {1: ([1.0, 0.0, 0.0], 10)}) for n in range(5000)])
    assert len(timeline.tracks[1].steps) <= 8
    assert len(timeline.starts_seconds) <= 8
    assert sum(count for count, _ in timeline.tracks[1].steps.values()) == 5000
