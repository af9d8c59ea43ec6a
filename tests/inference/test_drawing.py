"""What is drawn of a reading: words, bars, number; the rest is tried where pictures are written (test_annotate.py)."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mien.faces.face import Box
from mien.inference.drawing import draw_face, draw_readings
from mien.inference.readings import Reading

LEFT, RIGHT = (Reading("clip", ("sad", "happy"), np.array([0.2, 0.8]), None, Box(x, 60, 80, 80)) for x in (10, 130))


@pytest.fixture
def words(monkeypatch):
    """All that is written into pictures while a test runs."""
    written, write = [], ImageDraw.ImageDraw.text

    def text(self, place, said, *more, **options):
        written.append(said)
        write(self, place, said, *more, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return written


def drawn(readings, numbers=None):
    image = Image.new("RGB", (240, 180), (90, 120, 150))
    draw_readings(image, readings, numbers)
    return np.asarray(image)


def test_numbers_are_from_one_on_where_there_are_several():
    assert np.array_equal(drawn([LEFT, RIGHT]), drawn([LEFT, RIGHT], [1, 2]))
    assert not np.array_equal(drawn([LEFT, RIGHT]), drawn([LEFT, RIGHT], [2, 1]))


def test_a_tracks_number_is_shown_even_of_a_single_face():
    plain, numbered, other = drawn([LEFT]), drawn([LEFT], [7]), drawn([LEFT], [8])
    assert not np.array_equal(plain, numbered)
    assert not np.array_equal(numbered, other)
    # The box stays as it is; only the words above it differ.
    assert np.array_equal(plain[60:], numbered[60:])


def test_beside_a_face_stands_what_is_read_in_it_and_how_likely_it_is(words):
    """By hand: 0.875 rounds to the even 88 %, 0.125 to 12 %."""
    happy, sad, by_threshold = (
        Reading("x", ("sad", "happy"), np.array(scores), threshold, Box(20, 60, 160, 100))
        for scores, threshold in (((0.125, 0.875), None), ((0.75, 0.25), None), ((0.875, 0.125), 0.1))
    )
    drawn([happy])
    drawn([sad])
    drawn([by_threshold], [7])
    assert words == ["happy 88%", "sad 75%", "7 happy 12%"]


def test_each_classes_bar_is_as_long_as_its_share(words):
    """Oracle: pixels of the bars' colours, counted row by row; a bar of a whole share is 160 px long."""
    face = np.full((48, 48), 90, dtype=np.uint8)
    shown = np.asarray(draw_face(face, Reading("x", ("sad", "happy"), np.array([0.125, 0.875]), face=face)))
    assert words == ["sad", "12%", "happy", "88%"]
    tops = []
    for colour, share in (((150, 150, 155), 0.125), ((20, 90, 160), 0.875)):
        lengths = (shown == colour).all(axis=2).sum(axis=1)
        assert lengths[lengths > 0] == pytest.approx(160 * share, abs=1)
        tops.append(int(lengths.argmax()))
    assert tops[0] < tops[1], "in the order of the classes"


def test_a_number_for_each_reading():
    with pytest.raises(ValueError):
        drawn([LEFT, RIGHT], [1])
