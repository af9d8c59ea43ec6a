"""What a reading's number is where it is drawn; the rest is tried where pictures are written (test_annotate.py)."""

import numpy as np
import pytest
from PIL import Image

from mien.faces.face import Box
from mien.inference.drawing import draw_readings
from mien.inference.readings import Reading

LEFT, RIGHT = (Reading("clip", ("sad", "happy"), np.array([0.2, 0.8]), None, Box(x, 60, 80, 80)) for x in (10, 130))


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


def test_a_number_for_each_reading():
    with pytest.raises(ValueError):
        drawn([LEFT, RIGHT], [1])
