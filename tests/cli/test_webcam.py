"""``mien webcam``: the service on this machine, and the browser at its page. The page is tried in web/tests."""

import queue
import webbrowser

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


def test_webcam_opens_the_page_of_an_open_service(mien, tmp_path, monkeypatch):
    """A guarded page would classify with a model of its own."""
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
    answer = mien("webcam", "--port", 0)
    assert answer.code == 0, answer.err
    address = opened.get(timeout=600)
    assert address.startswith("http://127.0.0.1:")
    assert address.endswith("/?webcam=1")
    assert address in answer.err
    page, status = answers
    assert "the page" in page
    assert status not in {401, 200}
