"""mien's own detector. Oracles: faces measured by hand, and images without one."""

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import ModelError
from mien.faces.crop import brightened
from mien.faces.face import iou, merge_agreeing, suppress_overlaps
from mien.faces.network import CHECK, PROPOSALS, NetworkDetector
from support import raises


@pytest.fixture(scope="module")
def detector():
    return NetworkDetector()


def overlap(face, corners):
    left, top, right, bottom = corners
    box = np.array([face.box.left, face.box.top, face.box.width, face.box.height], float)
    return float(iou(np.array([left, top, right - left, bottom - top], float), box[np.newaxis])[0])


@pytest.mark.parametrize("scale", [1, 0.25, 3])
def test_a_face_is_found_where_it_is_at_every_size(detector, astronaut, astronaut_face, scale):
    (face,) = detector.detect(np.asarray(Image.fromarray(astronaut).resize((round(512 * scale), round(512 * scale)))))
    assert overlap(face, [scale * value for value in astronaut_face]) > 0.5
    assert 0.5 < face.score <= 1
    points = face.landmarks
    assert points["right_eye"][0] < points["nose"][0] < points["left_eye"][0]
    assert points["right_eye"][1] < points["nose"][1] < points["left_mouth_corner"][1]


@pytest.mark.parametrize("degrees", [-40, 40])
def test_a_tilted_face_is_found_at_its_place(detector, astronaut, astronaut_face, degrees):
    """Oracle: the middle of her face, rotated with the image."""
    turned = np.asarray(Image.fromarray(astronaut).rotate(degrees, Image.Resampling.BILINEAR))
    left, top, right, bottom = astronaut_face
    x, y = (left + right) / 2 - 256, (top + bottom) / 2 - 256
    angle = np.deg2rad(degrees)
    place = np.array([x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)]) + 256
    (face,) = detector.detect(turned)
    middle = np.array([face.box.left + face.box.width / 2, face.box.top + face.box.height / 2])
    assert np.abs(middle - place).max() < 25


def test_a_face_that_fills_the_image_is_found(detector, astronaut, astronaut_face):
    left, top, right, bottom = astronaut_face
    assert len(detector.detect(np.ascontiguousarray(astronaut[top:bottom, left:right]))) == 1


def test_closer_looks_are_taken_only_at_what_the_first_does_not_explain(detector, astronaut, monkeypatch):
    """Oracle: pixels given to the network. A face that is most of the image needs a look at 320 px alone."""
    seen = []
    propose = NetworkDetector._propose
    noted = lambda own, image: (seen.append(image.width * image.height), propose(own, image))[1]  # noqa: E731
    monkeypatch.setattr(NetworkDetector, "_propose", noted)
    close, crowd = astronaut[:256, 96:352], np.tile(astronaut[:200, 130:330][::4, ::4], (8, 8, 1))
    assert len(detector.detect(close)) == 1
    alone, seen[:] = sum(seen), []
    assert len(detector.detect(crowd)) > 40
    assert alone == 320 * 320 < sum(seen) / 4


@pytest.mark.parametrize("light", [1 / 6, 1 / 25])
def test_a_face_in_the_dark_is_found_where_it_is(detector, astronaut, astronaut_face, light):
    (face,) = detector.detect((astronaut * light).astype(np.uint8))
    assert overlap(face, astronaut_face) > 0.5


def test_only_dark_images_are_brightened():
    """Oracle: by hand. The brightest value becomes 255, others in proportion; below 8, as if 8 were the brightest."""
    ramp = np.repeat(np.arange(100, dtype=np.uint8), 48).reshape(40, 40, 3)
    light = brightened(ramp)
    assert light.max() == 255
    assert light[20, 20, 0] == int(int(ramp[20, 20, 0]) * 255 / np.percentile(ramp[::4, ::4], 99.5))
    np.testing.assert_array_equal(brightened(ramp + np.uint8(100)), ramp + 100)
    np.testing.assert_array_equal(brightened(np.full((8, 8, 3), 2, dtype=np.uint8)), 63)


def test_images_without_a_face_have_none(detector, faceless):
    assert [name for name, rgb in faceless.items() if detector.detect(rgb)] == []
    for shape in ((1, 1), (1, 700), (700, 3)):
        assert detector.detect(np.full((*shape, 3), 90, dtype=np.uint8)) == []


def test_files_that_are_no_networks_are_one_line(tmp_path, capfd):
    with raises(ModelError, "detector-damaged"):
        NetworkDetector(tmp_path)
    for file in (PROPOSALS, CHECK):
        (tmp_path / file).write_bytes(b"no network at all")
    with raises(ModelError, "detector-damaged"):
        NetworkDetector(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_looks_that_agree_add_up_and_one_look_does_not():
    """Oracle: by hand. Two looks see one box, one of them twice; a third box stands alone."""
    one = np.array([[0, 0, 10, 10, 0.8], [1, 0, 10, 10, 0.4]], float)
    merged = merge_agreeing([one, np.array([[0, 0, 10, 10, 0.4], [50, 50, 10, 10, 0.9]], float)], 0.4)
    np.testing.assert_allclose(merged[:, 4], [1.2, 0.9])
    np.testing.assert_allclose(merged[0, :4], [0.16 / 0.96, 0, 10, 10])
    assert merge_agreeing([], 0.4).shape == (0, 5)


def test_the_best_of_overlapping_boxes_is_kept():
    boxes = np.array([[1, 0, 10, 10, 0.5], [0, 0, 10, 10, 0.9], [30, 0, 10, 10, 0.7]], float)
    assert suppress_overlaps(boxes, 0.3).tolist() == [1, 2]


def test_a_box_inside_a_better_one_is_the_same_face():
    """Oracle: by hand. Eight tenths of the small box lie in the large one, whose IoU is 0.08; of the third, half."""
    boxes = np.array([[0, 0, 30, 30, 0.9], [-2, 5, 10, 10, 0.5], [25, 0, 10, 10, 0.4]], float)
    assert iou(boxes[0], boxes[1:]).max() < 0.1
    assert suppress_overlaps(boxes, 0.3).tolist() == [0, 2]
