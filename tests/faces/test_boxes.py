"""The overlap of boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.faces.face import iou

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
