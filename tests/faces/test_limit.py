"""Limits on what a detector finds. Oracle: a detector of three known faces."""

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.faces.face import Box, Face, LimitedDetector
from support import Fixed, raises

THREE = Fixed(*(Face(Box(0, 0, side, side), score, {}) for side, score in ((90, 0.5), (50, 0.9), (20, 0.7))))


@pytest.mark.parametrize(
    ("limits", "sides"),
    [
        ({}, [90, 50, 20]),
        ({"min_score": 0.7}, [50, 20]),
        ({"min_size_px": 50}, [90, 50]),
        ({"max_faces": 1}, [90]),
        ({"min_score": 0.6, "min_size_px": 30, "max_faces": 1}, [50]),
    ],
)
def test_faces_outside_the_limits_are_left_out(limits, sides):
    detector = LimitedDetector(THREE, **limits)
    assert [face.box.width for face in detector.detect(np.zeros((1, 1, 3), dtype=np.uint8))] == sides
    assert (detector.name, detector.margin) == (THREE.name, THREE.margin)
    assert detector.score_range == THREE.score_range


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        ({"min_score": 1.5}, "min-score-range"),
        ({"min_score": -0.1}, "min-score-range"),
        ({"min_score": float("nan")}, "min-score-range"),
        ({"min_size_px": 0}, "face-limit"),
        ({"max_faces": 0}, "face-limit"),
    ],
)
def test_a_limit_that_no_face_can_meet_is_refused(limits, code):
    with raises(DataError, code):
        LimitedDetector(THREE, **limits)


def test_a_least_score_of_0_is_a_limit():
    """A detector may have logits as scores."""
    logits = Fixed(Face(Box(0, 0, 9, 9), -2.0, {}), Face(Box(0, 0, 8, 8), 1.0, {}))
    logits.score_range = (-5.0, 5.0)
    (face,) = LimitedDetector(logits, min_score=0.0).detect(np.zeros((1, 1, 3), dtype=np.uint8))
    assert face.score == 1
