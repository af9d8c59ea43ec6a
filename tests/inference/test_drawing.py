"""Drawings of predictions: labels, bars, numbers, colours. Annotated files are in test_annotate.py."""

import numpy as np
import pytest
from PIL import ImageDraw

from mien.base.errors import DataError
from mien.base.labels import class_colours
from mien.faces.face import Box
from mien.inference.drawing import draw_face, draw_predictions
from mien.inference.prediction import Prediction
from support import raises

LEFT, RIGHT = (Prediction("clip", ("sad", "happy"), np.array([0.2, 0.8]), Box(x, 60, 80, 80)) for x in (10, 130))


@pytest.fixture
def words(monkeypatch):
    """All that is written into images while a test runs."""
    written, write = [], ImageDraw.ImageDraw.text

    def text(self, place, said, *more, **options):
        written.append(said)
        write(self, place, said, *more, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return written


def drawn(predictions, numbers=None, side=240):
    return np.asarray(draw_predictions(plain(side, side), predictions, numbers))


def plain(width, height, colour=(90, 120, 150)):
    return np.full((height, width, 3), colour, np.uint8)


def test_numbers_are_from_one_on_where_there_are_several():
    assert np.array_equal(drawn([LEFT, RIGHT]), drawn([LEFT, RIGHT], [1, 2]))
    assert not np.array_equal(drawn([LEFT, RIGHT]), drawn([LEFT, RIGHT], [2, 1]))


def test_beside_a_face_stands_what_is_read_in_it_and_how_likely_it_is(words):
    """By hand: 0.875 rounds to the even 88 %."""
    happy, sad = (
        Prediction("x", ("sad", "happy"), np.array(scores), Box(20, 60, 160, 100))
        for scores in ((0.125, 0.875), (0.75, 0.25))
    )
    drawn([happy])
    drawn([sad], [7])
    assert words == ["happy 88%", "7  sad 75%"]


@pytest.mark.parametrize(
    ("box", "rows"),
    [
        (Box(60, 60, 120, 100), (45, 60)),
        (Box(60, 5, 120, 100), (105, 120)),
        (Box(0, 0, 240, 240), (0, 15)),
        (Box(200, 60, 40, 40), (46, 60)),
    ],
)
def test_a_label_is_above_its_box_or_below_or_over_it_but_inside_the_image(box, rows):
    """Oracle: rows with a long line of the label's background, by hand; the label's text has 11 pixels."""
    dark = (drawn([Prediction("x", ("sad", "happy"), np.array([0.2, 0.8]), box)]) == (20, 20, 24)).all(axis=2)
    assert dark[slice(*rows)].sum() > 300
    outside = dark[: max(rows[0] - 1, 0)].sum() if rows[0] < box.top else 0
    assert outside == 0


def test_each_classes_bar_is_as_long_as_its_share(words):
    """Oracle: pixels of the bars' colours, counted row by row; a bar of a whole share is 160 px long."""
    shown = np.asarray(draw_face(np.full((48, 48), 90, dtype=np.uint8), {"sad": 0.125, "happy": 0.875}, "happy"))
    assert words == ["sad", "12%", "happy", "88%"]
    tops = []
    for colour, share in (((150, 150, 155), 0.125), ((20, 90, 160), 0.875)):
        lengths = (shown == colour).all(axis=2).sum(axis=1)
        assert lengths[lengths > 0] == pytest.approx(160 * share, abs=1)
        tops.append(int(lengths.argmax()))
    assert tops[0] < tops[1], "in the order of the classes"


def of(scores, classes=("sad", "happy", "not-a-face"), perceived=False):
    return Prediction("x", classes, np.array(scores), Box(60, 60, 120, 100), perceived=perceived)


def pixels_of(image, colour):
    return int((image == (colour if isinstance(colour, tuple) else tuple(bytes.fromhex(colour[1:])))).all(axis=2).sum())


def test_the_colour_says_the_expression_and_dashes_the_doubt():
    """Oracle: pixels in the colour that the pages give to the class."""
    colours = class_colours(("sad", "happy", "not-a-face"))
    sure = drawn([of([0.1, 0.9, 0.0])])
    assert pixels_of(sure, colours["happy"]) > 500
    assert pixels_of(sure, colours["sad"]) == 0
    assert 100 < pixels_of(drawn([of([0.45, 0.35, 0.2])]), colours["sad"]) < 0.8 * pixels_of(sure, colours["happy"])
    unsure = drawn([of([0.45, 0.35, 0.2], perceived=True)])
    no_face = drawn([of([0.1, 0.1, 0.8], perceived=True)])
    assert not any(pixels_of(each, colour) for each in (unsure, no_face) for colour in colours.values())
    assert pixels_of(no_face, (150, 150, 155)) > 500


def test_lines_text_and_colours_can_be_chosen(words):
    """Oracle: pixels. Of one line of 3 px in gold nothing else is drawn."""
    happy = Prediction("x", ("sad", "happy"), np.array([0.2, 0.8]), Box(60, 60, 120, 100))
    pixels = np.asarray(draw_predictions(plain(300, 300, 9), [happy], line_px=3, text_px=0, colours={"happy": "gold"}))
    gold = (pixels == (255, 215, 0)).all(axis=2)
    assert (words, gold.sum(), gold[60:63, 60:180].all()) == ([], 120 * 100 - 114 * 94, True)
    assert (pixels[~gold] == 9).all()
    draw_predictions(plain(300, 300), [happy], text_px=30)
    assert words == ["happy 80%"]


@pytest.mark.parametrize("wrong", [{"line_px": 0}, {"text_px": -1}, "no colour", 7.5, [9, 9, 9]])
def test_a_look_that_is_none_is_refused(wrong):
    look = wrong if isinstance(wrong, dict) else {"colours": {"happy": wrong}}
    with raises(DataError, "draw-look"):
        draw_predictions(plain(9, 9), [], **look)


def test_in_a_crowd_lines_and_labels_leave_the_faces_free():
    """Oracle: the middle halves of 400 small faces in a large image, pixel by pixel."""
    boxes = [Box(70 * column + 18, 70 * row + 18, 34, 42) for row in range(20) for column in range(20)]
    faces = [Prediction("x", ("sad", "happy"), np.array([0.25, 0.75]), each) for each in boxes]
    pixels = np.asarray(draw_predictions(plain(1400, 1400), faces))
    for box in boxes:
        assert (pixels[box.top + 10 : box.top + 31, box.left + 8 : box.left + 26] == (90, 120, 150)).all()
