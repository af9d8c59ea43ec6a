"""The shapes of fer 25.10's answers, as its detect_emotions and top_emotion give them."""

import base64
import io
import warnings

import numpy as np
import pytest
from PIL import Image

import mien
from mien.compat.fer import FER
from mien.errors import DataError
from mien.faces.face import Box, Face, Margin

NAMES = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


@pytest.fixture(autouse=True)
def _haar(monkeypatch):
    monkeypatch.setenv("MIEN_DETECTOR", "haar")


@pytest.fixture(scope="module")
def bgr(astronaut):
    return np.ascontiguousarray(astronaut[:, :, ::-1])


def test_the_answer_is_mien_s_in_fer_s_shape(bgr, astronaut):
    """Oracle: Classifier.predict on the picture in RGB."""
    (face,) = FER().detect_emotions(bgr)
    (reading,) = mien.load().predict(astronaut)
    assert list(face) == ["box", "emotions"]
    x, y, width, height = face["box"]
    assert (x, y, width, height) == tuple(reading.box.to_dict().values())
    assert all(type(side) is int for side in face["box"])
    assert list(face["emotions"]) == NAMES
    assert face["emotions"] == {name: round(share, 2) for name, share in reading.probabilities.items()}
    assert FER().top_emotion(bgr) == ("happy", face["emotions"]["happy"])


def test_no_face_is_an_empty_list_and_two_nones():
    blank = np.zeros((100, 100, 3), dtype=np.uint8)
    assert FER().detect_emotions(blank) == []
    assert FER().top_emotion(blank) == (None, None)


def test_paths_data_uris_and_grey_arrays_are_taken(bgr, astronaut, tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(astronaut).save(path)
    uri = f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
    expected = FER().detect_emotions(bgr)
    assert FER().detect_emotions(str(path)) == FER().detect_emotions(uri) == expected
    grey = np.asarray(Image.fromarray(astronaut).convert("L"))
    assert FER().top_emotion(grey)[0] == "happy"
    with io.BytesIO(path.read_bytes()) as stream:
        assert FER().detect_emotions(stream) == expected


def test_given_rectangles_are_read_as_they_are(bgr, astronaut):
    (face,) = FER().detect_emotions(bgr)
    given = FER().detect_emotions(bgr, face_rectangles=np.array([face["box"], [0, 0, 50, 60]]))
    assert given[0] == face
    assert given[1]["box"] == [0, 0, 50, 60]


def test_small_faces_are_left_out(bgr):
    assert len(FER(min_face_size=50).detect_emotions(bgr)) == 1
    assert FER(min_face_size=120).detect_emotions(bgr) == []


@pytest.mark.parametrize("box", [Box(10, 10, 80, 40), Box(10, 10, 40, 80)])
def test_a_face_is_as_small_as_its_shorter_side(monkeypatch, bgr, box):
    class Fixed:
        name, margin = "fixed", Margin(1.0, 0.0)

        def detect(self, rgb):
            return [Face(box, 1.0, {})]

    monkeypatch.setattr("mien.compat.fer.find_detector", Fixed)
    (face,) = FER(min_face_size=40).detect_emotions(bgr)
    assert face["box"] == [box.left, box.top, box.width, box.height]
    assert FER(min_face_size=41).detect_emotions(bgr) == []


@pytest.mark.parametrize(
    "given",
    [
        {"mtcnn": True},
        {"tfserving": True},
        {"use_tflite": False},
        {"cascade_file": "x.xml"},
        {"scale_factor": 1.3},
        {"min_neighbors": 3},
        {"offsets": (0, 0)},
    ],
)
def test_what_is_not_heeded_says_so(given):
    (name,) = given
    with pytest.warns(UserWarning, match=f"does not heed {name}: faces are found by the Haar cascade"):
        FER(**given)


def test_defaults_are_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FER(None, False, False, True, 1.1, 40, 5, (10, 10))


@pytest.mark.parametrize("given", [{"scale_factor": 1}, {"min_face_size": 0}, {"min_neighbors": -1}, {"offsets": (1,)}])
def test_impossible_values_are_value_errors_as_in_fer(given):
    with pytest.raises(ValueError, match="scale_factor must be above 1"):
        FER(**given)


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        ("https://example.org/x.jpg", "works offline"),
        ("nowhere.jpg", "does not exist"),
        ("data:image/png;base64,?", "base64 text is damaged"),
        ("data:image/png;base64,ü", "base64 text is damaged"),
        (None, "of type NoneType is not a picture"),
        (np.zeros((3, 4, 5, 6), dtype=np.uint8), "found shape"),
    ],
)
def test_what_is_no_picture_is_one_line(picture, said):
    with pytest.raises(DataError, match=said):
        FER().detect_emotions(picture)
