"""Which detector is chosen, and mien.faces.detect on every kind of image."""

import numpy as np
import pytest

import mien
from mien.faces.face import Box, Face, LimitedDetector, crop_faces, square_around
from mien.faces.find import YuNet, find_detector
from support import Fixed


def test_the_network_is_the_default_and_has_a_name():
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
    expected = crop_faces(
        scene, [square_around(box, Fixed.margin)], *mien.load("fast").manifest.input.size_and_channels
    )
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
    assert (detector.name, detector.margin) == (THREE.name, THREE.margin)
    assert detector.score_range == THREE.score_range


def test_a_least_score_of_0_is_a_limit():
    """A detector may have logits as scores."""
    logits = Fixed(Face(Box(0, 0, 9, 9), -2.0, {}), Face(Box(0, 0, 8, 8), 1.0, {}))
    logits.score_range = (-5.0, 5.0)
    (face,) = LimitedDetector(logits, min_score=0.0).detect(np.zeros((1, 1, 3), dtype=np.uint8))
    assert face.score == 1
