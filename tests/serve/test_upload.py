"""Bodies of every kind: too large, too slow, cut off, malformed. Oracle: the limits."""

import asyncio
import base64
import itertools
import json
import tempfile

import pytest
from fastapi import Request

from mien.serve.limits import Limits
from mien.serve.schemas import ApiError
from mien.serve.upload import _decoded, receive_files

FILE = 'Content-Disposition: form-data; name="file"; filename="a"'
SETTING = 'Content-Disposition: form-data; name="crops"'
FORM = "multipart/form-data; boundary=xx"
PART = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
END = b"\r\n--xx--\r\n"


@pytest.mark.parametrize(
    "headers",
    [FILE,
     'content-disposition: form-data; NAME="file"; filename="Gesicht"; x=y\r\nX-Other: 1',
     "Content-Disposition: form-data; name=\"file\"; filename*=utf-8''gr%C3%BCn.png"],
)  # fmt: skip
def test_form_accepts_files_of_all_clients(service, face, make_form, headers):
    """Clients break lines oddly; urllib3 1 encodes a name with an umlaut."""
    body, kind = make_form((headers, face))
    assert service.ask("POST", "/v1/predict?crops=true", content=body, headers=kind).status_code == 200


@pytest.mark.parametrize(
    ("parts", "code"),
    [([FILE.replace("file", "image", 1)], "unknown-field"), ([FILE, SETTING], "unknown-field"),
     ([FILE, SETTING, SETTING], "unknown-field"), ([FILE, FILE], "too-many-files"), ([FILE] * 65, "too-many-files"),
     ([], "form-file-missing"), ([FILE.partition("; filename")[0]], "form-file-missing")],
)  # fmt: skip
def test_form_rejects_other_parts(service, make_form, parts, code):
    body, headers = make_form(*((part, b"x") for part in parts))
    address = "/v1/batch" if len(parts) > 3 else "/v1/predict"
    assert service.refusal(service.ask("POST", address, content=body, headers=headers), 422) == code


def as_written(data):
    """Base64 as ``base64`` and MIME write it, for addresses, and without padding."""
    text, lines = base64.b64encode(data).decode(), base64.encodebytes(data).decode()
    yield from (lines, lines.replace("\n", "\r\n"), text.rstrip("="), f" {text}\t")
    yield from (base64.urlsafe_b64encode(data).decode(), base64.urlsafe_b64encode(data).decode().rstrip("="))


@pytest.mark.parametrize("length", range(6))
def test_base64_is_decoded_in_every_common_form(length):
    """Oracle: the bytes, of which ``-_`` and padding depend on the length."""
    data = b"\xfb\xff\xfe\x00\xff"[:length]
    assert [_decoded(text) for text in as_written(data)] == [data] * 6


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
def test_compressed_bodies_are_rejected(service, encoding):
    headers = {"content-type": "image/png", "content-encoding": encoding}
    response = service.ask("POST", "/v1/predict", content=b"...", headers=headers)
    assert service.refusal(response, 415) == "content-encoding"
    assert encoding in response.json()["error"]["message"]


def test_image_can_be_the_body_or_base64_in_json(service, face):
    """Oracle: the same image in a form."""
    expected, text = service.predict(face).json()["faces"], base64.b64encode(face).decode()
    for content, kind in (
        (face, "image/png"),
        (face, "application/octet-stream"),
        (json.dumps({"image": text}).encode(), "application/json"),
        (json.dumps({"images": [f"data:image/png;base64,{text}"]}).encode(), "application/json; charset=utf-8"),
    ):
        answer = service.ask("POST", "/v1/predict?crops=true", content=content, headers={"content-type": kind})
        assert answer.json()["faces"] == expected
    many = json.dumps({"images": [text, "YQ==", text]}).encode()
    answer = service.ask("POST", "/v1/batch?crops=true", content=many, headers={"content-type": "application/json"})
    assert [next(iter(each)) for each in answer.json()["results"]] == ["image", "error", "image"]


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [(b"", None, 415, "not-a-form"), (b"file=abc", "application/x-www-form-urlencoded", 415, "not-a-form"),
     (b"{", "application/json", 400, "malformed-form"), (b"{}", "application/json", 422, "form-file-missing"),
     (b'{"images": []}', "application/json", 422, "form-file-missing"),
     (b'{"image": "abc", "crops": true}', "application/json", 422, "unknown-field"),
     (b'[["abc"]]', "application/json", 422, "unknown-field"),
     (b'{"image": "no base64!"}', "application/json", 422, "image-damaged"),
     (b'{"image": 7}', "application/json", 422, "image-damaged"),
     (b'{"image": "https://example.org/a.jpg"}', "application/json", 422, "image-address"),
     (b'{"images": ["YQ==", "YQ=="]}', "application/json", 422, "too-many-files"),
     (b'{"image": "YQ=="}', "application/json", 415, "image-format"), (b"\x89PNG", "image/png", 415, "image-format"),
     (b"", "image/jpeg", 422, "image-empty"), (b"", "multipart/form-data", 400, "malformed-form"),
     (b"", FORM, 400, "malformed-form"), (b"no form at all", FORM, 400, "malformed-form"),
     (b"--xx\r\nbad header\r\n\r\n", FORM, 400, "malformed-form"), (b"--xx--\r\n", FORM, 422, "form-file-missing"),
     (b"--xx\r\nX-Header: 1\r\n\r\nx\r\n--xx--\r\n", FORM, 400, "malformed-form"),
     (PART + b"abc", FORM, 400, "malformed-form"), (b"--xx\r\n" + b"a: b\r\n" * 5000, FORM, 400, "malformed-form"),
     (b"--xx\r\n" + b"a" * 500_000, FORM, 400, "malformed-form"),
     (b"", f"multipart/form-data; boundary={'x' * 5000}", 400, "malformed-form")],
)  # fmt: skip
def test_malformed_bodies_are_rejected(service, content, kind, status, code):
    headers = {} if kind is None else {"content-type": kind}
    assert service.refusal(service.ask("POST", "/v1/predict", content=content, headers=headers), status) == code


def test_byte_limit_is_exact_for_the_whole_body(start):
    service = start(limits=Limits(max_bytes=1_000_000, body_seconds=3600))
    around, kind = len(PART + END), {"content-type": FORM}
    for size, code, status in ((1_000_000 - around, "image-format", 415), (1_000_001 - around, "too-many-bytes", 413)):
        body = PART + bytes(size) + END
        assert service.refusal(service.ask("POST", "/v1/predict", content=body, headers=kind), status) == code
        pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
        assert service.refusal(service.ask("POST", "/v1/predict", content=pieces, headers=kind), status) == code


class Body:
    """A request whose body comes in these parts, and then stays away; ``taken`` counts them."""

    def __init__(self, parts, **headers):
        self.parts, self.taken = iter(parts), 0
        named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        scope = {"type": "http", "method": "POST", "headers": [(b"content-type", FORM.encode()), *named]}
        self.request = Request(scope, self.receive)

    async def receive(self):
        part = next(self.parts, None)
        if part is None:
            await asyncio.sleep(3600)
        self.taken += 1
        return part if isinstance(part, dict) else {"type": "http.request", "body": part, "more_body": True}

    def refusal(self, limits):
        with pytest.raises(ApiError) as refused:
            asyncio.run(receive_files(self.request, limits, 1))
        return refused.value.code


def test_endless_body_is_rejected_at_the_limit_and_a_declared_length_before():
    limits = Limits(max_bytes=10_000, body_seconds=3600)
    endless, declared = Body(itertools.chain([PART], itertools.repeat(bytes(1000)))), Body([], content_length="10001")
    assert [body.refusal(limits) for body in (endless, declared)] == ["too-many-bytes"] * 2
    assert (endless.taken, declared.taken) == (11, 0)
    assert Body([PART, {"type": "http.disconnect"}]).refusal(Limits(body_seconds=3600)) == "malformed-form"


@pytest.mark.parametrize("parts", [[], [PART], [PART, *[b"x"] * 20]])
def test_slow_body_is_rejected(parts):
    assert Body(parts).refusal(Limits(body_seconds=0.1)) == "body-too-slow"


def test_upload_writes_nothing_to_disk(monkeypatch):
    """Not even one of 19 MB. Oracle: Python's own functions that make a temporary file."""
    for name in ("TemporaryFile", "NamedTemporaryFile", "_TemporaryFileWrapper", "mkstemp"):
        monkeypatch.setattr(tempfile, name, lambda *others, **named: pytest.fail("a file was made"))
    body = Body([PART, *[bytes(1_000_000)] * 19, {"type": "http.request", "body": END, "more_body": False}])
    (file,) = asyncio.run(receive_files(body.request, Limits(body_seconds=3600), 1))
    assert file == bytes(19_000_000)
