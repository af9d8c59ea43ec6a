"""The timeline of a video, against sums over all of its frames; and its page."""

import json
import re

import numpy as np
import pytest

from mien.base.labels import EXPRESSIONS, colour_of
from mien.faces.face import Box
from mien.inference.prediction import Prediction
from mien.video import timeline as timeline_module
from mien.video.timeline import HALF_ROW, MAX_STEPS, Timeline, expressions_plot, longest_tracks, timeline_html
from mien.video.tracker import TrackedFace, VideoFrame
from support import page_codes

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

CLASSES = ("sad", "happy", "neutral")


def face(track, row, classes=CLASSES, side=9, *, box=None, value=None, score=0.9, detected=True, perceived=False):
    """A face, whose crop has the grey of its side."""
    square = np.full((8, 8), side % 256 if value is None else value, dtype=np.uint8)
    box = Box(0, 0, side, side) if box is None else box
    one = Prediction("clip", classes, np.array(row), box, square, score, perceived=perceived)
    return TrackedFace(track, one, detected)


def made(frames, classes=CLASSES, side=2, **named):
    """A timeline of frames (seconds, faces)."""
    timeline = Timeline(classes, frame_seconds=0.04, **named)
    for number, (seconds, faces) in enumerate(frames):
        timeline.add(VideoFrame(number, seconds, np.zeros((side, side, 3), dtype=np.uint8), faces))
    return timeline


def test_track_summary_sums_up_its_frames():
    second = [face(1, [0.4, 0.5, 0.1], side=40), face(2, [0.1, 0.1, 0.8])]
    first, last = face(1, [0.2, 0.7, 0.1], side=20), face(1, [0.9, 0.0, 0.1], side=30)
    timeline = made([(0.0, [first]), (0.5, second), (1.0, [last])])
    track = timeline.tracks[1]
    assert (track.first_seconds, track.last_seconds, track.frames, track.answer) == (0.0, 1.0, [0, 1, 2], "happy")
    assert track.mean == pytest.approx([0.5, 0.4, 0.1])
    assert (dict(track.frames_by_answer), track.crop[0, 0]) == ({"happy": 2, "sad": 1}, 40)
    assert (timeline.tracks[2].frames, timeline.frames, timeline.end_seconds) == ([1], 3, 1.04)
    # Oracle: by hand. In order: cut off by the border, blurred, the best, small, and followed without a detector.
    looks = [
        (Box(0, 5, 55, 60), 0.9, True), (Box(20, 20, 50, 50), 0.5, True), (Box(20, 20, 40, 40), 0.9, True),
        (Box(20, 20, 30, 30), 0.99, True), (Box(20, 20, 50, 50), 0.99, False),
    ]  # fmt: skip
    faces = [
        face(1, [0.2, 0.7, 0.1], box=box, value=number, score=score, detected=detected)
        for number, (box, score, detected) in enumerate(looks)
    ]
    for count in range(1, 6):
        timeline = made([(number / 10, [each]) for number, each in enumerate(faces[:count])], side=80)
        assert timeline.tracks[1].crop[0, 0] == min(count - 1, 2)


def test_tracks_of_one_frame_and_those_that_the_model_refuses_are_dropped():
    """Oracle: by hand. Track 2 is in one frame, and track 3 is no face to the model."""
    classes = ("sad", "happy", "not-a-face")
    scores = {1: ([0.6, 0.3, 0.1], [0.4, 0.3, 0.3]), 2: ([0.6, 0.3, 0.1],), 3: ([0.1, 0.2, 0.7],) * 2}
    frames = [
        [face(track, rows[number], classes, perceived=True) for track, rows in scores.items() if number < len(rows)]
        for number in range(2)
    ]
    timeline = made([(0.04 * number, faces) for number, faces in enumerate(frames)], classes)
    assert [sum(track.doubts) for track in timeline.tracks.values()] == [1, 0, 0]
    assert (timeline.drop_false_faces(), list(timeline.tracks)) == ([2, 3], [1])
    # Oracle: by hand. Of scores from 0.4 to 1, those below 0.67 are weak. Tracks 1 and 3 are mostly unsure.
    unsure, sad = [0.4, 0.3, 0.3], [0.8, 0.1, 0.1]
    tracks = {1: (0.66, (unsure, unsure, sad)), 2: (0.66, (unsure, sad, sad)), 3: (0.68, (unsure, unsure, unsure))}
    frames = [
        (
            0.04 * number,
            [face(track, rows[number], score=score, perceived=True) for track, (score, rows) in tracks.items()],
        )
        for number in range(3)
    ]
    assert made(frames, score_range=(0.4, 1.0)).drop_false_faces() == [1]


@pytest.mark.parametrize("seconds", [0.0, 3.2])
def test_single_frame_lasts_as_long_as_the_rate_says(seconds):
    ((edges, *_),) = made([(seconds, [face(1, [0.2, 0.7, 0.1])])]).runs(1)
    assert edges.tolist() == pytest.approx([seconds, seconds + 0.04])


@pytest.mark.parametrize("count", [1, 7, MAX_STEPS, MAX_STEPS + 1, 5 * MAX_STEPS + 3])
def test_steps_are_means_of_equally_many_frames(count):
    """Oracle: the means of slices of all scores."""
    scores = 0.4 * np.random.default_rng(0).dirichlet(np.ones(3), count) + [0.0, 0.6, 0.0]
    times = np.cumsum(np.random.default_rng(1).uniform(0.01, 0.5, count))
    timeline = made([(float(at), [face(1, row)]) for at, row in zip(times, scores, strict=True)])
    ((edges, shares, _),) = timeline.runs(1)
    length = -(-count // MAX_STEPS)
    assert shares == pytest.approx(np.array([scores[at : at + length].mean(axis=0) for at in range(0, count, length)]))
    assert (edges[:-1], edges[-1]) == (pytest.approx(times[::length]), timeline.end_seconds)
    assert len(shares) <= MAX_STEPS


def test_face_that_is_away_for_a_while_has_two_runs():
    seen = [face(1, [1.0, 0.0, 0.0])]
    runs = made([(0.1 * n, seen if n < 4 or n > 6 else []) for n in range(10)]).runs(1)
    times = ([0.0, 0.1, 0.2, 0.3, 0.4], [0.7, 0.8, 0.9, 0.94])
    assert [edges.tolist() for edges, *_ in runs] == [*map(pytest.approx, times)]
    # Oracle: by hand; steps of four frames keep the majority of what they hold.
    rows = [[0.4, 0.3, 0.3]] * 3 * MAX_STEPS + [[0.8, 0.1, 0.1]] * MAX_STEPS
    timeline = made([(float(number), [face(1, row, perceived=True)]) for number, row in enumerate(rows)])
    runs = [(run.in_doubt, len(run.means), run.edges[0]) for run in timeline.runs(1)]
    assert runs == [(True, 3 * MAX_STEPS // 4, 0), (False, MAX_STEPS // 4, 3 * MAX_STEPS)]
    # By hand: each class has its limit, a gap ends an alarm, and they come by time.
    happy, sad, none = face(2, [0.1, 0.8, 0.1]), face(1, [0.6, 0.3, 0.1]), face(1, [0.4, 0.5, 0.1])
    timeline = made([(0.0, [none, happy]), (0.5, [sad]), (1.0, [sad, happy]), (1.5, [none])])
    alarms = [tuple(alarm.values()) for alarm in timeline.alarms({"happy": 0.7, "sad": 0.55})]
    assert alarms == [(2, "happy", 0.0, 0.0), (1, "sad", 0.5, 1.0), (2, "happy", 1.0, 1.0)]


def video_of(tracks, count=40, classes=EXPRESSIONS, rate=10.0):
    """Track number n is seen from frame n on; each reads another class."""
    made, size = Timeline(classes, 1 / rate), len(classes)
    square = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    for number in range(count):
        faces = []
        for track in range(1, tracks + 1):
            if number >= track - 1:
                scores = np.full(size, 0.4 / (size - 1))
                scores[track % size] = 0.6
                prediction = Prediction("clip", classes, scores, Box(0, 0, 20, 20), square, track / 4)
                faces.append(TrackedFace(track, prediction))
        made.add(VideoFrame(number, number / rate, np.zeros((2, 2, 3), dtype=np.uint8), faces))
    return made


def page(made, **changes):
    words = {"title": "clip.mp4", "lead": "40 frames.", "notes": [], "metadata": {"model": "m"}}
    return timeline_html(made, **{**words, **changes})


def test_page_plays_the_annotated_video_if_there_is_one(charts):
    assert "<video" not in page(video_of(2))
    text = page(video_of(2), player="annotated.mp4")
    assert re.findall(r"<video[^>]*src=\"([^\"]*)\"", text) == ["annotated.mp4"]
    # Where time is in each chart, for the script that jumps to it.
    boxes = [json.loads(curves)["panels"][0]["box"] for curves in re.findall(r"data-curves='([^']*)'", text)]
    assert [box[:2] for box in boxes] == [[0, 4]]


def test_page_escapes_names():
    text = page(video_of(1, classes=("<b>a</b>", "b")), title="<script>x</script>.mp4", notes=["<i>note</i>"])
    for words in ("<script>x", "<i>", "<b>"):
        assert words not in text
    text = page(video_of(0))
    assert (page_codes(text), page_codes(page(video_of(1)))) == (["no-face"], [])
    assert "<svg" not in text


def test_page_shows_the_longest_of_a_crowd_and_names_the_table_of_all(monkeypatch):
    monkeypatch.setattr(timeline_module, "MAX_SHOWN", 4)
    made = video_of(9)
    assert [track.number for track in longest_tracks(made)] == [1, 2, 3, 4]
    text = page(made)
    (fewer,) = re.findall(r"<p[^>]*>([^<]*faces\.csv[^<]*)</p>", text)
    assert (re.findall(r"\d+", fewer), text.count("<svg"), text.count("<img")) == (["4", "9"], 1, 4)


def test_rows_show_stacked_probabilities_while_their_face_is_visible():
    """Oracle: the areas in the figure itself, in data coordinates; row n begins at 0.1 n s."""
    made = video_of(3, count=30)
    areas = expressions_plot(made, [1, 2, 3]).figure.axes[0].collections
    assert len(areas) == 3 * len(EXPRESSIONS)
    for row in range(3):
        corners = [area.get_paths()[0].vertices for area in areas[7 * row : 7 * row + 7]]
        assert [(points[:, 0].min(), points[:, 0].max()) for points in corners] == [pytest.approx((0.1 * row, 3.0))] * 7
        heights = [points[:, 1].max() - points[:, 1].min() for points in corners]
        assert heights == pytest.approx(2 * HALF_ROW * made.tracks[row + 1].mean)
        assert np.concatenate(corners)[:, 1].min() == pytest.approx(row - HALF_ROW)
    assert len({colour_of(name, index) for index, name in enumerate(EXPRESSIONS)}) == 7
    # Oracle: by hand. The first second is unsure, of the same class as the rest.
    made = Timeline(EXPRESSIONS, 0.1)
    square, size = np.zeros((48, 48), dtype=np.uint8), len(EXPRESSIONS)
    for number in range(30):
        scores = np.full(size, (0.6 if number < 10 else 0.2) / (size - 1))
        scores[3] = 1 - scores[1] * (size - 1)
        one = Prediction("clip", EXPRESSIONS, scores, Box(0, 0, 20, 20), square, 0.9, perceived=True)
        made.add(VideoFrame(number, number / 10, np.zeros((2, 2, 3), dtype=np.uint8), [TrackedFace(1, one)]))
    areas = expressions_plot(made, [1]).figure.axes[0].collections
    assert [area.get_paths()[0].vertices[:, 0].max() for area in areas] == pytest.approx([1.0] * 7 + [3.0] * 7)
    assert [area.get_facecolor()[0, 3] for area in areas] == [0.3] * 7 + [1.0] * 7
