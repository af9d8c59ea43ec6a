import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mien.base.preprocess import grey_square
from mien.faces import face as crop_module
from mien.faces.face import (
    MARKS,
    SHARP,
    Box,
    Face,
    Margin,
    _indices,
    crop_faces,
    iou,
    may_be_crop,
    photo_as_crop,
    sharpness,
    square_around,
    tilt_of,
    window,
)

SIDES = st.integers(1, 30)


def crop(rgb, square):
    return window(rgb, *_indices(rgb, square))


@given(SIDES, SIDES, st.integers(-40, 40), st.integers(-40, 40), SIDES, SIDES, st.floats(0.3, 2), st.floats(-0.5, 0.5))
def test_each_pixel_is_the_nearest_one_of_the_image(height, width, left, top, wide, high, size, down):
    """Oracle: pixel by pixel, the position clamped to the image. Where the square lies is tested below."""
    rgb = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    cut, longer = crop(rgb, square_around(Box(left, top, wide, high), Margin(size, down))), max(wide, high)
    side = max(round(size * longer), 1)
    first_row, first_column = round(top + high / 2 + down * longer - side / 2), round(left + wide / 2 - side / 2)
    assert cut.shape == (side, side, 3)
    for row in range(side):
        for column in range(side):
            y = min(max(first_row + row, 0), height - 1)
            assert (cut[row, column] == rgb[y, min(max(first_column + column, 0), width - 1)]).all()


@pytest.mark.parametrize(("box", "margin", "rows", "columns"), [
    # Wide: 20 is the longer side, so a square of 30; centre (20 + 10, 30 + 5), and 0.1 x 20 = 2 further down.
    (Box(20, 30, 20, 10), Margin(1.5, 0.1), (22, 52), (15, 45)),
    # High: the centre is (25, 40) and goes up by 0.25 x 20 = 5.
    (Box(20, 30, 10, 20), Margin(1.5, -0.25), (20, 50), (10, 40)),
    # Smaller than the box: a square of 10 around (40, 22), 0.5 x 40 = 20 further down.
    (Box(20, 20, 40, 4), Margin(0.25, 0.5), (37, 47), (35, 45)),
])  # fmt: skip
def test_the_square_lies_where_it_was_worked_out_by_hand(box, margin, rows, columns):
    y, x = np.mgrid[:80, :90].astype(np.uint8)
    cut = crop(np.dstack([y, x, x]), square_around(box, margin))
    assert ((cut[0, 0, 0], cut[-1, -1, 0] + 1), (cut[0, 0, 1], cut[-1, -1, 1] + 1)) == (rows, columns)
    assert cut.shape == (rows[1] - rows[0], columns[1] - columns[0], 3)


POINTS = {"right_eye": (20, 28), "left_eye": (40, 32), "right_mouth_corner": (28, 70), "left_mouth_corner": (40, 70)}


@pytest.mark.parametrize("count", [0, 1, 3])
def test_faces_are_stacked_as_the_model_reads_them(count):
    rgb = np.random.default_rng(2).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    squares = [Box(10 * i, 5, 20, 20) for i in range(count)]
    crops = crop_faces(rgb, squares, 48)
    assert (crops.shape, crops.dtype) == ((count, 48, 48), np.uint8)
    for square, cut in zip(squares, crops, strict=True):
        assert np.array_equal(cut, grey_square(crop(rgb, square), 48))


@pytest.mark.parametrize("shape", [(1, 200_000), (200_000, 1)])
def test_a_face_as_long_as_it_is_thin_needs_no_more_memory_than_its_pixels(shape):
    """Its square would take 120 GB."""
    rgb = np.full((*shape, 3), 77, dtype=np.uint8)
    (square,) = crop_faces(rgb, [square_around(Box(0, 0, shape[1], shape[0]), Margin(1, 0))], 48)
    assert square.shape == (48, 48)
    assert (square == 77).all()


@pytest.mark.parametrize("box", [(0, 0, 960, 120), (700, 60, 500, 300), (-400, -100, 700, 900), (-120, -60, 240, 240)])
@pytest.mark.parametrize("margin", [Margin(1, 0), Margin(1.2, 0.2)])
def test_a_square_that_is_laid_out_in_part_holds_the_same_face_at_the_same_place(monkeypatch, box, margin):
    """Oracle: the same with all of the square laid out, of a smooth image."""
    y, x = np.mgrid[:120, :960]
    rgb = np.dstack([x / 960 * 255, y / 120 * 255, (x + y) % 960 / 960 * 255]).astype(np.uint8)
    square = square_around(Box(*box), margin)
    (whole,) = crop_faces(rgb, [square], 48)
    monkeypatch.setattr(crop_module, "MAX_FULL_PX", 200)
    monkeypatch.setattr(crop_module, "MAX_PADDING", 1)
    (in_part,) = crop_faces(rgb, [square], 48)
    assert (whole != in_part).any()
    assert np.abs(whole.astype(int) - in_part).mean() < 1


@pytest.mark.parametrize("channels", [1, 3])
def test_a_tilted_face_is_turned_level(channels):
    """Oracle: the same picture upright. Pillow turns it by 20 degrees about the point between eyes and mouth."""
    y, x = np.mgrid[:120, :120]
    grey = (128 + 60 * np.sin(x / 9) + 60 * np.cos(y / 13)).astype(np.uint8)
    rgb, square = np.dstack([grey] * 3), Box(30, 30, 60, 60)
    turned = np.asarray(Image.fromarray(rgb).rotate(-20, Image.Resampling.BICUBIC, center=(60, 60)))
    (level,) = crop_faces(rgb, [square], 48, channels)
    (found,) = crop_faces(turned, [square], 48, channels, [(math.radians(20), 60.0, 60.0)])
    (tilted,) = crop_faces(turned, [square], 48, channels)
    assert np.abs(found.astype(int) - level).mean() < 2 < np.abs(tilted.astype(int) - level).mean()


@pytest.mark.parametrize(("degrees", "levelled"), [(14, False), (16, True), (-16, True)])
def test_only_a_clear_tilt_counts(degrees, levelled):
    """Oracle: points turned by hand, clockwise where positive."""
    angle = math.radians(degrees)
    turn = {
        name: (50 + x * math.cos(angle) - y * math.sin(angle), 50 + x * math.sin(angle) + y * math.cos(angle))
        for name, (x, y) in {"right_eye": (-9, -10), "left_eye": (9, -10), **dict.fromkeys(MARKS[2:], (0, 10))}.items()
    }
    tilt = tilt_of(turn)
    assert (tilt is not None) == levelled
    assert tilt is None or tilt == pytest.approx((angle, 50, 50))


def test_sharpness_falls_with_motion_and_size(astronaut):
    """Oracle: one photograph, moved by a tenth of the face's width in one direction, and made 12 px small."""
    square = Image.fromarray(astronaut[52:180, 160:288])
    sharp = grey_square(square, 48)
    assert sharpness(sharp) > 2 * SHARP
    for axis in (0, 1):
        moved = np.mean([np.roll(sharp, shift, axis) for shift in range(-3, 4)], axis=0)
        assert sharpness(moved.astype(np.uint8)) < SHARP
    assert sharpness(grey_square(square.resize((12, 12), Image.Resampling.BOX), 48)) < SHARP
    assert sharpness(np.full((48, 48, 3), 90, np.uint8)) < SHARP


def test_images_of_the_other_kind_are_known_by_their_size():
    """Photos given as face crops, and crops given as photos. Oracle: by hand."""
    sizes = ((500, 300), (300, 500), (260, 225), (225, 225), (224, 20), (600, 500))
    found = [photo_as_crop("a.png", *size, option="--crops") for size in sizes]
    assert [notice is not None for notice in found] == [True, True, False, False, False, True]
    assert all(text in found[0] for text in ("a.png", "500 x 300", "--crops"))
    cases = ((48, 48, 0), (224, 224, 0), (225, 225, 0), (48, 48, 1), (48, 96, 0), (36, 55, 0), (200, 150, 0))
    assert [may_be_crop(*case) for case in cases] == [True, True, False, False, False, True, False]
    # Oracle: by hand. From (30, 30) to (34, 70) are 40.2; a side of 99.0 by them and of 50 by the box, so 70.4.
    box, margin = Box(10, 20, 40, 50), Margin(1, 0.2)
    assert square_around(box, margin, POINTS) == Box(-3, 9, 70, 70)
    assert square_around(box, margin, {name: POINTS[name] for name in ("right_eye", "left_eye")}) == Box(5, 30, 50, 50)
    twice = {name: (2 * x, 2 * y) for name, (x, y) in POINTS.items()}
    assert square_around(Box(20, 40, 80, 100), margin, twice) == Box(-6, 18, 141, 141)
    # Oracle: by hand. The box becomes twice as wide, three times as high and moves by 5 and 7.
    face = Face(Box(10, 20, 40, 50), 0.9, {"nose": (30.0, 45.0)}).moved(Box(15, 27, 80, 150))
    assert face == Face(Box(15, 27, 80, 150), 0.9, {"nose": (55.0, 102.0)})
    # Oracle: by hand, in an image of 50 x 30 pixels.
    box, image = Box(-5, 10, 20, 40), np.arange(30 * 50).reshape(30, 50)
    left, top, width, height = box
    assert (left, top, width, height) == (-5, 10, 20, 40)
    assert (box.xyxy, box.clipped(50, 30)) == ((-5, 10, 15, 50), Box(0, 10, 15, 20))
    assert np.array_equal(box.crop(image), image[10:30, 0:15])
    assert Box(90, 90, 5, 5).crop(image).tolist() == [[image[29, 49]]]


CORNERS = st.tuples(st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9), st.integers(1, 9))


@given(CORNERS, CORNERS)
def test_iou_counts_shared_pixels(one, other):
    """Oracle: the pixels of both, as sets."""
    pixels = [
        {(x, y) for x in range(left, left + width) for y in range(top, top + height)}
        for left, top, width, height in (one, other)
    ]
    (found,) = iou(np.array(one, float), np.array([other], float))
    assert found == pytest.approx(len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1]))
