"""``mien webcam``: the service on this machine, and the browser at its page. The page is tried in web/tests."""

import threading
import urllib.request
import webbrowser

import pytest

from support import refused

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")


@pytest.fixture
def page(tmp_path, monkeypatch):
    """A page as if it were built."""
    from mien.serve import built_page

    (tmp_path / "index.html").write_text("<title>the page</title>")
    monkeypatch.setattr("mien.cli.webcam.built_page", lambda: tmp_path)
    monkeypatch.setattr(built_page, "built_page", lambda: tmp_path)
    return tmp_path


def test_it_opens_the_browser_at_the_page_of_a_service_that_answers(mien, page, monkeypatch):
    from mien.serve.app import create_app

    opened, answered, came = [], [], threading.Event()

    def browse(address):
        opened.append(address)
        with urllib.request.urlopen(address, timeout=600) as answer:
            answered.append((answer.status, answer.headers["content-type"]))
        came.set()

    def run_until_it_came(app, listener, limits):
        import uvicorn

        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
        threading.Thread(target=lambda: (came.wait(30), setattr(server, "should_exit", True)), daemon=True).start()
        server.run(sockets=[listener])

    monkeypatch.setattr(webbrowser, "open", browse)

    def create_unguarded(*arguments, token, **named):
        assert token is None, "a guarded page would read with a model of its own"
        return create_app(*arguments, token=token, **named)

    monkeypatch.setattr("mien.serve.server.run", run_until_it_came)
    monkeypatch.setattr("mien.serve.app.create_app", create_unguarded)
    monkeypatch.setenv("MIEN_TOKEN", "a token of the service, not of this")
    answer = mien("webcam", "--port", 0)
    assert answer.code == 0, answer.err
    (address,) = opened
    assert address.startswith("http://127.0.0.1:")
    assert address.endswith("/?webcam=1")
    assert answered == [(200, "text/html; charset=utf-8")]
    assert address in answer.err


def test_a_page_that_is_not_built_is_one_line(mien, tmp_path, monkeypatch):
    from mien.serve import built_page

    monkeypatch.setattr(built_page, "STATIC", tmp_path / "static")
    monkeypatch.setattr(webbrowser, "open", lambda address: pytest.fail("opened"))
    refused(mien("webcam"), "page-not-built", tmp_path / "static")
