"""What a browser gets: with the page built and without, and nothing from elsewhere."""

import re

import pytest

from mien.base.model_file import read_manifest
from mien.inference.find_model import SHIPPED, find_model
from mien.serve import built_page


@pytest.fixture
def static(tmp_path, monkeypatch):
    """A built page of a few files."""
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<h1>page</h1>")
    (tmp_path / "model.onnx").write_bytes(b"model")
    (tmp_path / "icon.svg").write_text("<svg/>")
    (tmp_path / "assets" / "index-1a2b3c.js").write_text("1")
    (tmp_path / "assets" / "ort-4d5e6f.wasm").write_bytes(b"\0asm")
    monkeypatch.setattr(built_page, "STATIC", tmp_path)


@pytest.fixture
def built(static, start):
    """A service whose page is built."""
    return start().ask


def test_page_has_the_headers_that_threads_need(built):
    page = built("GET", "/")
    assert page.text == "<h1>page</h1>"
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert page.headers["cross-origin-embedder-policy"] == "require-corp"
    assert page.headers["cache-control"] == "no-cache"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert built("GET", "/", headers={"if-none-match": page.headers["etag"]}).status_code == 304


def test_page_gets_the_model_and_manifest_of_the_service(built):
    assert built("GET", "/model.onnx").content == find_model("default").read_bytes()
    manifest = built("GET", "/model.json")
    assert manifest.headers["content-type"] == "application/json"
    assert manifest.json() == read_manifest(find_model("default")).model_dump(mode="json")


@pytest.mark.parametrize("address", ["/model.onnx", "/v1/model"])
def test_answers_are_compressed_on_request(built, address):
    """Oracle: the answer to a client that does not."""
    whole = built("GET", address, headers={"accept-encoding": "identity"})
    packed = built("GET", address, headers={"accept-encoding": "br, gzip"})
    assert "content-encoding" not in whole.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.content == whole.content


def test_page_offers_the_models_of_service_and_package(built):
    assert built("GET", "/models.json").json() == [*SHIPPED]
    assert built("GET", "/model-2.onnx").content == find_model(SHIPPED[1]).read_bytes()


@pytest.mark.parametrize("token", [None, "s3cret-of-the-service"])
def test_page_of_a_guarded_service_hides_its_own_model(static, start, tmp_path, token):
    own = tmp_path / "own.onnx"
    own.write_bytes(find_model("default").read_bytes())
    ask = start(own, token=token).ask
    shown = own if token is None else find_model(built_page.PAGE_MODEL)
    assert ask("GET", "/model.onnx").content == shown.read_bytes()
    assert ask("GET", "/model.json").json() == read_manifest(shown).model_dump(mode="json")


def test_hashed_files_are_cached(built):
    for name, kind in (("index-1a2b3c.js", "javascript"), ("ort-4d5e6f.wasm", "application/wasm")):
        file = built("GET", f"/assets/{name}")
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert kind in file.headers["content-type"]
        assert file.headers["cross-origin-embedder-policy"] == "require-corp"


@pytest.mark.parametrize("address", ["/assets/../index.html", "/assets/%2e%2e/%2e%2e/etc/passwd", "/assets/", "/../x"])
def test_files_outside_the_page_are_not_served(built, address):
    response = built("GET", address)
    assert response.status_code in {404, 200}
    assert response.status_code == 404 or response.text == "<h1>page</h1>"


def test_service_without_a_page_says_how_to_build_it(start, monkeypatch, tmp_path):
    monkeypatch.setattr(built_page, "STATIC", tmp_path)
    page = start().ask("GET", "/").text
    assert "make web" in page
    assert not re.search(r"<script|src=|href=\"(?!data:,|openapi)|https?://", page), "nothing from elsewhere"


def test_documentation_loads_nothing_from_other_hosts(service):
    """Oracle: the addresses in the page. Its policy allows no script within it."""
    page = service.ask("GET", "/docs")
    addresses = re.findall('(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 4
    for address in addresses:
        if address.startswith("data:"):
            continue
        assert address.startswith("docs/")
        file = service.ask("GET", f"/{address}")
        assert file.status_code == 200
        assert file.headers["content-type"].startswith(("text/css", "text/javascript", "application/javascript"))
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "<script>" not in page.text
    assert "SwaggerUIBundle" in service.ask("GET", "/docs/start.js").text
