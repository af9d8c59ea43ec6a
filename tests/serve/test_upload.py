"""Bodies of every kind: too large, too slow, cut off, malformed. The service goes on after each."""

import asyncio
import itertools
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.responses import Response

from mien.serve.api_errors import ApiError
from mien.serve.limits import Limits
from mien.serve.middleware import DrainBody
from mien.serve.prometheus import ServiceMetrics
from mien.serve.upload import Uploads

HEAD = b"POST /v1/predict?crops=true HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=xx\r\n"
PART = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'


def test_several_fields_or_files_are_refused(service, face, make_form):
    def post(*parts, address="/v1/predict"):
        body, headers = make_form(*parts)
        return service.ask("POST", f"{address}?crops=true", content=body, headers=headers)

    file = ('Content-Disposition: form-data; name="file"; filename="a"', face)
    assert post(file).status_code == 200
    # A client that names the file in another alphabet, and one that breaks its lines oddly.
    loose = ('content-disposition: form-data; NAME="file"; filename="Gesicht"; x=y\r\nX-Other: 1', face)
    assert post(loose).status_code == 200
    other = ('Content-Disposition: form-data; name="picture"; filename="a"', face)
    assert service.refusal(post(other), 422) == "unknown-field"
    setting = ('Content-Disposition: form-data; name="crops"', b"true")
    assert service.refusal(post(file, setting), 422) == "unknown-field"
    assert service.refusal(post(file, file), 422) == "too-many-files"
    assert service.refusal(post(*[file] * 65, address="/v1/batch"), 422) == "too-many-files"
    assert service.refusal(post(), 422) == "form-file-missing"
    assert service.refusal(post(("X-Header: 1", face)), 422) == "unknown-field"
    text = post(('Content-Disposition: form-data; name="file"', b"photo.jpg"))
    assert service.refusal(text, 422) == "form-file-missing"
    assert "file=@photo.jpg" in text.json()["error"]["message"]


FORM = "multipart/form-data; boundary=xx"


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"", None, 415, "not-a-form"),
        (b"file=abc", "application/x-www-form-urlencoded", 415, "not-a-form"),
        (b"{}", "application/json", 415, "not-a-form"),
        (b"\x89PNG", "image/png", 415, "not-a-form"),
        (b"", "multipart/form-data", 400, "malformed-form"),
        (b"", FORM, 400, "malformed-form"),
        (b"no form at all", FORM, 400, "malformed-form"),
        (b"--xx\r\nbad header\r\n\r\n", FORM, 400, "malformed-form"),
        (b"--xx--\r\n", FORM, 422, "form-file-missing"),
        (PART + b"abc", FORM, 400, "malformed-form"),
        (b"--xx\r\n" + b"a: b\r\n" * 5000, FORM, 400, "malformed-form"),
        (b"--xx\r\n" + b"a" * 500_000, FORM, 400, "malformed-form"),
        (b"", f"multipart/form-data; boundary={'x' * 5000}", 400, "malformed-form"),
    ],
)
def test_bodies_that_are_not_forms_are_refused(service, content, kind, status, code):
    headers = {} if kind is None else {"content-type": kind}
    assert service.refusal(service.ask("POST", "/v1/predict", content=content, headers=headers), status) == code


def answer_of(connection):
    """All that comes back until the connection ends, or is reset."""
    connection.settimeout(20)
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


def send_until_cut(connection, chunks, most_bytes):
    """Bytes that could be sent before the other side ended the connection."""
    sent = 0
    try:
        for chunk in itertools.islice(itertools.cycle(chunks), most_bytes // len(chunks[0])):
            connection.sendall(chunk)
            sent += len(chunk)
    except (BrokenPipeError, ConnectionResetError):
        pass
    return sent


@pytest.mark.parametrize("chunked", [True, False])
def test_ten_gigabytes_are_cut_off(service, face, chunked):
    """Sent without waiting for an answer, as some clients do, with and without a length in advance."""
    before = service.metric("process_resident_memory_bytes")
    megabyte = bytes(1_000_000)
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        if chunked:
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(PART), PART))
            pieces = [b"%x\r\n%b\r\n" % (len(megabyte), megabyte)]
        else:
            connection.sendall(HEAD + b"Content-Length: 10000000000\r\n\r\n" + PART)
            pieces = [megabyte]
        sent = send_until_cut(connection, pieces, 10_000_000_000)
        received = answer_of(connection)
    assert sent < 200e6
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b'"too-many-bytes"' in received
    assert b"connection: close" in received.lower()
    assert service.metric("process_resident_memory_bytes") - before < 60e6
    assert service.predict(face).status_code == 200


@pytest.mark.parametrize("chunked", [True, False])
def test_an_ordinary_client_reads_why_its_upload_was_cut_off(service, chunked):
    length = {} if chunked else {"content-length": str(10_000_000_000)}
    response = service.ask(
        "POST",
        "/v1/predict",
        content=(PART if number == 0 else bytes(1_000_000) for number in range(10_000)),
        headers={"content-type": "multipart/form-data; boundary=xx", **length},
    )
    assert service.refusal(response, 413) == "too-many-bytes"


def test_the_rest_of_a_refused_body_is_read_after_the_answer():
    """Unread bytes would reset the connection at its end. Oracle: the parts that are left when each message is sent."""
    coming, sent = [bytes(1_000_000)] * 5, []

    async def receive():
        return {"type": "http.request", "body": coming.pop(), "more_body": bool(coming)}

    async def send(message):
        sent.append((message["type"], message.get("more_body", False), len(coming)))

    scope = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}
    asyncio.run(DrainBody(Response(b"no", 413))(scope, receive, send))
    body = "http.response.body"
    assert sent == [("http.response.start", False, 4), (body, True, 4), (body, False, 0)]


def test_a_client_that_asks_before_sending_is_answered_at_once(service):
    """`Expect: 100-continue`, as curl sends it with large files. A service that waits for the body would answer 408."""
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n")
        received = answer_of(connection)
    assert received.startswith(b"HTTP/1.1 413 ")


def test_the_limit_is_of_the_body_and_exact(strict, make_form):
    headers = 'Content-Disposition: form-data; name="file"; filename="a"'
    around = len(make_form((headers, b""))[0])
    for size, code, status in ((1_000_000 - around, "image-format", 415), (1_000_001 - around, "too-many-bytes", 413)):
        body, kind = make_form((headers, bytes(size)))
        assert strict.refusal(strict.ask("POST", "/v1/predict", content=body, headers=kind), status) == code
        pieces = (body[at : at + 10_000] for at in range(0, len(body), 10_000))
        assert strict.refusal(strict.ask("POST", "/v1/predict", content=pieces, headers=kind), status) == code


@pytest.mark.parametrize("trickle", [0, 1, 20_000])
def test_a_slow_client_is_refused_and_cut_off(strict, face, trickle):
    """The limit is of the whole body: neither a byte now and then nor a part of enough bytes prolongs it."""
    with socket.create_connection(("127.0.0.1", strict.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 900000\r\n\r\n" + PART)
        began = time.monotonic()
        while trickle and time.monotonic() - began < 1.2:
            connection.sendall(bytes(trickle))
            time.sleep(0.1)
        received = answer_of(connection)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b'"body-too-slow"' in received
    assert time.monotonic() - began < 15
    assert strict.predict(face).status_code == 200


@pytest.mark.parametrize(
    "limits",
    [Limits(part_bytes=1000, part_seconds=0.2), Limits(part_bytes=1, part_seconds=60, body_seconds=0.2)],
)
def test_a_trickle_is_cut_off(limits):
    """Many bytes at first buy it no time for the next part, and enough bytes in each part none beyond the body's."""
    coming = [PART + bytes(5000), *[b"x"] * 40]

    async def receive():
        if len(coming) < 41:
            await asyncio.sleep(0.05)
        return {"type": "http.request", "body": coming.pop(0), "more_body": bool(coming)}

    async def main():
        request = Request({"type": "http", "method": "POST", "headers": [(b"content-type", FORM.encode())]}, receive)
        async with Uploads(limits, ServiceMetrics()).files(request, 1):
            pass

    with pytest.raises(ApiError) as refused:
        asyncio.run(main())
    assert refused.value.code == "body-too-slow"
    assert len(coming) > 20


def test_slow_clients_take_no_slots(strict, face):
    """More clients than there are slots have begun and send nothing more; another is served meanwhile."""
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", strict.port))) for _ in range(20)]
        for connection in slow:
            connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + PART)
        deadline = time.monotonic() + 0.8
        while strict.metric("mien_held_bytes") < 20 * len(PART) and time.monotonic() < deadline:
            pass
        assert strict.predict(face).status_code == 200
        assert strict.ask("GET", "/healthz").status_code == 200
        assert [answer_of(connection)[9:12] for connection in slow] == [b"408"] * 20
    assert strict.metric("mien_held_bytes") == 0


def test_a_client_that_goes_away_leaves_nothing_behind(strict, face):
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", strict.port)) as connection:
            connection.sendall(HEAD + b"Content-Length: 100000\r\n\r\n" + PART)
    deadline = time.monotonic() + 10
    while strict.metric("mien_held_bytes") and time.monotonic() < deadline:
        time.sleep(0.05)
    assert strict.metric("mien_held_bytes") == 0
    assert strict.predict(face).status_code == 200
    assert len(strict.said.read_text().splitlines()) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are looked up in /proc")
def test_no_upload_touches_the_disk(service):
    """While 19 MB are coming in, the process has no regular file open beyond those that it always has."""

    def open_files():
        links = Path(f"/proc/{service.process.pid}/fd").iterdir()
        names = {str(link.readlink()) for link in links if link.is_symlink()}
        return {name for name in names if not name.startswith(("socket:", "pipe:", "anon_inode:"))}

    before = open_files()
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 19500000\r\n\r\n" + PART + bytes(19_000_000))
        deadline = time.monotonic() + 10
        while not service.metric("mien_held_bytes") and time.monotonic() < deadline:
            time.sleep(0.05)
        # What was sent fits into no socket's buffer: sendall came back, so the process has read most of it.
        during = open_files()
        connection.sendall(bytes(500_000))
    assert during <= before
