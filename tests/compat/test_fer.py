"""The shapes of fer 25.10's answers, as its detect_emotions and top_emotion give them."""

import base64
import io
import warnings

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS
from mien.compat.fer import FER, Video
from support import raises, warned


def test_the_answer_is_mien_s_in_fer_s_shape(bgr, expected):
    """Oracle: Predictor.predict on the image in RGB, among the seven classes that the package has."""
    (face,) = FER().detect_emotions(bgr)
    prediction, seven = expected
    assert list(face) == ["box", "emotions"]
    x, y, width, height = face["box"]
    assert (x, y, width, height) == tuple(prediction.box.to_dict().values())
    assert all(type(side) is int for side in face["box"])
    assert list(face["emotions"]) == list(EXPRESSIONS)
    assert face["emotions"] == {name: round(share, 2) for name, share in seven.items()}
    assert FER().top_emotion(bgr) == ("happy", face["emotions"]["happy"])


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


def test_ignored_arguments_cause_a_warning_and_defaults_none():
    with warned("arguments-ignored", "mtcnn", "Haar cascade"):
        FER(mtcnn=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FER(mtcnn=False)


def test_the_script_of_fers_readme_runs_on_a_video(encode_video, astronaut, bgr, tmp_path):
    """Its documented calls, one after the other. Oracle: the faces of the frame itself; the second frame has none."""
    pytest.importorskip("pandas")
    path = encode_video(tmp_path / "a.mkv", [astronaut, np.zeros_like(astronaut), astronaut], codec="ffv1")
    detector = FER()
    video = Video(str(path))
    with warned("arguments-ignored", "display"):
        raw_data = video.analyze(detector, True)
    (face,) = detector.detect_emotions(bgr)
    assert list(raw_data[0]) == ["box0", *(f"{name}0" for name in EXPRESSIONS)]
    assert np.abs(np.array(raw_data[0]["box0"]) - face["box"]).max() <= 3
    assert raw_data[1] == {}
    df = video.to_pandas(raw_data)
    assert len(df) == 3
    df = video.get_first_face(df)
    assert list(df.columns) == ["box", *EXPRESSIONS]
    df = video.get_emotions(df)
    assert list(df.columns) == list(EXPRESSIONS)
    assert df["happy"].iloc[0] > 0.8
    assert df.iloc[1].isna().all()
    with raises(DataError, "file-missing"):
        Video(tmp_path / "none.mp4")
