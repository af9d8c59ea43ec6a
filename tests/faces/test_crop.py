import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mien.faces.crop import face_squares
from mien.faces.face import Box, Margin
from mien.preprocess import grey_square

SIDES = st.integers(1, 30)


def grey(values):
    """A picture whose grey is these values."""
    return np.repeat(values.astype(np.uint8)[:, :, np.newaxis], 3, axis=2)


def lie(box, margin):
    """Side, first row and first column of the square."""
    longer = max(box.width, box.height)
    side = max(round(margin.size * longer), 1)
    first_row = round(box.top + box.height / 2 + margin.down * longer - side / 2)
    return side, first_row, round(box.left + box.width / 2 - side / 2)


@given(SIDES, SIDES, st.integers(-40, 40), st.integers(-40, 40), SIDES, SIDES, st.floats(0.3, 2), st.floats(-0.5, 0.5))
def test_each_pixel_is_the_nearest_one_of_the_picture(height, width, left, top, wide, high, size, down):
    """Oracle: pixel by pixel, the position clamped to the picture. Where the square lies is tested below."""
    values = np.random.default_rng(0).integers(0, 256, (height, width))
    box, margin = Box(left, top, wide, high), Margin(size, down)
    side, first_row, first_column = lie(box, margin)
    (cut,) = face_squares(grey(values), [box], margin, side)
    assert cut.shape == (side, side)
    for row in range(side):
        for column in range(side):
            y = min(max(first_row + row, 0), height - 1)
            x = min(max(first_column + column, 0), width - 1)
            assert cut[row, column] == values[y, x]


@pytest.mark.parametrize(
    ("box", "margin", "rows", "columns"),
    [
        # Wide: 20 is the longer side, so a square of 30; centre (20 + 10, 30 + 5), and 0.1 x 20 = 2 further down.
        (Box(20, 30, 20, 10), Margin(1.5, 0.1), (22, 52), (15, 45)),
        # High: the centre is (25, 40) and goes up by 0.25 x 20 = 5.
        (Box(20, 30, 10, 20), Margin(1.5, -0.25), (20, 50), (10, 40)),
        # Smaller than the box: a square of 10 around (40, 22), 0.5 x 40 = 20 further down.
        (Box(20, 20, 40, 4), Margin(0.25, 0.5), (37, 47), (35, 45)),
    ],
)
def test_the_square_lies_where_it_was_worked_out_by_hand(box, margin, rows, columns):
    y, x = np.mgrid[:80, :90]
    side = rows[1] - rows[0]
    assert side == columns[1] - columns[0]
    (of_rows,), (of_columns,) = (face_squares(grey(values), [box], margin, side) for values in (y, x))
    assert (of_rows[0, 0], of_rows[-1, -1] + 1) == rows
    assert (of_columns[0, 0], of_columns[-1, -1] + 1) == columns


def test_a_square_box_without_a_margin_is_cut_as_it_stands():
    values = np.random.default_rng(1).integers(0, 256, (60, 80))
    (cut,) = face_squares(grey(values), [Box(10, 5, 40, 40)], Margin(1, 0), 40)
    assert np.array_equal(cut, values[5:45, 10:50])


@pytest.mark.parametrize("margin", [Margin(1.5, 0.1), Margin(0.95, 0.0)])
def test_faces_are_stacked_as_the_model_reads_them(margin):
    """Oracle: ``grey_square`` of the whole square, laid out in colour."""
    rgb = np.random.default_rng(2).integers(0, 256, (160, 180, 3), dtype=np.uint8)
    boxes = [Box(10, 5, 20, 20), Box(-30, 40, 90, 50), Box(100, 100, 131, 140), Box(0, 0, 180, 9), Box(60, 60, 1, 3)]
    squares = face_squares(rgb, boxes, margin, 48)
    assert squares.shape == (len(boxes), 48, 48)
    assert squares.dtype == np.uint8
    for box, square in zip(boxes, squares, strict=True):
        side, first_row, first_column = lie(box, margin)
        rows = np.clip(np.arange(first_row, first_row + side), 0, 159)
        columns = np.clip(np.arange(first_column, first_column + side), 0, 179)
        assert np.array_equal(square, grey_square(rgb[rows[:, np.newaxis], columns], 48))
    assert face_squares(rgb, [], margin, 48).shape == (0, 48, 48)


@pytest.mark.parametrize("shape", [(1, 200_000), (200_000, 1)])
def test_a_face_as_long_as_it_is_thin_needs_no_more_memory_than_its_pixels(shape):
    """Its square would take 120 GB."""
    (square,) = face_squares(grey(np.full(shape, 77)), [Box(0, 0, shape[1], shape[0])], Margin(1, 0), 48)
    assert (square == 77).all()
