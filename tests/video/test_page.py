"""The page of a video."""

import re

import numpy as np
import pytest

from mien.base.labels import EXPRESSIONS, colour_of
from mien.faces.face import Box
from mien.inference.prediction import Prediction
from mien.video import page as timeline_page
from mien.video.page import expressions_plot, longest_tracks, timeline_html, tracks_plot
from mien.video.timeline import Timeline
from mien.video.tracker import TrackedFace, VideoFrame
from support import page_codes

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")


def timeline(tracks, count=40, classes=EXPRESSIONS, rate=10.0):
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


def test_the_annotated_video_is_played_where_there_is_one(charts):
    assert "<video" not in page(timeline(2))
    text = page(timeline(2), player="annotated.mp4")
    assert re.findall(r"<video[^>]*src=\"([^\"]*)\"", text) == ["annotated.mp4"]
    # Where time is in each chart, for the script that jumps to it.
    assert [box.split()[:2] for box in re.findall(r'data-box="([^"]*)"', text)] == [["0", "4"]] * 3


def test_names_from_outside_are_escaped():
    text = page(timeline(1, classes=("<b>a</b>", "b")), title="<script>x</script>.mp4", notes=["<i>note</i>"])
    assert "<script>x" not in text
    assert "<i>" not in text
    assert "<b>" not in text


def test_no_face_is_said():
    text = page(timeline(0))
    assert page_codes(text) == ["no-face"]
    assert page_codes(page(timeline(1))) == []
    assert "<svg" not in text


def test_a_crowd_shows_its_longest_and_names_the_file_of_all(monkeypatch):
    monkeypatch.setattr(timeline_page, "MOST_SHOWN", 4)
    made = timeline(9)
    assert [track.number for track in longest_tracks(made)] == [1, 2, 3, 4]
    text = page(made)
    (fewer,) = re.findall(r"<p[^>]*>([^<]*faces\.csv[^<]*)</p>", text)
    assert re.findall(r"\d+", fewer) == ["4", "9"]
    assert text.count("<svg") == 5


def test_the_bars_of_who_is_seen_are_as_long_as_they_are_seen():
    """Oracle: the rectangles in the figure itself, in data coordinates."""
    axes = tracks_plot(timeline(3, count=30), [1, 2, 3])._figure.axes[0]
    bars = [(bar.get_x(), bar.get_width(), bar.get_y()) for bar in axes.patches]
    assert bars == [pytest.approx((0.1 * n, 3.0 - 0.1 * n, n - 0.35)) for n in range(3)]


def test_bars_in_doubt_are_faint():
    """Oracle: by hand. The first second is unsure, of the same class as the rest."""
    made = Timeline(EXPRESSIONS, 0.1)
    square, size = np.zeros((48, 48), dtype=np.uint8), len(EXPRESSIONS)
    for number in range(30):
        scores = np.full(size, (0.6 if number < 10 else 0.2) / (size - 1))
        scores[3] = 1 - scores[1] * (size - 1)
        one = Prediction("clip", EXPRESSIONS, scores, Box(0, 0, 20, 20), square, perceived=True)
        made.add(VideoFrame(number, number / 10, np.zeros((2, 2, 3), dtype=np.uint8), [TrackedFace(1, one)]))
    bars = tracks_plot(made, [1])._figure.axes[0].patches
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [pytest.approx((0, 1)), pytest.approx((1, 2))]
    pale, full = (bar.get_facecolor() for bar in bars)
    assert pale[:3] == full[:3]
    assert pale[3] < 0.5 < full[3] == 1


def test_the_stack_ends_at_a_hundred_and_each_class_has_its_colour():
    made = timeline(1)
    areas = expressions_plot(made, 1)._figure.axes[0].collections
    assert len(areas) == 7
    tops = [area.get_paths()[0].vertices[:, 1].max() for area in areas]
    assert tops == pytest.approx(np.cumsum(100 * made.tracks[1].mean))
    assert [area.get_paths()[0].vertices[:, 1].min() for area in areas] == pytest.approx([0, *tops[:-1]])
    assert len({colour_of(name, index) for index, name in enumerate(EXPRESSIONS)}) == 7
    assert colour_of("my own", 8) == colour_of("another", 2)
