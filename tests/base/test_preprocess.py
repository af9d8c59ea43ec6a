"""Oracles: published formulas; the same image in another form."""

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.base.images import open_image
from mien.base.preprocess import InputSpec, grey_square, to_input, upright_rgb
from support import encoded, raises


def test_a_grey_square_has_the_luma_on_white_and_a_padded_border(face):
    """Oracle: 0.299 R + 0.587 G + 0.114 B."""
    pixel = np.full((8, 8, 3), (200, 100, 50), dtype=np.uint8)
    assert grey_square(pixel, 8)[0, 0] == round(0.299 * 200 + 0.587 * 100 + 0.114 * 50)
    assert np.array_equal(grey_square(face, 48), face)
    assert np.array_equal(grey_square(open_image(encoded(Image.fromarray(face))), 48), face)
    assert (grey_square(Image.new("RGBA", (10, 10), (0, 0, 0, 0)), 10) == 255).all()
    half = Image.new("LA", (10, 10), (100, 128))
    assert (grey_square(half.convert("La"), 10) == grey_square(half, 10)).all()
    tall = np.zeros((12, 8), dtype=np.uint8)
    tall[:, :4] = 10
    tall[:, 4:] = 200
    for square in (grey_square(tall, 12), grey_square(tall.T, 12).T):
        assert square.shape == (12, 12)
        assert (square[:, :6] == 10).all()
        assert (square[:, 6:] == 200).all()


def test_an_image_of_another_size_is_resized_by_lanczos():
    """Oracles: stripes too fine to be seen are their mean; the filter's formula at the places of four new pixels."""
    stripes = np.tile(np.array([0, 200], dtype=np.uint8), (96, 48))
    assert (grey_square(stripes, 48)[:, 3:-3] == 100).all()
    assert (grey_square(stripes.T, 48)[3:-3] == 100).all()
    distances = np.array([[0.25, -0.25, -0.75, -1.25], [1.25, 0.75, 0.25, -0.25]])  # from both old pixels' centres
    weights = np.sinc(distances) * np.sinc(distances / 3)
    row = grey_square(np.array([[0, 100], [0, 100]], dtype=np.uint8), 4)[0]
    assert row == pytest.approx(np.clip(100 * weights[1] / weights.sum(axis=0), 0, 255), abs=0.51)


@pytest.mark.parametrize("size", [(100_000, 1), (1, 100_000), (5000, 20)])
def test_a_very_long_image_needs_no_more_memory_than_its_pixels(size):
    """A square of its longer side would take 10 GB."""
    square = grey_square(Image.new("L", size, 77), 48)
    assert square.shape == (48, 48)
    assert (square == 77).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "HSV", "LAB"])
def test_every_mode_of_pillow_becomes_grey(mode):
    image = Image.new("L", (10, 10), 255).convert(mode) if mode != "I;16" else Image.new("I;16", (10, 10), 65535)
    square = grey_square(image, 10)
    assert square.dtype == np.uint8
    assert square.min() >= 250


def test_fractions_are_rejected_and_16_bit_grey_is_scaled():
    """A float image of 0 to 1, as many programs save it, would have two values left."""
    with raises(DataError, "image-type"):
        grey_square(Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)), 8)
    assert grey_square(Image.fromarray(np.linspace(0, 255, 64, dtype=np.float32).reshape(8, 8)), 8)[-1, -1] == 255
    assert not grey_square(Image.new("F", (8, 8), 0.0), 8).any()
    for named in ("<u2", ">u2"):
        with raises(DataError, "image-type", "uint8"):
            grey_square(np.full((8, 8), 200, dtype=named), 8)
    with raises(DataError, "image-type", "8 bits"):
        grey_square(open_image(encoded(Image.fromarray(np.full((8, 8), 200, dtype=np.uint16)))), 8)
    image = Image.fromarray(np.full((10, 10), 128 * 257, dtype=np.uint16))
    assert (grey_square(open_image(encoded(image)), 10) == 128).all()
    named_by_no_mode = Image.fromarray(np.full((10, 10), 128 * 257, dtype=np.int32))
    assert named_by_no_mode.mode == "I"
    assert (grey_square(named_by_no_mode, 10) == 128).all()
    assert (grey_square(np.full((10, 10), 128 * 257, dtype="<u2"), 10) == 128).all()
    assert (grey_square(np.full((10, 10), 128 * 257, dtype=">u2"), 10) == 128).all()


@pytest.mark.parametrize(("array", "found"), [
    (np.zeros((4, 4)), "float64"),
    (np.zeros((2, 5, 6), np.uint8), "(2, 5, 6)"),
    (np.zeros((0, 4), np.uint8), "(0, 4)"),
    (np.zeros((4, 4, 2), np.uint8), "(4, 4, 2)"),
])  # fmt: skip
def test_open_image_rejects_other_arrays(array, found):
    with raises(DataError, "image-type", f"found {found}" if "f" in found else f"found shape {found}"):
        grey_square(array, 48)


def test_to_input_is_the_written_formula(face):
    spec = InputSpec(size_px=48, crop_px=44, mean=0.4, std=0.2)
    expected = (face[2:46, 2:46].astype(np.float64) / 255 - 0.4) / 0.2
    assert to_input(face[None], spec).dtype == np.float32
    assert to_input(face[None], spec)[0, 0] == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match=r"crop_px 60\b.*\b48\b"):
        InputSpec(size_px=48, crop_px=60)


RAMP = np.arange(240, dtype=np.uint8)
IMAGES = {
    "grey": Image.fromarray(RAMP.reshape(12, 20)),
    "colour": Image.fromarray(RAMP.reshape(8, 10, 3)),
    "alpha": Image.fromarray(RAMP.reshape(6, 10, 4), "RGBA"),
    "16-bit": Image.fromarray((np.arange(240) * 273).astype(np.uint16).reshape(12, 20)),
    "palette": Image.fromarray(RAMP.reshape(8, 10, 3)).quantize(16),
    "CMYK": Image.fromarray(RAMP.reshape(8, 10, 3)).convert("CMYK"),
    "two colours": Image.fromarray(RAMP.reshape(12, 20)).convert("1"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_a_whole_image_is_the_same_to_a_model_as_its_three_channels(name):
    """Oracle: grey_square of the image itself."""
    image = IMAGES[name]
    rgb = upright_rgb(image)
    assert (rgb.shape, rgb.dtype) == ((image.height, image.width, 3), np.uint8)
    assert np.array_equal(grey_square(rgb, 16), grey_square(image, 16))
    if name in {"grey", "colour", "alpha", "16-bit"}:
        assert np.array_equal(upright_rgb(np.asarray(image)), rgb)
