"""What a browser gets: with the page built and without, nothing from elsewhere; copies of the page for other hosts.

Here the page is a few files; `make test-web` has the real one.
"""

import json
import re
from pathlib import Path

import pytest

import mien
from mien.base.errors import ModelError, RunError
from mien.base.model_file import read_manifest
from mien.base.run_folder import SHIPPED, find_model
from mien.serve import built_page
from support import raises, refused


@pytest.fixture
def static(tmp_path, monkeypatch):
    """A built page of a few files."""
    folder = tmp_path / "static"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>page</h1>")
    (folder / "model.onnx").write_bytes(b"another model")
    (folder / "assets" / "index-1a2b3c.js").write_text("1")
    (folder / "assets" / "ort-4d5e6f.wasm").write_bytes(b"\0asm")
    monkeypatch.setattr(built_page, "STATIC", folder)
    return folder


@pytest.fixture
def built(static, start):
    """A service whose page is built."""
    return start().ask


def test_page_has_the_headers_that_threads_need(built):
    page = built("GET", "/")
    assert page.text == "<h1>page</h1>"
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert (page.headers["cross-origin-embedder-policy"], page.headers["cache-control"]) == ("require-corp", "no-cache")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert built("GET", "/", headers={"if-none-match": page.headers["etag"]}).status_code == 304
    assert built("GET", "/models.json").json() == [*SHIPPED]
    assert built("GET", "/model-2.onnx").content == find_model(SHIPPED[1]).read_bytes()
    # Oracle: mien.load, so that page and Python answer with one file.
    assert find_model(built_page.PAGE_MODEL) == mien.load().path


@pytest.mark.parametrize("address", ["/model.onnx", "/v1/model"])
def test_answers_are_compressed_on_request(built, address):
    """Oracle: the answer to a client that does not."""
    whole = built("GET", address, headers={"accept-encoding": "identity"})
    packed = built("GET", address, headers={"accept-encoding": "br, gzip"})
    assert "content-encoding" not in whole.headers
    assert (packed.headers["content-encoding"], packed.content) == ("gzip", whole.content)


@pytest.mark.parametrize("token", [None, "s3cret-of-the-service"])
def test_page_of_a_guarded_service_hides_its_own_model(static, start, tmp_path, token):
    own = tmp_path / "own.onnx"
    own.write_bytes(find_model("default").read_bytes())
    ask = start(own, token=token).ask
    shown = own if token is None else find_model(built_page.PAGE_MODEL)
    assert ask("GET", "/model.onnx").content == shown.read_bytes()
    manifest = ask("GET", "/model.json")
    assert manifest.headers["content-type"] == "application/json"
    assert manifest.json() == read_manifest(shown).model_dump(mode="json")


@pytest.mark.parametrize(("name", "kind"), [("index-1a2b3c.js", "javascript"), ("ort-4d5e6f.wasm", "application/wasm")])
def test_hashed_files_are_cached(built, name, kind):
    file = built("GET", f"/assets/{name}")
    assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert kind in file.headers["content-type"]
    assert file.headers["cross-origin-embedder-policy"] == "require-corp"


@pytest.mark.parametrize(
    "address",
    ["/assets/../index.html", "/assets/%2e%2e/%2e%2e/etc/passwd", "/assets/", "/../x", "/assets/..%2f..%2fown.onnx"],
)
def test_files_outside_the_page_are_not_served(built, address):
    response = built("GET", address)
    assert response.status_code == 404 or response.text == "<h1>page</h1>"


def test_service_without_a_page_says_how_to_build_it(start, monkeypatch, tmp_path):
    monkeypatch.setattr(built_page, "STATIC", tmp_path)
    page = start().ask("GET", "/").text
    assert "make web" in page
    assert not re.search(r"<script|src=|href=\"(?!data:,|openapi)|https?://", page), "nothing from elsewhere"


def test_documentation_loads_nothing_from_other_hosts(service):
    """Oracle: the addresses in the page. Its policy allows no script within it."""
    page = service.ask("GET", "/docs")
    addresses = re.findall('(?:src|href)="([^":]+)"', page.text)
    assert addresses == ["docs/swagger-ui.css", "docs/swagger-ui-bundle.js", "docs/start.js"]
    for address in addresses:
        file = service.ask("GET", f"/{address}")
        assert file.status_code == 200
        assert file.headers["content-type"].startswith(("text/css", "text/javascript", "application/javascript"))
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "SwaggerUIBundle" in service.ask("GET", "/docs/start.js").text


def test_copy_holds_the_page_the_models_and_earlier_files(static, tmp_path):
    """A new copy removes only the models that are no longer offered."""
    site, models = tmp_path / "site", [find_model("fast-int8"), find_model("default-int8")]
    site.mkdir()
    (site / "robots.txt").write_text("mine")
    (site / "model-card.onnx").touch()
    names = {str(file.relative_to(site)) for file in built_page.copy_page(site, models)}
    assets = {str(Path("assets", name)) for name in ("index-1a2b3c.js", "ort-4d5e6f.wasm")}
    first, second = {"model.onnx", "model.json", "models.json"}, {"model-2.onnx", "model-2.json"}
    assert names == {"index.html"} | assets | first | second
    assert json.loads((site / "models.json").read_text(encoding="utf-8")) == ["fast-int8", "default-int8"]
    for model, name in zip(models, ("model", "model-2"), strict=True):
        assert (site / f"{name}.onnx").read_bytes() == model.read_bytes()
        manifest = json.loads((site / f"{name}.json").read_text(encoding="utf-8"))
        assert manifest == read_manifest(model).model_dump(mode="json")
    with raises(RunError, "file-exists"):
        built_page.copy_page(site, models)
    built_page.copy_page(site, models[:1], overwrite=True)
    assert {file.name for file in site.glob("model*")} == first | {"model-card.onnx"}
    assert (site / "robots.txt").read_text() == "mine"


def test_copy_into_the_built_page_changes_its_models_only(static):
    files = built_page.copy_page(static, [find_model("default")])
    assert {file.name for file in files} == {"model.onnx", "model.json", "models.json"}
    assert (static / "model.onnx").read_bytes() == find_model("default").read_bytes()
    assert (static / "index.html").read_text() == "<h1>page</h1>"


def test_copy_rejects_a_missing_page_a_bad_model_and_a_file(static, tmp_path, mien):
    site, odd = tmp_path / "site", tmp_path / "odd.onnx"
    odd.write_bytes(b"nothing")
    with raises(ModelError, "model-damaged", "odd.onnx"):
        built_page.copy_page(site, [odd])
    with raises(RunError, "out-path"):
        built_page.copy_page(odd, [find_model("default")])
    (static / "index.html").unlink()
    refused(mien("web", "build", site), "page-not-built")
    assert not site.exists()
    assert odd.read_bytes() == b"nothing"
