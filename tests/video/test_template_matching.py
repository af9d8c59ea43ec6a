"""A face followed by its looks, against where it was put."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mien.faces.face import Box, iou
from mien.video.template_matching import TemplateMatcher


def overlap(one, other):
    """Intersection over union of two boxes."""
    sides = [np.array(list(box.to_dict().values()), float) for box in (one, other)]
    return float(iou(sides[0], sides[1][np.newaxis])[0])


@pytest.fixture(scope="module")
def scene(astronaut):
    """Her face at a place and of a size before texture; the image in grey and the box."""
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8))
    texture = np.asarray(noise.filter(ImageFilter.GaussianBlur(1.7)))
    person = Image.fromarray(astronaut[40:200, 140:310]).convert("L")

    def make(left, top, size=1.0):
        image = texture.copy()
        shown = np.asarray(person.resize((round(size * person.width), round(size * person.height))))
        image[top : top + shown.shape[0], left : left + shown.shape[1]] = shown
        side = round(94 * size)
        return image, Box(left + round(38 * size), top + round(28 * size), side, side)

    return make


@pytest.mark.parametrize("step_px", [0, 3, 12, 25])
def test_a_moving_face_is_followed(scene, step_px):
    """Oracle: where it was put. 25 px a frame at 30 frames/s is a face's width in an eighth of a second."""
    image, box = scene(10, 20)
    matcher = TemplateMatcher(image, box)
    for step in range(1, 9):
        image, box = scene(10 + step_px * step, 20 + 2 * step)
        found = matcher.follow(image)
        assert found is not None
        assert overlap(found, box) > 0.9


@pytest.mark.parametrize("change", [0.97, 1.03])
def test_a_face_that_comes_nearer_or_goes_is_followed_in_size(scene, change):
    size = 0.9
    image, box = scene(60, 40, size)
    matcher = TemplateMatcher(image, box)
    for _ in range(10):
        size *= change
        image, box = scene(60, 40, size)
        found = matcher.follow(image)
        assert found is not None
        assert overlap(found, box) > 0.8
    assert found.width / (94 * 0.9) == pytest.approx(size / 0.9, rel=0.08)


def test_a_face_that_is_gone_is_lost(scene):
    image, box = scene(100, 60)
    matcher = TemplateMatcher(image, box)
    assert matcher.follow(np.full_like(image, 90)) is None
    assert matcher.follow(np.random.default_rng(1).integers(0, 256, image.shape, dtype=np.uint8)) is None
    # It was blinded for two frames only.
    assert overlap(matcher.follow(image), box) > 0.95


def test_a_face_at_the_border_is_followed_out_of_the_image(scene):
    image, box = scene(100, 60)
    matcher = TemplateMatcher(image, box)
    for step in range(1, 8):
        moved = np.roll(image, -20 * step, axis=1)
        moved[:, -20 * step :] = 128
        found = matcher.follow(moved)
        if found is not None:
            assert found.left == pytest.approx(box.left - 20 * step, abs=10)
    assert found is None or found.left < 10


def test_a_box_without_an_area_is_lost(scene):
    image, _ = scene(100, 60)
    assert TemplateMatcher(image, Box(10, 10, 0, 0)).follow(image) is None
