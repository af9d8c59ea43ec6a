"""Commands that serve pages: what they print and start. What the service answers is in tests/serve."""

import importlib
import json
import queue
import sys
import webbrowser

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import MissingExtraError
from mien.data.ballots import Vote, write_ballot
from support import note_codes, raises, ran, refused


def test_serve_names_the_missing_extra(mien, monkeypatch):
    for name in [each for each in sys.modules if each.startswith("mien.serve.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    refused(mien("serve"), "missing-extra", "fastapi", "pip install 'mien[serve]'")
    with raises(MissingExtraError, "missing-extra", "fastapi"):
        importlib.import_module("mien.serve.app")


@pytest.mark.parametrize(("arguments", "warned"), [((), False), (("--host", "0.0.0.0"), True)])
def test_serve_notes_an_open_service(mien, monkeypatch, arguments, warned):
    started = []
    monkeypatch.setattr("mien.serve.server.run", lambda app, listener, limits: started.append(listener.close()))
    monkeypatch.delenv("MIEN_TOKEN", raising=False)
    answer = mien("serve", "--port", 0, *arguments)
    assert (answer.code, len(started), "service-open" in note_codes(answer.err)) == (0, 1, warned)
    monkeypatch.setenv("MIEN_TOKEN", "a-token-of-this-test")
    assert "warning" not in mien("serve", "--port", 0, *arguments).err


def test_webcam_opens_the_page_of_an_open_service(mien, tmp_path, monkeypatch):
    """A guarded page would classify with a model of its own."""
    pytest.importorskip("fastapi")
    from starlette.testclient import TestClient

    from mien.serve import built_page

    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<title>the page</title>")
    monkeypatch.setattr(built_page, "STATIC", tmp_path)
    opened, answers = queue.Queue(), []

    def run(server, sockets):
        sockets[0].close()
        with TestClient(server.config.app, base_url="http://127.0.0.1") as client:
            answers.extend([client.get("/").text, client.post("/v1/predict").status_code])

    monkeypatch.setattr(webbrowser, "open", opened.put)
    monkeypatch.setattr("uvicorn.Server.run", run)
    monkeypatch.setenv("MIEN_TOKEN", "a token of the service, not of this")
    answer, address = ran(mien("webcam", "--port", 0)), opened.get(timeout=600)
    assert address.startswith("http://127.0.0.1:")
    assert address.endswith("/?webcam=1")
    assert address in answer.err
    page, status = answers
    assert "the page" in page
    assert status not in {401, 200}


def test_label_merges_votes(mien, tmp_path):
    Image.fromarray(np.full((48, 48), 90, dtype=np.uint8)).save(tmp_path / "a.png")
    for person in ("anna", "ben"):
        write_ballot(tmp_path / "votes" / f"{person}.csv", [Vote("a.png", "sad")])
    answer = mien("label", tmp_path, "--merge", "--votes", tmp_path / "votes", "--json")
    assert json.loads(answer.out)["people"] == ["anna", "ben"], answer.err
    assert mien("label", tmp_path, "--merge", "--votes", tmp_path / "votes").code == 0
