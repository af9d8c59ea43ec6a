"""What a browser gets: with the page built and without, and nothing from elsewhere."""

import asyncio
import base64
import hashlib
import json
import re
import socket

import httpx
import pytest

from mien.artifact import read_manifest
from mien.faces.haar import HaarDetector
from mien.inference.find_model import find_model
from mien.serve import built_page
from mien.serve.api_errors import CODES
from mien.serve.app import create_app
from mien.serve.limits import Limits


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


def asks(app):
    def ask(method, address, **named):
        async def main():
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
                return await client.request(method, address, **named)

        return asyncio.run(main())

    return ask


@pytest.fixture
def built(static):
    """A service whose page is built."""
    return asks(create_app(find_model("default"), HaarDetector(), threads=1))


def test_the_built_page_is_served_with_what_threads_need(built):
    page = built("GET", "/")
    assert page.text == "<h1>page</h1>"
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert page.headers["cross-origin-embedder-policy"] == "require-corp"
    assert page.headers["cache-control"] == "no-cache"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert built("GET", "/", headers={"if-none-match": page.headers["etag"]}).status_code == 304


def shown_of(name):
    """The manifest of a model of mien in int8, and how often people's majority agrees with it, by its card."""
    model = find_model(name)
    measured = json.loads((model.parent / "card.json").read_bytes())["int8"]["majority_accuracy"]
    return {**read_manifest(model).model_dump(mode="json"), "majority_accuracy": measured}


def test_the_page_uses_the_int8_form_of_the_services_model(built):
    assert built("GET", "/model.onnx").content == find_model("default-int8").read_bytes()
    manifest = built("GET", "/model.json")
    assert manifest.headers["content-type"] == "application/json"
    assert manifest.json() == shown_of("default-int8")


@pytest.mark.parametrize("address", ["/model.onnx", "/model.json"])
def test_an_unchanged_model_is_not_sent_again(built, address):
    """Oracle: RFC 9110, section 13.1.2."""
    first = built("GET", address)
    again = built("GET", address, headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert built("GET", address, headers={"if-none-match": '"other"'}).content == first.content


@pytest.mark.parametrize("address", ["/model.onnx", "/assets/index-1a2b3c.js", "/"])
def test_files_are_compressed_for_clients_that_take_it(built, address):
    """Oracle: the answer to a client that does not. Parts of a file are sent as they are."""
    whole = built("GET", address, headers={"accept-encoding": "identity"})
    packed = built("GET", address, headers={"accept-encoding": "br, gzip"})
    assert "content-encoding" not in whole.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["etag"] == f"W/{whole.headers['etag']}"
    assert {whole.headers["vary"], packed.headers["vary"]} == {"Accept-Encoding"}
    assert packed.content == whole.content
    assert packed.headers["content-type"] == whole.headers["content-type"]
    again = built("GET", address, headers={"accept-encoding": "gzip", "if-none-match": packed.headers["etag"]})
    assert (again.status_code, again.headers["etag"]) == (304, packed.headers["etag"])
    for way, encoding in (("gzip;q=0", None), ("gzip; q=0.0", None), ("br;q=1, gzip;q=0.5", "gzip")):
        assert built("GET", address, headers={"accept-encoding": way}).headers.get("content-encoding") == encoding
    part = built("GET", address, headers={"accept-encoding": "gzip", "range": "bytes=0-3"})
    assert "content-encoding" not in part.headers


def test_the_page_offers_the_services_model_and_those_of_mien(built):
    assert built("GET", "/models.json").json() == ["default-int8", "fast-int8", "best-int8"]
    assert built("GET", "/model-2.onnx").content == find_model("fast-int8").read_bytes()


@pytest.mark.parametrize("token", [None, "s3cret"])
def test_with_a_token_the_services_own_model_is_not_given_away(static, tmp_path, token):
    own = tmp_path / "own.onnx"
    own.write_bytes(find_model("default").read_bytes())
    ask = asks(create_app(own, HaarDetector(), threads=1, token=token))
    shown = own if token is None else find_model(built_page.PAGE_MODEL)
    assert ask("GET", "/model.onnx").content == shown.read_bytes()
    # A file of one's own has no card beside it.
    expected = read_manifest(own).model_dump(mode="json") if token is None else shown_of(built_page.PAGE_MODEL)
    assert ask("GET", "/model.json").json() == expected


def test_files_with_a_hash_in_their_name_are_cached_for_ever(built):
    for name, kind in (("index-1a2b3c.js", "javascript"), ("ort-4d5e6f.wasm", "application/wasm")):
        file = built("GET", f"/assets/{name}")
        assert file.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert kind in file.headers["content-type"]
        assert file.headers["cross-origin-embedder-policy"] == "require-corp"


@pytest.mark.parametrize(
    "address",
    [
        *("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/v1/model", "/metrics"),
        *("/model.onnx", "/model.json", "/assets/index-1a2b3c.js"),
    ],
)
def test_head_is_get_without_a_body(built, address):
    whole, head = built("GET", address), built("HEAD", address)
    assert (head.status_code, head.content) == (200, b"")
    same = set(whole.headers) - ({"content-length"} if address == "/metrics" else set())
    assert {name: head.headers[name] for name in same} == {name: whole.headers[name] for name in same}


def test_head_is_refused_where_get_is(built, service):
    assert built("HEAD", "/v1/predict").status_code == 405
    assert built("HEAD", "/nothing").status_code == 404
    # And over HTTP, where a body would be read as the next answer.
    with socket.create_connection(("127.0.0.1", service.port), timeout=20) as connection:
        for ending in (b"", b"Connection: close\r\n"):
            connection.sendall(b"HEAD /docs HTTP/1.1\r\nHost: 127.0.0.1\r\n" + ending + b"\r\n")
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    first, second, rest = received.split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 200 ")
    assert second.startswith(b"HTTP/1.1 200 ")
    assert rest == b""


def test_a_file_beside_the_page_has_an_address_of_its_own(built):
    icon = built("GET", "/icon.svg")
    assert (icon.text, icon.headers["cache-control"]) == ("<svg/>", "no-cache")
    assert built("POST", "/icon.svg").status_code == 405


@pytest.mark.parametrize("given", ["bytes=100-200", "bytes=3-1", "lines=0-1", "bytes=", "bytes=x-y", "nothing"])
@pytest.mark.parametrize("address", ["/", "/assets/index-1a2b3c.js"])
def test_an_impossible_range_has_the_shape_of_all_errors(built, address, given):
    response = built("GET", address, headers={"range": given})
    assert response.status_code == 416
    assert response.json()["error"]["code"] == "range-not-satisfiable"
    size = len(built("GET", address).content)
    assert response.headers["content-range"] == f"bytes */{size}"
    assert response.headers["cross-origin-embedder-policy"] == "require-corp"


def test_a_range_is_sent(built):
    response = built("GET", "/", headers={"range": "bytes=1-3"})
    assert (response.status_code, response.text) == (206, "h1>")


@pytest.mark.parametrize("address", ["/assets/../index.html", "/assets/%2e%2e/%2e%2e/etc/passwd", "/assets/", "/../x"])
def test_nothing_beside_it_is_served(built, address):
    response = built("GET", address)
    assert response.status_code in {404, 200}
    assert response.status_code == 404 or response.text == "<h1>page</h1>"


def test_a_wrong_method_at_a_known_address_is_405(built):
    response = built("GET", "/v1/predict")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_without_the_page_it_says_how_to_make_it(service):
    if (built_page.STATIC / "index.html").exists():
        pytest.skip("the page is built here")
    page = service.ask("GET", "/").text
    assert "make web" in page
    assert 'href="/docs"' in page


def test_the_policy_lets_the_plain_pages_be_styled(service):
    """Oracle: the hash of what stands between the tags, as a browser takes it."""
    for address in ("/docs", "/") if "make web" in service.ask("GET", "/").text else ("/docs",):
        page = service.ask("GET", address)
        (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in page.headers["content-security-policy"]
        for script in re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL):
            digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in page.headers["content-security-policy"]
        assert "unsafe-inline" not in page.headers["content-security-policy"]


def test_the_documentation_needs_nothing_from_elsewhere(service):
    page = service.ask("GET", "/docs")
    assert not re.search(r"<script |src=|href=\"(?!data:,|/|#)|https?://(?!127\.0\.0\.1)", page.text)
    assert f"curl -F file=@photo.jpg '{service.url}/v1/predict'" in page.text
    schemas = set(re.findall(r'<h3 id="(\w+)">', page.text))
    assert set(re.findall(r'href="#(\w+)"', page.text)) <= schemas >= {"PredictResponse", "FaceResponse"}
    assert page.text.count("<form ") == page.text.count("<h2><code>")
    assert "&quot;probabilities&quot;" in page.text, "an answer as an example"
    for word in ("POST /v1/predict", "POST /v1/batch", "GET /v1/model", "GET /metrics", "max_faces", *CODES):
        assert word in page.text


def test_only_a_batch_takes_several_files(service):
    """In the document, and in the forms of its page."""
    paths = service.ask("GET", "/openapi.json").json()["paths"]
    schemas = {
        path: methods["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]["file"]
        for path, methods in paths.items()
        if "post" in methods
    }
    assert schemas["/v1/predict"]["type"] == "string"
    assert (schemas["/v1/batch"]["type"], schemas["/v1/batch"]["maxItems"]) == ("array", Limits().max_files)
    forms = re.findall(r'<form data-path="([^"]+)"(.*?)</form>', service.ask("GET", "/docs").text, re.DOTALL)
    assert [path for path, fields in forms if 'type="file"' in fields] == [*schemas]
    assert [path for path, fields in forms if " multiple>" in fields] == ["/v1/batch"]


def test_answers_are_not_cached(service):
    assert service.ask("GET", "/v1/model").headers["cache-control"] == "no-store"
