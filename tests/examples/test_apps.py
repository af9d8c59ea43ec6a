"""The examples of mien inside other frameworks. Oracle: the prediction of the photo in Python."""

import io
from pathlib import Path

import numpy as np
import pytest

import mien
from support import encoded, load_script

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def jpeg(astronaut):
    return encoded(astronaut, "JPEG", quality=95)


def test_fastapi(jpeg):
    testclient = pytest.importorskip("fastapi.testclient")
    pytest.importorskip("httpx")
    client = testclient.TestClient(load_script(EXAMPLES / "fastapi_app.py").app)
    (expected,) = mien.load("default-int8", threads=1).predict(io.BytesIO(jpeg))
    (found,) = client.post("/faces", files={"photo": jpeg}).json()
    assert (found["answer"], found["box"]) == (expected.answer, expected.box.to_dict())
    refused = client.post("/faces", files={"photo": b"no image"})
    assert (refused.status_code, refused.json()["detail"]["code"]) == (422, "image-format")


def test_gradio(astronaut):
    pytest.importorskip("gradio", reason="gradio is not installed")
    example = load_script(EXAMPLES / "gradio_app.py")
    (photo, boxes), shares = example.read(astronaut)
    (expected,) = mien.load("default-int8").predict(astronaut)
    assert photo is astronaut
    assert [text for _, text in boxes] == [expected.text]
    assert boxes[0][0][:2] == (expected.box.left, expected.box.top)
    assert shares == expected.probabilities
    assert example.read(np.zeros((60, 80, 3), dtype=np.uint8))[1] == {}


def test_streamlit(jpeg, monkeypatch):
    testing = pytest.importorskip("streamlit.testing.v1", reason="streamlit is not installed")
    import streamlit

    files = [io.BytesIO(jpeg), io.BytesIO(b"no image")]
    files[0].name, files[1].name = "photo.jpg", "bad.txt"
    monkeypatch.setattr(streamlit, "file_uploader", lambda *words, **named: files)
    page = testing.AppTest.from_file(str(EXAMPLES / "streamlit_app.py"), default_timeout=300).run()
    assert not page.exception
    assert page.dataframe[0].value[["source", "answer"]].to_numpy().tolist() == [["photo.jpg", "happy"]]
    assert "bad.txt" in page.error[0].value
