"""Copies of the browser page, and what it reads of models. Here it is a few files; `make test-web` has the real one."""

import json
from pathlib import Path

import pytest

import mien
from mien.base.errors import ModelError, RunError
from mien.base.model_file import read_manifest
from mien.inference.find_model import find_model
from mien.serve import built_page
from support import raises, refused


@pytest.fixture
def static(tmp_path, monkeypatch):
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<p>page</p>")
    (folder / "assets" / "index.js").write_text("1")
    (folder / "model.onnx").write_bytes(b"another model")
    monkeypatch.setattr(built_page, "STATIC", folder)
    return folder


def test_a_copy_holds_the_page_and_the_chosen_model(static, tmp_path):
    model = find_model("default")
    files = built_page.copy_page(tmp_path / "site", [model])
    names = {str(file.relative_to(tmp_path / "site")) for file in files}
    assert names == {"index.html", str(Path("assets", "index.js")), "model.onnx", "model.json", "models.json"}
    assert (tmp_path / "site" / "model.onnx").read_bytes() == model.read_bytes()
    manifest = json.loads((tmp_path / "site" / "model.json").read_text(encoding="utf-8"))
    assert manifest == read_manifest(model).model_dump(mode="json")


def test_several_models_are_offered_in_their_order(static, tmp_path):
    built_page.copy_page(tmp_path / "site", [find_model("fast-int8"), find_model("default-int8")])
    assert json.loads((tmp_path / "site" / "models.json").read_text(encoding="utf-8")) == ["fast-int8", "default-int8"]
    assert (tmp_path / "site" / "model.onnx").read_bytes() == find_model("fast-int8").read_bytes()
    assert (tmp_path / "site" / "model-2.onnx").read_bytes() == find_model("default-int8").read_bytes()
    assert json.loads((tmp_path / "site" / "model-2.json").read_text(encoding="utf-8"))["precision"] == "int8"


def test_other_files_of_the_folder_stay(static, tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "robots.txt").write_text("mine")
    built_page.copy_page(tmp_path / "site", [find_model("default")])
    assert (tmp_path / "site" / "robots.txt").read_text() == "mine"


def test_a_new_copy_removes_models_that_are_no_longer_offered(static, tmp_path):
    site = tmp_path / "site"
    built_page.copy_page(site, [find_model("fast-int8"), find_model("default-int8")])
    (site / "model-card.onnx").touch()
    built_page.copy_page(site, [find_model("fast-int8")], overwrite=True)
    assert {file.name for file in site.glob("model*")} == {"model.onnx", "model.json", "models.json", "model-card.onnx"}


def test_the_built_page_itself_gets_another_model(static):
    files = built_page.copy_page(static, [find_model("default")])
    assert {file.name for file in files} == {"model.onnx", "model.json", "models.json"}
    assert (static / "model.onnx").read_bytes() == find_model("default").read_bytes()
    assert (static / "index.html").read_text() == "<p>page</p>"


def test_without_a_built_page_it_says_how_to_build_one(static, tmp_path, mien):
    (static / "index.html").unlink()
    refused(mien("web", "build", tmp_path / "site"), "page-not-built")
    assert not (tmp_path / "site").exists()


def test_a_file_that_is_not_a_model_leaves_nothing_behind(static, tmp_path):
    (tmp_path / "odd.onnx").write_bytes(b"nothing")
    with raises(ModelError, "model-damaged", "odd.onnx"):
        built_page.copy_page(tmp_path / "site", [tmp_path / "odd.onnx"])
    assert not (tmp_path / "site").exists()


def test_a_file_in_place_of_the_folder_is_refused(static, tmp_path):
    (tmp_path / "site").write_text("mine")
    with raises(RunError, "folder-is-file"):
        built_page.copy_page(tmp_path / "site", [find_model("default")])
    assert (tmp_path / "site").read_text() == "mine"


def test_the_page_starts_with_pythons_model():
    """Oracle: mien.load, so that page and Python answer with one file."""
    assert find_model(built_page.PAGE_MODEL) == mien.load().path
