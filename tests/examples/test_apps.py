"""The examples of mien inside other frameworks. Oracle: the prediction of the photo in Python."""

import io
from pathlib import Path

from fastapi.testclient import TestClient

import mien
from support import encoded, load_script

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_fastapi(astronaut):
    jpeg, client = encoded(astronaut, "JPEG", quality=95), TestClient(load_script(EXAMPLES / "fastapi_app.py").app)
    (expected,) = mien.load("default-int8", threads=1).predict(io.BytesIO(jpeg))
    (found,) = client.post("/faces", files={"photo": jpeg}).json()
    assert (found["answer"], found["box"]) == (expected.answer, expected.box.to_dict())
    refused = client.post("/faces", files={"photo": b"no image"})
    assert (refused.status_code, refused.json()["detail"]["code"]) == (422, "image-format")
