"""Fetching a detector's file, from a server of this test's own."""

import hashlib
import http.client
import io
import urllib.error

import pytest

from mien.base.errors import DataError, RunError
from mien.faces import yunet
from mien.faces.yunet import cached_yunet, install_yunet, yunet_path
from support import noted, raises, refused

CONTENT = bytes(range(256)) * 300


class Server:
    """What urllib gets: a status and a content, or an error instead."""

    def __init__(self):
        self.status, self.content, self.error, self.asked = 200, CONTENT, None, 0

    def open(self, address, timeout):
        self.asked += 1
        if self.error is not None:
            raise self.error
        if self.status != 200:
            raise urllib.error.HTTPError(address, self.status, "no", None, io.BytesIO())
        return io.BytesIO(self.content)


@pytest.fixture
def server(monkeypatch, tmp_path):
    server = Server()
    monkeypatch.setattr("urllib.request.urlopen", server.open)
    monkeypatch.setattr(yunet, "SHA256", hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(yunet, "SIZE_BYTES", len(CONTENT))
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MIEN_DETECTOR", raising=False)
    return server


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
        ({"error": http.client.IncompleteRead(b"", 5)}, "IncompleteRead"),
        ({"content": b""}, "0 bytes"),
        ({"status": 404}, "404"),
        ({"error": urllib.error.URLError(ConnectionRefusedError("Connection refused"))}, "Connection refused"),
    ],
)
def test_anything_else_is_one_line_and_nothing_is_kept(server, tmp_path, fault, found):
    for name, value in fault.items():
        setattr(server, name, value)
    with raises(DataError, "detector-download") as caught:
        install_yunet()
    assert found in str(caught.value)
    assert str(yunet_path()) in str(caught.value)
    assert "\n" not in str(caught.value)
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
