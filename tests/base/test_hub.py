"""Models and data sets of the Hugging Face hub, against a local stand-in of its HTTP interface.

The client is huggingface_hub itself; only its address, its cache and its token are the test's.
"""

from __future__ import annotations

import json
import socket

import pytest
from PIL import Image

import mien as package
from hub_server import serve_hub
from mien.base.errors import DataError, MissingExtraError, ModelError
from mien.base.hub import HubAddress, fetch, is_fetched, is_hub_address, parse_address
from support import raises, refused


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The stand-in, an empty cache, and no token."""
    with serve_hub() as server:
        _point_at(server.url, monkeypatch)
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub-cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        fetch.cache_clear()
        yield server
        fetch.cache_clear()


def _point_at(url, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + template)


def test_addresses():
    for text, expected in (
        ("hf://a/b", HubAddress("a/b")),
        ("hf:/a/b", HubAddress("a/b")),
        ("hf://datasets/a/b", HubAddress("a/b")),
        ("hf://a/b.c@v1.0", HubAddress("a/b.c", "v1.0")),
        ("hf://a/b@refs%2Fpr%2F1/sub/file.onnx", HubAddress("a/b", "refs/pr/1", "sub/file.onnx")),
    ):
        assert parse_address(text) == expected
        assert parse_address(str(expected)) == expected
    for text in ("hf://", "hf://a", "hf://a/b@", "hf://a/../b", "hf://a/b/../../c", "hf://a b/c"):
        assert is_hub_address(text)
        with raises(DataError, "hub-address", text):
            parse_address(text)
    assert not is_hub_address("runs/hf")


def test_a_command_takes_an_address_and_asks_once(hub, tiny_run, mien, tmp_path, faces):
    """Oracle: the answer of the run itself."""
    hub.repositories["model", "you/tiny"] = {
        name: (tiny_run.path / name).read_bytes() for name in ("model.onnx", "recipe.toml", "best.safetensors")
    } | {"evil.pkl": b"never fetched", "README.md": b"# mine"}
    Image.fromarray(faces.images[0]).save(tmp_path / "face.png")
    assert is_fetched(package.load("hf://you/tiny").path.parent)
    fetch.cache_clear()
    hub.asked.clear()
    answers = [
        mien("predict", tmp_path / "face.png", "--crops", "--json", "--model", name)
        for name in (tiny_run.path, "hf://you/tiny", "hf://you/tiny/model.onnx")
    ]
    assert [each.code for each in answers] == [0, 0, 0]
    assert answers[0].out == answers[1].out == answers[2].out
    paths = [path for method, path in hub.asked if method == "GET"]
    assert not any("evil" in path for path in paths)
    assert sum(path.endswith("/resolve/main/model.onnx") for path in paths) <= 1
    assert sum("/revision/" in path for path in paths) == 2, "one look for each of the two commands"


def test_data_from_the_hub(hub, face_folder, tmp_path, mien):
    """Oracle: the same files in a local folder, by fingerprint."""
    files = {str(each.relative_to(face_folder)): each.read_bytes() for each in face_folder.rglob("*.png")}
    kept = {name: files[name] for name in sorted(files)[::7]}
    hub.repositories["dataset", "you/faces"] = {**kept, "README.md": b"# card", ".gitattributes": b""}
    local = tmp_path / "faces"
    for name, content in kept.items():
        (local / name).parent.mkdir(parents=True, exist_ok=True)
        (local / name).write_bytes(content)
    read = package.load_dataset("hf://you/faces")
    assert read.fingerprint == package.load_dataset(local).fingerprint
    answer = mien("data", "info", "hf://datasets/you/faces", "--json")
    assert (answer.code, json.loads(answer.out)["faces"]) == (0, len(read))


def test_a_cache_serves_without_a_network(hub, tiny_run, monkeypatch):
    """Oracle: what was fetched before. Without it, one line."""
    hub.repositories["model", "you/tiny"] = {"model.onnx": tiny_run.model.read_bytes()}
    first = package.load("hf://you/tiny").path
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    _point_at(gone, monkeypatch)
    fetch.cache_clear()
    assert package.load("hf://you/tiny").path == first
    with raises(ModelError, "hub-offline", "hf://you/other"):
        package.load("hf://you/other")
    with raises(DataError, "hub-offline"):
        package.load_dataset("hf://you/other/faces.csv")


def test_mistakes_are_one_line_each(hub, tiny_run, mien):
    hub.repositories["model", "you/tiny"] = {"model.onnx": tiny_run.model.read_bytes()}
    hub.repositories["model", "you/other"] = {"pytorch_model.bin": b"x", "config.json": b"{}"}
    hub.repositories["model", "you/fake"] = {"model.onnx": b"not ONNX at all"}
    hub.repositories["model", "you/closed"] = {}
    hub.gated.add("you/closed")
    for address, code in (
        ("hf://you/none", "hub-not-found"),
        ("hf://you/tiny@v9", "hub-not-found"),
        ("hf://you/tiny/other.onnx", "hub-not-found"),
        ("hf://you/other", "hub-not-mien"),
        ("hf://you/fake", "model-damaged"),
        ("hf://you/closed", "hub-denied"),
        ("hf://you", "hub-address"),
    ):
        refused(mien("info", address), code)
    with raises(DataError, "hub-not-found"):
        package.load_dataset("hf://you/none")


def test_the_extra_is_named_where_it_is_missing(monkeypatch):
    import sys

    fetch.cache_clear()
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"mien\[hub\]"):
        package.load("hf://you/tiny")


def test_nothing_is_written_into_a_fetched_run(hub, tiny_run, face_folder, mien):
    """The ledger of the test split belongs to the run's owner. Oracle: the cache's files before."""
    hub.repositories["model", "you/tiny"] = {
        name: (tiny_run.path / name).read_bytes() for name in ("model.onnx", "recipe.toml", "best.safetensors")
    }
    folder = package.load("hf://you/tiny").path.parent
    before = sorted(folder.iterdir())
    assert mien("evaluate", "hf://you/tiny", "--data", face_folder, "--split", "test").code == 0
    assert sorted(folder.iterdir()) == before
