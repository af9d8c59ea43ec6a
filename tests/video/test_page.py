"""The page of a video."""

import json
import re

import numpy as np
import pytest

from mien.base.labels import EXPRESSIONS, colour_of
from mien.faces.face import Box
from mien.inference.prediction import Prediction
from mien.video import page as timeline_page
from mien.video.page import HALF_ROW, expressions_plot, longest_tracks, timeline_html
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


def test_page_plays_the_annotated_video_if_there_is_one(charts):
    assert "<video" not in page(timeline(2))
    text = page(timeline(2), player="annotated.mp4")
    assert re.findall(r"<video[^>]*src=\"([^\"]*)\"", text) == ["annotated.mp4"]
    # Where time is in each chart, for the script that jumps to it.
    boxes = [json.loads(curves)["panels"][0]["box"] for curves in re.findall(r"data-curves='([^']*)'", text)]
    assert [box[:2] for box in boxes] == [[0, 4]]


def test_page_escapes_names():
    text = page(timeline(1, classes=("<b>a</b>", "b")), title="<script>x</script>.mp4", notes=["<i>note</i>"])
    assert "<script>x" not in text
    assert "<i>" not in text
    assert "<b>" not in text


def test_page_says_that_there_is_no_face():
    text = page(timeline(0))
    assert page_codes(text) == ["no-face"]
    assert page_codes(page(timeline(1))) == []
    assert "<svg" not in text


def test_page_shows_the_longest_of_a_crowd_and_names_the_table_of_all(monkeypatch):
    monkeypatch.setattr(timeline_page, "MAX_SHOWN", 4)
    made = timeline(9)
    assert [track.number for track in longest_tracks(made)] == [1, 2, 3, 4]
    text = page(made)
    (fewer,) = re.findall(r"<p[^>]*>([^<]*faces\.csv[^<]*)</p>", text)
    assert re.findall(r"\d+", fewer) == ["4", "9"]
    assert (text.count("<svg"), text.count("<img")) == (1, 4)


def test_rows_show_stacked_probabilities_while_their_face_is_visible():
    """Oracle: the areas in the figure itself, in data coordinates; row n begins at 0.1 n s."""
    made = timeline(3, count=30)
    areas = expressions_plot(made, [1, 2, 3]).figure.axes[0].collections
    assert len(areas) == 3 * len(EXPRESSIONS)
    for row in range(3):
        corners = [area.get_paths()[0].vertices for area in areas[7 * row : 7 * row + 7]]
        assert [(points[:, 0].min(), points[:, 0].max()) for points in corners] == [pytest.approx((0.1 * row, 3.0))] * 7
        heights = [points[:, 1].max() - points[:, 1].min() for points in corners]
        assert heights == pytest.approx(2 * HALF_ROW * made.tracks[row + 1].mean)
        assert np.concatenate(corners)[:, 1].min() == pytest.approx(row - HALF_ROW)
    assert len({colour_of(name, index) for index, name in enumerate(EXPRESSIONS)}) == 7


def test_times_in_doubt_are_faint():
    """Oracle: by hand. The first second is unsure, of the same class as the rest."""
    made = Timeline(EXPRESSIONS, 0.1)
    square, size = np.zeros((48, 48), dtype=np.uint8), len(EXPRESSIONS)
    for number in range(30):
        scores = np.full(size, (0.6 if number < 10 else 0.2) / (size - 1))
        scores[3] = 1 - scores[1] * (size - 1)
        one = Prediction("clip", EXPRESSIONS, scores, Box(0, 0, 20, 20), square, perceived=True)
        made.add(VideoFrame(number, number / 10, np.zeros((2, 2, 3), dtype=np.uint8), [TrackedFace(1, one)]))
    areas = expressions_plot(made, [1]).figure.axes[0].collections
    assert [area.get_paths()[0].vertices[:, 0].max() for area in areas] == pytest.approx([1.0] * 7 + [3.0] * 7)
    assert [area.get_facecolor()[0, 3] for area in areas] == [0.3] * 7 + [1.0] * 7
