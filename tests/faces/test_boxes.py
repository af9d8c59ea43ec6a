"""Which parts are looked at closer. Oracle: rectangles drawn by hand, and the cells that they must contain."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.faces.face import iou, regions_around


def mask(rows, columns, *cells):
    drawn = np.zeros((rows, columns), dtype=bool)
    for row, column in cells:
        drawn[row, column] = True
    return drawn


def test_each_cell_has_its_surroundings_inside_the_image():
    assert regions_around(mask(10, 20), 1) == []
    assert regions_around(mask(10, 20, (4, 7)), 1) == [(6, 3, 9, 6)]
    assert regions_around(mask(10, 20, (0, 19)), 1) == [(18, 0, 20, 2)]


def test_rectangles_that_touch_become_one_even_after_they_have_grown():
    # The third cell touches only what the first two have become.
    found = regions_around(mask(20, 40, (2, 2), (8, 8), (5, 5), (15, 30)), 1)
    assert sorted(found) == [(1, 1, 10, 10), (29, 14, 32, 17)]


def test_what_covers_most_of_an_image_is_looked_at_as_a_whole():
    assert regions_around(mask(3, 3, (1, 1)), 1) == [(0, 0, 3, 3)]
    assert regions_around(np.ones((8, 9), dtype=bool), 1) == [(0, 0, 9, 8)]


@pytest.mark.parametrize("seed", range(5))
def test_every_cell_is_inside_one_and_none_overlap(seed):
    drawn = np.random.default_rng(seed).random((30, 40)) < 0.03
    covered = np.zeros(drawn.shape, dtype=int)
    for left, top, right, bottom in regions_around(drawn, 1):
        covered[top:bottom, left:right] += 1
    assert covered.max() == 1
    padded = np.pad(drawn, 1)
    for down in range(3):
        for across in range(3):
            assert (covered[padded[down : down + 30, across : across + 40]] == 1).all()


SIDES = st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9), st.integers(1, 9))


@given(SIDES, SIDES)
def test_overlap_is_that_of_counted_pixels(one, other):
    """Oracle: the pixels of both, as sets."""
    pixels = [
        {(x, y) for x in range(left, left + width) for y in range(top, top + height)}
        for left, top, width, height in (one, other)
    ]
    (found,) = iou(np.array(one, float), np.array([other], float))
    assert found == pytest.approx(len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1]))
