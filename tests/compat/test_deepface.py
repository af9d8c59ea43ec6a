"""The shapes of deepface 0.0.103's answers, as its analyze gives them for the action emotion."""

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS
from mien.compat import deepface
from mien.faces.face import Box, Face, Margin
from support import raises, warned

EMOTION = ["emotion"]


def test_the_answer_is_mien_s_in_deepface_s_shape(bgr, expected):
    """Oracle: Predictor.predict on the image in RGB, among the seven classes that the package has."""
    (face,) = deepface.analyze(bgr, actions=EMOTION)
    assert deepface.analyze([bgr, bgr], actions=EMOTION) == [[face], [face]]
    prediction, seven = expected
    assert list(face) == ["emotion", "dominant_emotion", "region", "face_confidence"]
    assert list(face["emotion"]) == list(EXPRESSIONS)
    assert sum(face["emotion"].values()) == pytest.approx(100)
    assert face["emotion"] == pytest.approx({name: 100 * share for name, share in seven.items()})
    assert face["dominant_emotion"] == "happy"
    box = prediction.box
    assert face["region"] == {
        "x": box.left,
        "y": box.top,
        "w": box.width,
        "h": box.height,
        "left_eye": None,
        "right_eye": None,
    }
    assert 0 < face["face_confidence"] <= 1


def test_without_a_face_it_raises_a_value_error_that_is_one_line(tmp_path):
    blank = np.zeros((60, 100, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="Haar cascade") as caught:
        deepface.analyze(blank, EMOTION)
    assert caught.value.code == "face-not-detected"
    assert isinstance(caught.value, DataError)
    assert isinstance(caught.value, deepface.FaceNotDetected)


class Landmarks:
    name = "fixed"
    margin, score_range = Margin(1.0, 0.0), (0.0, 1.0)
    score = 0.987

    def detect(self, rgb):
        eyes = {"right_eye": (10.7, 20.2), "left_eye": (-1.0, 20.0)}
        return [Face(Box(-5, -6, 200, 30), self.score, eyes)]


def test_the_region_is_inside_the_image_and_eyes_outside_are_none(monkeypatch):
    monkeypatch.setattr("mien.inference.face_reader.find_detector", lambda wanted: Landmarks())
    (face,) = deepface.analyze(np.zeros((60, 100, 3), dtype=np.uint8), EMOTION)
    assert face["region"] == {"x": 0, "y": 0, "w": 99, "h": 30, "left_eye": None, "right_eye": (10, 20)}
    assert face["face_confidence"] == 0.99


@pytest.mark.parametrize("actions", [None, ["age", "gender", "race", "emotion"]])
def test_other_actions_are_left_out_with_a_warning(bgr, actions):
    """The calls of deepface's README: all four actions, and the default ones."""
    given = {} if actions is None else {"actions": actions}
    with warned("actions-skipped", "age, gender, race"):
        found = deepface.analyze(img_path=bgr, **given)
    assert found == deepface.analyze(bgr, EMOTION)


def test_faces_are_cut_out_as_deepface_gives_them(bgr, astronaut):
    """Oracle: the region that analyze gives, cut out by hand."""
    (analyzed,) = deepface.analyze(bgr, EMOTION)
    (face,) = deepface.extract_faces(img_path=bgr, detector_backend="opencv", align=True)
    area = face["facial_area"]
    assert area == analyzed["region"]
    assert face["confidence"] == analyzed["face_confidence"]
    expected = astronaut[area["y"] : area["y"] + area["h"], area["x"] : area["x"] + area["w"]]
    np.testing.assert_allclose(face["face"], expected / 255)
    blank = np.zeros((60, 100, 3), dtype=np.uint8)
    with raises(DataError, "face-not-detected"):
        deepface.extract_faces(blank)
    (whole,) = deepface.extract_faces(blank, enforce_detection=False)
    assert (whole["face"].shape, whole["confidence"]) == ((60, 100, 3), 0.0)


@pytest.mark.parametrize(
    ("image", "given", "code"),
    [
        ("nowhere.jpg", {}, "file-missing"),
        (b"no image", {}, "image-format"),
        (None, {}, "image-type"),
        (np.zeros((3, 4, 5), dtype=np.uint8), {}, "image-shape"),
        ("https://example.org/x.jpg", {}, "image-address"),
        ("data:image/png;base64,?", {}, "image-base64"),
        ("nowhere.jpg", {"actions": ["age"]}, "deepface-actions"),
        ("nowhere.jpg", {"anti_spoofing": True}, "deepface-anti-spoofing"),
    ],
)
def test_every_error_is_a_value_error_as_in_deepface(image, given, code):
    with raises(DataError, code) as caught:
        deepface.analyze(image, **{"actions": EMOTION, **given})
    assert isinstance(caught.value, ValueError)
