"""The shapes of deepface 0.0.103's answers, as its analyze gives them for the action emotion."""

import numpy as np
import pytest

import mien
from mien.compat import deepface
from mien.compat.pictures import rgb_of
from mien.errors import DataError
from mien.faces.face import Box, Face, Margin

NAMES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]
EMOTION = ["emotion"]


@pytest.fixture(autouse=True)
def _haar(monkeypatch):
    monkeypatch.setenv("MIEN_DETECTOR", "haar")


@pytest.fixture(scope="module")
def bgr(astronaut):
    return np.ascontiguousarray(astronaut[:, :, ::-1])


def test_the_answer_is_mien_s_in_deepface_s_shape(bgr, astronaut):
    """Oracle: Classifier.predict on the picture in RGB."""
    (face,) = deepface.analyze(bgr, actions=EMOTION)
    (reading,) = mien.load().predict(astronaut)
    assert list(face) == ["emotion", "dominant_emotion", "region", "face_confidence"]
    assert list(face["emotion"]) == NAMES
    assert sum(face["emotion"].values()) == pytest.approx(100)
    assert face["emotion"] == pytest.approx({name: 100 * share for name, share in reading.probabilities.items()})
    assert face["dominant_emotion"] == "happy"
    box = reading.box
    assert face["region"] == {
        "x": box.left,
        "y": box.top,
        "w": box.width,
        "h": box.height,
        "left_eye": None,
        "right_eye": None,
    }
    assert 0 < face["face_confidence"] <= 1


def test_several_pictures_have_a_list_each(bgr):
    one = deepface.analyze(bgr, actions="emotion")
    assert deepface.analyze([bgr, bgr], actions=("emotion",)) == [one, one]
    assert deepface.analyze(np.stack([bgr, bgr]), EMOTION) == [one, one]


def test_without_a_face_it_raises_a_value_error_that_is_one_line(tmp_path):
    blank = np.zeros((60, 100, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match="No face was found in the picture by the Haar cascade") as caught:
        deepface.analyze(blank, EMOTION)
    assert isinstance(caught.value, DataError)
    assert isinstance(caught.value, deepface.FaceNotDetected)


@pytest.mark.parametrize("how", [{"enforce_detection": False}, {"detector_backend": "skip"}])
def test_or_the_whole_picture_is_read_as_one(how, faces):
    """Oracle: the picture read as a crop. deepface leaves the last row and column out of the region."""
    drawn = np.asarray(faces.images[0])[8:40]
    (face,) = deepface.analyze(np.repeat(drawn[:, :, np.newaxis], 3, axis=2), EMOTION, **how)
    if "detector_backend" in how:
        square = np.pad(drawn, ((8, 8), (0, 0)), mode="edge")
        expected = mien.load().predict(square, crops=True).probabilities
        assert face["emotion"] == pytest.approx({name: 100 * share for name, share in expected.items()}, abs=1e-6)
    if face["face_confidence"] == 0:
        assert face["region"] == {"x": 0, "y": 0, "w": 47, "h": 31, "left_eye": None, "right_eye": None}
    assert "detector_backend" not in how or face["face_confidence"] == 0


class Landmarks:
    name = "fixed"
    margin = Margin(1.0, 0.0)
    score = 0.987

    def detect(self, rgb):
        eyes = {"right_eye": (10.7, 20.2), "left_eye": (-1.0, 20.0)}
        return [Face(Box(-5, -6, 200, 30), self.score, eyes)]


def test_the_region_is_inside_the_picture_and_eyes_outside_are_none(monkeypatch):
    monkeypatch.setattr(deepface, "find_detector", Landmarks)
    (face,) = deepface.analyze(np.zeros((60, 100, 3), dtype=np.uint8), EMOTION)
    assert face["region"] == {"x": 0, "y": 0, "w": 99, "h": 30, "left_eye": None, "right_eye": (10, 20)}
    assert face["face_confidence"] == 0.99


@pytest.mark.parametrize(("score", "confidence"), [(1.0, 1.0), (37.4, 0.37), (100.0, 1.0), (250.0, 1.0)])
def test_windows_of_the_haar_cascade_become_a_share(monkeypatch, score, confidence):
    monkeypatch.setattr(deepface, "find_detector", Landmarks)
    monkeypatch.setattr(Landmarks, "score", score)
    (face,) = deepface.analyze(np.zeros((60, 100, 3), dtype=np.uint8), EMOTION)
    assert face["face_confidence"] == confidence


@pytest.mark.parametrize("actions", [("emotion", "age"), ["gender"], (), None])
def test_other_actions_are_refused(bgr, actions):
    given = {} if actions is None else {"actions": actions}
    with pytest.raises(DataError, match=r"give actions=\['emotion'\]"):
        deepface.analyze(bgr, **given)


def test_what_is_not_heeded_says_so_and_what_cannot_be_is_refused(bgr):
    with pytest.warns(UserWarning, match="does not heed detector_backend: faces are found by the Haar cascade"):
        deepface.analyze(bgr, EMOTION, detector_backend="retinaface")
    with pytest.warns(UserWarning, match="does not heed expand_percentage: faces"):
        deepface.analyze(bgr, EMOTION, expand_percentage=5)
    with pytest.raises(DataError, match="anti_spoofing"):
        deepface.analyze(bgr, EMOTION, anti_spoofing=True)


@pytest.mark.parametrize(
    ("picture", "given", "said"),
    [
        ("nowhere.jpg", {}, "does not exist"),
        (b"no picture", {}, "is not an image"),
        (None, {}, "of type NoneType is not a picture"),
        (np.zeros((3, 4, 5), dtype=np.uint8), {}, "found shape"),
        ("https://example.org/x.jpg", {}, "works offline"),
        ("data:image/png;base64,?", {}, "base64 text is damaged"),
        ("nowhere.jpg", {"actions": ["age"]}, "reads expressions alone"),
        ("nowhere.jpg", {"anti_spoofing": True}, "anti_spoofing"),
    ],
)
def test_every_refusal_is_a_value_error_as_in_deepface(picture, given, said):
    with pytest.raises(ValueError, match=said) as caught:
        deepface.analyze(picture, **{"actions": EMOTION, **given})
    assert isinstance(caught.value, DataError)


def test_transparency_comes_after_opencv_s_order(bgr):
    """Oracle: the picture in BGR. Where nothing is seen, white."""
    bgra = np.dstack([bgr, np.full(bgr.shape[:2], 255, dtype=np.uint8)])
    assert deepface.analyze(bgra, EMOTION) == deepface.analyze(bgr, EMOTION)
    blue = np.zeros((2, 2, 4), dtype=np.uint8)
    blue[0] = (255, 0, 0, 255)
    assert rgb_of(blue).tolist() == [[[0, 0, 255]] * 2, [[255, 255, 255]] * 2]
