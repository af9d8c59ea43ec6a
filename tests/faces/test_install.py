"""Fetching a detector's file, from a server of this test's own."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from mien.errors import DataError, RunError
from mien.faces import yunet
from mien.faces.yunet import cached_yunet, install_yunet, yunet_path
from support import noted, raises, refused

CONTENT = bytes(range(256)) * 300


class Answer(BaseHTTPRequestHandler):
    """Says what the server was told to; ``cut`` is a file that ends too early."""

    def do_GET(self):
        self.server.asked += 1
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(self.server.content) + self.server.cut))
        self.end_headers()
        self.wfile.write(self.server.content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        server.status, server.content, server.cut, server.asked = 200, CONTENT, 0, 0
        monkeypatch.setattr(yunet, "ADDRESS", f"http://127.0.0.1:{server.server_port}/yunet.onnx")
        monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(CONTENT).hexdigest())
        monkeypatch.setattr(yunet, "SIZE_BYTES", len(CONTENT))
        monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("MIEN_DETECTOR", raising=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def kept(tmp_path):
    return [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_file_is_fetched_once_and_kept_whole(server, tmp_path):
    assert cached_yunet() is None
    assert install_yunet() == install_yunet() == cached_yunet() == yunet_path()
    assert yunet_path().read_bytes() == CONTENT
    assert server.asked == 1
    assert kept(tmp_path) == [yunet_path()]


def test_a_damaged_file_is_fetched_again(server):
    yunet_path().parent.mkdir(parents=True)
    yunet_path().write_bytes(CONTENT[:-1])
    install_yunet()
    assert cached_yunet() is not None
    assert server.asked == 1


@pytest.mark.parametrize(
    ("fault", "found"),
    [
        ({"content": CONTENT[::-1]}, hashlib.sha256(CONTENT[::-1]).hexdigest()),
        ({"content": CONTENT + b"."}, f"{len(CONTENT) + 1:,} bytes"),
        ({"content": CONTENT[:-5]}, f"{len(CONTENT) - 5:,} bytes"),
        ({"content": CONTENT[:-5], "cut": 5}, f"{len(CONTENT) - 5:,} bytes"),
        ({"content": b""}, "0 bytes"),
        ({"status": 404}, "404"),
        ({"status": 503}, "503"),
    ],
)
def test_anything_else_is_one_line_and_nothing_is_kept(server, tmp_path, fault, found):
    for name, value in fault.items():
        setattr(server, name, value)
    with raises(DataError, "detector-download") as caught:
        install_yunet()
    assert found in str(caught.value)
    assert "\n" not in str(caught.value)
    assert kept(tmp_path) == []


def test_without_a_connection_it_says_what_to_do_by_hand(server, tmp_path, monkeypatch):
    monkeypatch.setattr(yunet, "ADDRESS", "http://127.0.0.1:9/yunet.onnx")
    with raises(DataError, "detector-download") as caught:
        install_yunet()
    assert "Connection refused" in str(caught.value)
    assert str(yunet_path()) in str(caught.value)
    assert kept(tmp_path) == []


def test_a_cache_that_cannot_be_written_is_one_line(server, tmp_path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.write_text("")
    monkeypatch.setenv("MIEN_CACHE", str(blocked))
    with pytest.raises(RunError) as caught:
        install_yunet()
    assert str(blocked) in str(caught.value)


def test_the_official_address_and_hash_are_whole():
    assert len(bytes.fromhex(yunet.SHA256)) == 32
    assert yunet.ADDRESS.startswith("https://")
    assert yunet.ADDRESS.endswith(yunet.NAME)


def test_the_command_installs_and_says_where(server, mien):
    done = mien("detectors", "install", "yunet")
    assert (done.code, done.out.strip(), done.err) == (0, str(yunet_path()), "")


def test_the_command_says_why_another_detector_is_used_still(server, mien, monkeypatch):
    monkeypatch.setenv("MIEN_DETECTOR", "haar")
    noted(mien("detectors", "install", "yunet"), "detector-not-in-use", "MIEN_DETECTOR", "haar")


def test_the_command_fails_in_one_line(server, mien):
    server.status = 500
    done = mien("detectors", "install", "yunet")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "500" in done.err
    assert "[detector-download]" in done.err
    refused(mien("detectors", "install", "yunett"), "detector-unknown", "'yunet'")


def test_the_list_says_which_is_in_use_and_why(server, mien, monkeypatch):
    import json

    done = mien("detectors")
    assert done.code == 0
    assert "mien detectors install yunet" in done.out
    monkeypatch.setenv("MIEN_DETECTOR", "haar")
    rows = json.loads(mien("detectors", "--json").out)
    assert [row["why"] for row in rows if row["in_use"]] == ["MIEN_DETECTOR is haar"]
    assert len(rows) == 3
