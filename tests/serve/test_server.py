"""The process as users start it: traces, ports, workers, and how it ends."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from mien.base.errors import ServeError
from mien.serve.server import address, is_local, open_port
from support import raises

NAME = "geheim-4711.png"

# A slow machine is no reason for a refusal.
PROGRAM = """
from functools import partial
from mien.cli import main, serve
serve.Limits = partial(serve.Limits, body_seconds=3600, work_seconds=3600)
main.main()
"""

CONFIGURATION = """
[checks.positive_data_acceptance]
# No schema can say that a file is an image, or that a threshold needs a scheme of two classes.
expected-statuses = ["2xx", "413", "415", "422"]
"""

posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@dataclass
class Process:
    """A running service, a client of it, and the file of its stderr."""

    process: subprocess.Popen[bytes]
    client: httpx.Client
    stderr: Path

    def predict(self, image: bytes) -> httpx.Response:
        return self.client.post("/v1/predict?crops=true", files={"file": (NAME, image)})

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.client.get("/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0


@contextmanager
def running(folder: Path, *options: object, **variables: str) -> Iterator[Process]:
    """`mien serve` on a free port, with stderr in a folder; yields when it answers."""
    command, stderr = [sys.executable, "-c", PROGRAM, "serve", "--port", "0", *map(str, options)], folder / "stderr"
    with stderr.open("wb") as stream, ExitStack() as stack:
        process = subprocess.Popen(command, stderr=stream, env={**os.environ, **variables})
        stack.callback(process.wait)
        stack.callback(process.kill)
        while (found := re.search(r"^(http://\S+?:\d+)\b", stderr.read_text(), re.MULTILINE)) is None:
            assert process.poll() is None, stderr.read_text()
            time.sleep(0.05)
        client = stack.enter_context(httpx.Client(base_url=found[1], timeout=600, trust_env=False))
        client.get("/healthz")  # it listens before it answers
        yield Process(process, client, stderr)


@pytest.fixture
def start(tmp_path_factory):
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp
        yield lambda *options, **named: stack.enter_context(running(folder("service"), *options, **named))


def test_images_leave_no_trace(start, tmp_path, face):
    """No file in any folder that the process knows, and no byte or name in its stderr."""
    folders = {name: tmp_path / name for name in ("TMPDIR", "HOME", "XDG_CACHE_HOME", "MIEN_CACHE")}
    for folder in folders.values():
        folder.mkdir()
    service = start(PYTHONDONTWRITEBYTECODE="1", **{name: str(folder) for name, folder in folders.items()})
    assert [service.predict(each).status_code for each in (face, face[:-50], b"no image", b"")] == [200, 422, 415, 422]
    files = [("file", (NAME, each)) for each in (face, b"no image")]
    assert service.client.post("/v1/batch", files=files).status_code == 200
    bad = b'--xx\r\nContent-Disposition: form-data; filename="%b"\r\nbad header\r\n\r\n' % NAME.encode()
    kind = {"content-type": "multipart/form-data; boundary=xx"}
    assert service.client.post("/v1/predict", content=bad, headers=kind).status_code == 400
    for upgrade in ("h2c", NAME):
        assert service.client.get("/healthz", headers={"connection": "upgrade", "upgrade": upgrade}).status_code == 200
    with socket.create_connection((service.client.base_url.host, service.client.base_url.port)) as connection:
        connection.sendall(NAME.encode() + b"\0\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    service.process.terminate()
    service.process.wait()
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert len(service.stderr.read_text().splitlines()) == 1, service.stderr.read_text()


@posix
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)])
def test_signal_ends_the_service_after_open_requests(start, face, make_form, number, code):
    """After SIGTERM it ends by that signal, as uvicorn does."""
    service = start()
    body, headers = make_form(('Content-Disposition: form-data; name="file"; filename="a"', face))

    def parts():
        yield body[:200]
        while not service.metric("mien_requests_under_way"):
            time.sleep(0.01)
        service.process.send_signal(number)
        while is_open(service):
            time.sleep(0.01)
        yield body[200:]

    with httpx.Client(base_url=service.client.base_url, timeout=600, trust_env=False) as client:
        answer = client.post("/v1/predict?crops=true", content=parts(), headers=headers)
    assert (answer.status_code, len(answer.json()["faces"]), service.process.wait()) == (200, 1, code)
    stopped = ["mien: Stopped. [stopped]"] if number == signal.SIGINT else []
    assert service.stderr.read_text().splitlines()[1:] == stopped


def is_open(service):
    """Whether it takes connections."""
    try:
        socket.create_connection((service.client.base_url.host, service.client.base_url.port)).close()
    except ConnectionRefusedError:
        return False
    return True


@posix
def test_workers_share_metrics_and_end_together(start, tmp_path, face):
    """Oracle: the number of requests that this test sent."""
    service = start("--workers", 2, TMPDIR=str(tmp_path))
    for _ in range(20):
        assert service.predict(face).status_code == 200
        # On a connection of its own: either worker may answer.
        assert httpx.get(f"{service.client.base_url}/healthz", trust_env=False, timeout=600).status_code == 200
    assert service.metric('mien_requests_total{route="/v1/predict",status="200"}') == 20
    assert service.metric("mien_requests_under_way") == 0
    service.process.terminate()
    assert service.process.wait() == 0
    assert not is_open(service)
    assert (list(tmp_path.iterdir()), len(service.stderr.read_text().splitlines())) == ([], 1)


def test_schemathesis_finds_nothing(start, token, tmp_path):
    """It asks whatever the document allows and forbids. As a program: its own generators, checks and HTTP client."""
    service = start(MIEN_TOKEN=token)
    (tmp_path / "schemathesis.toml").write_text(CONFIGURATION)
    program = Path(sys.executable).parent / "schemathesis"
    command = [program, "run", f"{service.client.base_url}/openapi.json", "-H", f"Authorization: Bearer {token}"]
    bounds = ["--max-examples", "5", "--seed", "1", "--phases", "examples,coverage,fuzzing", "--no-color"]
    done = subprocess.run([*command, *bounds], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert "6 selected / 6 total" in done.stdout
    assert len(service.stderr.read_text().splitlines()) == 1


def test_open_port_returns_a_listening_socket():
    with open_port("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address(listener) == f"http://127.0.0.1:{port}"
        assert is_local(listener)
    with raises(ServeError, "port-unavailable"):
        open_port("nowhere.invalid", 0)
    with open_port("0.0.0.0", 0) as listener:
        assert not is_local(listener)
