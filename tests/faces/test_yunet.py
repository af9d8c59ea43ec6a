"""mien's own detector. Oracles: faces measured by hand, and images without one."""

import numpy as np
import pytest
from PIL import Image

import mien
from mien.faces.face import Box, Face, LimitedDetector, brightened, crop_faces, iou, square_around
from mien.faces.find import SURE, YuNet, find_detector
from support import Fixed


@pytest.fixture(scope="module")
def detector():
    return YuNet()


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
    assert np.abs(np.array([face.box.left + face.box.width / 2, face.box.top + face.box.height / 2]) - place).max() < 25


def test_a_face_that_fills_the_image_is_found(detector, astronaut, astronaut_face):
    left, top, right, bottom = astronaut_face
    assert len(detector.detect(np.ascontiguousarray(astronaut[top:bottom, left:right]))) == 1


def test_detect_checks_doubtful_faces_alone(detector, astronaut, monkeypatch):
    """Oracle: how often the network runs: once for a sure face, and once more for each doubtful one."""
    runs, run = [], YuNet._run
    monkeypatch.setattr(YuNet, "_run", lambda *given: runs.append(run(*given)) or runs[-1].copy())
    assert detector.detect(astronaut)[0].score >= SURE
    assert len(runs) == 1
    runs.clear()
    (face,) = detector.detect(np.asarray(Image.fromarray(astronaut).resize((80, 80))))
    first, again = (found[:, 4].max() for found in runs)
    assert first < SURE
    assert face.score == pytest.approx(0.65 * first + 0.35 * again)


def test_the_file_decodes_like_opencv(detector, astronaut):
    """Oracle: cv2.FaceDetectorYN of OpenCV 5.0 with the unwrapped file, on the image's upper left 300 x 250 px."""
    rows = detector._run(Image.fromarray(np.ascontiguousarray(astronaut[:250, :300])), 1)
    box, points = [178.195, 63.203, 89.492, 112.644], [200.096, 102.022, 247.011, 102.843, 220.475, 124.662]
    points += [198.709, 142.684, 239.559, 143.628]
    np.testing.assert_allclose(rows, [[*box, 0.931, *points]], atol=0.02)


@pytest.mark.parametrize("light", [1 / 6, 1 / 25])
def test_a_face_in_the_dark_is_found_where_it_is(detector, astronaut, astronaut_face, light):
    (face,) = detector.detect((astronaut * light).astype(np.uint8))
    assert overlap(face, astronaut_face) > 0.5


def test_only_dark_images_are_brightened(detector, faceless):
    """Oracle: by hand. The brightest value becomes 255, others in proportion; below 8, as if 8 were the brightest."""
    ramp = np.repeat(np.arange(100, dtype=np.uint8), 48).reshape(40, 40, 3)
    light = brightened(ramp)
    assert light.max() == 255
    assert light[20, 20, 0] == int(int(ramp[20, 20, 0]) * 255 / np.percentile(ramp[::4, ::4], 99.5))
    np.testing.assert_array_equal(brightened(ramp + np.uint8(100)), ramp + 100)
    np.testing.assert_array_equal(brightened(np.full((8, 8, 3), 2, dtype=np.uint8)), 63)
    # A detector may have logits as scores.
    logits = Fixed(Face(Box(0, 0, 9, 9), -2.0, {}), Face(Box(0, 0, 8, 8), 1.0, {}))
    logits.score_range = (-5.0, 5.0)
    (face,) = LimitedDetector(logits, min_score=0.0).detect(np.zeros((1, 1, 3), dtype=np.uint8))
    assert face.score == 1
    assert [name for name, rgb in faceless.items() if detector.detect(rgb)] == []
    for shape in ((1, 1), (1, 700), (700, 3)):
        assert detector.detect(np.full((*shape, 3), 90, dtype=np.uint8)) == []
    assert isinstance(find_detector(), YuNet)
    assert find_detector() is find_detector()


@pytest.mark.parametrize(
    ("box", "inside"),
    [(Box(10, 20, 30, 40), Box(10, 20, 30, 40)), (Box(-5, -6, 200, 30), Box(0, 0, 100, 24)),
     (Box(90, 50, 40, 40), Box(90, 50, 10, 10))],
)  # fmt: skip
def test_boxes_never_leave_the_image(monkeypatch, box, inside):
    """Oracle: by hand, in 100 x 60 pixels. The crop is of the whole box all the same."""
    scene = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    monkeypatch.setattr("mien.faces.find.find_detector", lambda: Fixed(box))
    assert [face.box for face in mien.faces.detect(scene)] == [inside]
    (photo,) = mien.load("fast").stream([scene], detector=Fixed(box))
    assert [prediction.box for prediction in photo.predictions] == [inside]
    form = mien.load("fast").manifest.input.size_and_channels
    expected = crop_faces(scene, [square_around(box, Fixed.margin)], *form)
    np.testing.assert_array_equal(photo.predictions[0].crop, expected[0])


THREE = Fixed(*(Face(Box(0, 0, side, side), score, {}) for side, score in ((90, 0.5), (50, 0.9), (20, 0.7))))


@pytest.mark.parametrize(
    ("limits", "sides"),
    [({}, [90, 50, 20]), ({"min_score": 0.7}, [50, 20]), ({"min_size_px": 50}, [90, 50]), ({"max_faces": 1}, [90]),
     ({"min_score": 0.6, "min_size_px": 30, "max_faces": 1}, [50])],
)  # fmt: skip
def test_faces_outside_the_limits_are_left_out(limits, sides):
    detector = LimitedDetector(THREE, **limits)
    assert [face.box.width for face in detector.detect(np.zeros((1, 1, 3), dtype=np.uint8))] == sides
    assert (detector.name, detector.margin, detector.score_range) == (THREE.name, THREE.margin, THREE.score_range)
