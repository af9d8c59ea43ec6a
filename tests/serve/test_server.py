"""The process: many clients at a time, memory, traces, and how it ends."""

import asyncio
import io
import signal
import socket
import time
from collections import Counter
from contextlib import suppress

import httpx
import numpy as np
import pytest
from PIL import Image

from mien.data.synthetic import synthetic_faces
from mien.errors import ServeError
from mien.inference.predictor import load
from mien.serve.server import address, is_local, open_port
from support import raises

NAME = "geheim-4711.png"


def png(pixels):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels)).save(stream, "PNG")
    return stream.getvalue()


def ask_at_once(service, images, clients, query="crops=true"):
    """Send every image once from this many clients at a time; the answers in order."""

    async def main():
        slots = asyncio.Semaphore(clients)
        limits = httpx.Limits(max_connections=clients)
        async with httpx.AsyncClient(base_url=service.url, timeout=120, limits=limits) as client:

            async def ask(image):
                async with slots:
                    return await client.post(f"/v1/predict?{query}", files={"file": (NAME, image)})

            return await asyncio.gather(*map(ask, images))

    return asyncio.run(main())


def test_thirty_two_clients_each_get_their_own_answer(service):
    """Oracle: the same model on each face alone. Answers that a batch mixed up would differ."""
    faces = synthetic_faces(320, seed=9).images
    answers = ask_at_once(service, [png(face) for face in faces], clients=32)
    assert {answer.status_code for answer in answers} == {200}
    expected = load(threads=1).probabilities(np.asarray(faces))
    found = [list(answer.json()["faces"][0]["probabilities"].values()) for answer in answers]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_overload_is_429_and_never_5xx(start):
    # Not `strict`: on a busy machine a body takes longer than its second.
    strict = start("--max-requests", 2)
    images = [png(face) for face in synthetic_faces(300, seed=2).images]
    answers = ask_at_once(strict, images, clients=64)
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert strict.refusal(answer, 429) == "busy"
            assert int(answer.headers["retry-after"]) >= 1
    assert strict.ask("GET", "/readyz").status_code == 200


def test_memory_does_not_grow(service, face):
    """benchmarks/serve.py does this with 100,000 requests. Bad images too, which are answered by other code."""
    images = [face, face[:-50], b"no image"] * 100
    ask_at_once(service, images, clients=8)
    before = service.metric("process_resident_memory_bytes")
    for _ in range(4):
        ask_at_once(service, images, clients=8)
    assert service.metric("process_resident_memory_bytes") - before < 6e6


def damaged_images():
    """Images of every format that Pillow writes: incomplete, and with bytes changed in the head or anywhere."""
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "x" * 40
    whole = []
    for kind, named in (
        ("PNG", {"exif": exif}),
        ("JPEG", {"exif": exif}),
        ("JPEG", {"progressive": True}),
        ("WEBP", {"exif": exif}),
        ("BMP", {}),
        ("GIF", {}),
        ("PPM", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
    ):
        stream = io.BytesIO()
        noise.save(stream, kind, **named)
        whole.append(stream.getvalue())
    whole.append(b"Pf\n2 2\n-1.0\n" + np.array([np.nan, np.inf, 1e38, -1e38], np.float32).tobytes())
    stream = io.BytesIO()
    Image.fromarray(random.integers(0, 65536, (64, 64), dtype=np.uint16)).save(stream, "PNG")
    whole.append(stream.getvalue())
    for data in whole:
        yield data
        for share in (0.02, 0.3, 0.9):
            yield data[: int(len(data) * share)]
        for first, last in ((8, 200), (8, 200), (8, len(data)), (len(data) // 2, len(data))):
            bytes_ = np.frombuffer(data, np.uint8).copy()
            places = random.integers(min(first, len(data) - 1), min(last, len(data)), 12)
            bytes_[places] = random.integers(0, 256, 12)
            yield bytes_.tobytes()


def test_images_leave_no_trace(start, tmp_path, face):
    """No file in any folder that the process knows, and no byte or name in its stderr."""
    folders = {name: tmp_path / name for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "MIEN_CACHE", "work")}
    for folder in folders.values():
        folder.mkdir()
    variables = {name: str(folder) for name, folder in folders.items() if name != "work"}
    service = start(folder=folders["work"], PYTHONDONTWRITEBYTECODE="1", **variables)
    large = png(np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), dtype=np.uint8))
    ask_at_once(service, [face, large, face[:-50], b"no image", b""], clients=3, query="")
    statuses = Counter(each.status_code for each in ask_at_once(service, list(damaged_images()), clients=4))
    assert set(statuses) == {200, 413, 415, 422}
    files = [("file", (NAME, each)) for each in (face, b"no image")]
    service.ask("POST", "/v1/batch", files=files)
    bad = b'--xx\r\nContent-Disposition: form-data; filename="%b"\r\nbad header\r\n\r\n' % NAME.encode()
    kind = {"content-type": "multipart/form-data; boundary=xx"}
    assert service.refusal(service.ask("POST", "/v1/predict", content=bad, headers=kind), 400) == "malformed-form"
    for upgrade in ("websocket", "h2c", NAME):
        headers = {"connection": "upgrade", "upgrade": upgrade}
        assert service.ask("GET", "/healthz", headers=headers).status_code == 200
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(NAME.encode() + b"\0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    service.process.terminate()
    service.process.wait(30)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    said = service.said.read_text()
    assert NAME not in said
    assert len(said.splitlines()) == 1, said


def test_sigterm_ends_it_after_the_requests_under_way(start, face):
    service = start()
    body = b'--xx\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n' + face + b"\r\n--xx--\r\n"
    head = b"POST /v1/predict?crops=true HTTP/1.1\r\nHost: [::1]\r\nContent-Type: multipart/form-data; boundary=xx\r\n"
    with socket.create_connection(("127.0.0.1", service.port)) as under_way:
        with socket.create_connection(("127.0.0.1", service.port)) as idle:
            under_way.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body[:200])
            while not service.metric("mien_held_bytes"):
                time.sleep(0.01)
            service.process.send_signal(signal.SIGTERM)
            idle.settimeout(20)
            assert idle.recv(1) == b""
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", service.port)).close()
        under_way.sendall(body[200:])
        under_way.settimeout(20)
        answer = b""
        while chunk := under_way.recv(65536):
            answer += chunk
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'"probabilities"' in answer
    assert service.process.wait(20) == 0


def test_ctrl_c_prints_one_line(start):
    service = start()
    service.process.send_signal(signal.SIGINT)
    assert service.process.wait(20) == 130
    assert service.said.read_text().splitlines()[1:] == ["mien: Stopped. [stopped]"]


UNFINISHED = (
    b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
    b"Content-Type: multipart/form-data; boundary=xx\r\n\r\n--xx\r\n"
)


@pytest.mark.parametrize("gap", [0.0, 0.002, 0.05, 0.3])
def test_a_second_ctrl_c_prints_one_line_too(start, gap):
    """The first Ctrl-C waits for a request that is arriving; the second does not."""
    service = start()
    with socket.create_connection(("127.0.0.1", service.port)) as connection:
        connection.sendall(UNFINISHED)
        time.sleep(0.2)
        service.process.send_signal(signal.SIGINT)
        time.sleep(gap)
        service.process.send_signal(signal.SIGINT)
        assert service.process.wait(30) == 130
        answer = b""
        with suppress(ConnectionResetError):
            answer = connection.recv(65536)
    # Both signals may arrive as one. Then the service waits for the request, up to its time limit.
    assert gap < 0.05 or b" 408 " not in answer
    assert service.said.read_text().splitlines()[1:] == ["mien: Stopped. [stopped]"]


def test_ports_and_addresses():
    with open_port("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address(listener) == f"http://127.0.0.1:{port}"
        assert is_local(listener)
        with raises(ServeError, "port-unavailable") as caught:
            open_port("127.0.0.1", port)
        assert f"127.0.0.1 port {port}" in str(caught.value)
    with open_port("127.0.0.1", port), raises(ServeError, "port-unavailable"):  # free again at once
        open_port("nowhere.invalid", 0)
    with open_port("0.0.0.0", 0) as listener:
        assert not is_local(listener)
    with raises(ServeError, "port-unavailable"):
        open_port("192.0.2.1", 0)  # RFC 5737: nobody's


def test_a_port_is_free_again_at_once_after_its_connections_were_closed():
    """The system holds the address of a connection that the service closed first for a minute (TIME_WAIT)."""
    with open_port("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            listener.accept()[0].close()
            assert client.recv(1) == b""
    open_port("127.0.0.1", port).close()


def test_answers_do_not_wait_for_acknowledgements():
    """TCP_NODELAY on accepted connections: without it each answer of two parts waits 40 ms for the client's TCP."""

    async def main():
        delays = asyncio.get_running_loop().create_future()

        async def accepted(reader, writer):
            delays.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = open_port("127.0.0.1", 0)
        server = await asyncio.start_server(accepted, sock=listener)
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert await delays != 0
        writer.close()
        server.close()

    asyncio.run(main())
