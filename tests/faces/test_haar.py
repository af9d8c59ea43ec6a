"""The Haar cascade on a real face at several sizes, on drawn ones, and where there is none."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest

from mien.data.synthetic import render_faces
from mien.faces.face import Box
from mien.faces.haar import HaarDetector


def middle(box: Box):
    return box.left + box.width / 2, box.top + box.height / 2


def holds(box, face, scale=1.0):
    """Whether the box's centre is on the face and its size is that of a face."""
    left, top, right, bottom = (scale * side for side in face)
    x, y = middle(box)
    return left < x < right and top < y < bottom and 0.6 < box.width / (right - left) < 1.8


@pytest.mark.parametrize("size", [64, 96, 128, 192, 300, 512, 1024, 3000])
def test_a_real_face_is_found_at_every_size_and_nothing_else(astronaut, astronaut_face, size):
    image = cv2.resize(astronaut, (size, size), interpolation=cv2.INTER_AREA if size < 512 else cv2.INTER_LINEAR)
    (face,) = HaarDetector().detect(image)
    assert holds(face.box, astronaut_face, size / 512)
    assert face.score > 5
    assert face.landmarks == {}


def test_a_long_image_is_found_in_at_its_own_scale(astronaut, astronaut_face):
    wide = np.zeros((512, 4000, 3), dtype=np.uint8)
    wide[:, 3000:3512] = astronaut
    (face,) = HaarDetector().detect(wide)
    assert holds(Box(face.box.left - 3000, face.box.top, face.box.width, face.box.height), astronaut_face)


def test_a_face_that_fills_the_image_is_found(astronaut, astronaut_face):
    left, top, right, bottom = astronaut_face
    (face,) = HaarDetector().detect(astronaut[top:bottom, left:right])
    assert holds(face.box, (0, 0, right - left, bottom - top))
    # Brows to chin, cheek to cheek: smaller than the window that finds her in the whole image.
    (face,) = HaarDetector().detect(astronaut[80:170, 182:270])
    assert holds(face.box, (0, 0, 88, 90))


def test_red_counts_as_red(astronaut, astronaut_face):
    """Oracle: ITU-R 601's weights by hand. With red and blue the other way round she would be a negative."""
    grey = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)
    image = np.stack([grey, np.zeros_like(grey), 255 - grey], axis=2)
    luma = np.rint(image @ [0.299, 0.587, 0.114]).astype(np.uint8)
    (face,) = HaarDetector().detect(image)
    assert holds(face.box, astronaut_face)
    assert [face] == HaarDetector().detect(np.repeat(luma[:, :, None], 3, axis=2))
    assert [face] != HaarDetector().detect(np.ascontiguousarray(image[:, :, ::-1]))


def test_images_without_a_face_hold_none(faceless):
    assert [name for name, image in faceless.items() if HaarDetector().detect(image)] == []


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3), (10, 3000)])
def test_an_image_too_small_for_a_face_holds_none(shape):
    assert HaarDetector().detect(np.full((*shape, 3), 90, dtype=np.uint8)) == []


def test_drawn_faces_in_a_scene_are_found_largest_first():
    background = np.random.default_rng(0).integers(60, 200, (12, 16), dtype=np.uint8)
    scene = cv2.resize(background, (800, 600), interpolation=cv2.INTER_CUBIC)
    sides, places = (200, 120, 80), ((30, 30), (300, 400), (650, 60))
    for drawn, side, (x, y) in zip(render_faces(np.array([3, 3, 3]), seed=5), sides, places, strict=True):
        scene[y : y + side, x : x + side] = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_CUBIC)
    faces = HaarDetector().detect(np.dstack([scene] * 3))
    assert len(faces) == 3
    for face, side, (x, y) in zip(faces, sides, places, strict=True):
        assert middle(face.box) == pytest.approx((x + side / 2, y + side / 2), abs=0.2 * side)


def test_threads_share_one_detector(astronaut):
    detector = HaarDetector()
    images = [astronaut, astronaut[:, ::-1], astronaut[:400], np.zeros_like(astronaut)] * 4
    alone = [detector.detect(image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detector.detect, images)) == alone
