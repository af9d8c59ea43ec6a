"""A service as users start it: a process of its own, with requests over HTTP."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mien.serve.openapi import drawn_face


@dataclass
class Service:
    """A running service, and the file of its stderr."""

    port: int
    process: subprocess.Popen[bytes]
    said: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, address: str, **named: Any) -> httpx.Response:
        return httpx.request(method, self.url + address, timeout=60, **named)

    def predict(self, image: bytes, query: str = "crops=true", **named: Any) -> httpx.Response:
        return self.ask("POST", f"/v1/predict?{query}", files={"file": ("a.png", image)}, **named)

    def refusal(self, response: httpx.Response, status: int) -> str:
        """The code of an error answer, after a check of its status and shape."""
        assert response.status_code == status, response.text
        assert set(response.json()) == {"error"}
        assert set(response.json()["error"]) == {"code", "message"}
        return response.json()["error"]["code"]

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.ask("GET", "/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0


@contextmanager
def running(
    *options: object, folder: Path | None = None, before: Callable[[], None] | None = None, **variables: str
) -> Iterator[Service]:
    """`mien serve` on a free port; yields when it answers. ``before`` is called in the process before it starts."""
    with tempfile.TemporaryDirectory() as name:
        said = Path(name) / "stderr"
        command = [sys.executable, "-m", "mien", "serve", "--port", "0", *map(str, options)]
        environment = {**os.environ, "MIEN_DETECTOR": "haar", **variables}
        with said.open("wb") as stream:
            process = subprocess.Popen(command, stderr=stream, cwd=folder, env=environment, preexec_fn=before)
        try:
            port = None
            while port is None:
                assert process.poll() is None, said.read_text()
                # It listens before it prints its address.
                port = re.search(r"^http://\S+?:(\d+)\b", said.read_text(), re.MULTILINE)
            yield Service(int(port[1]), process, said)
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def service() -> Iterator[Service]:
    """A service with its usual limits."""
    with running() as started:
        yield started


@pytest.fixture(scope="session")
def strict() -> Iterator[Service]:
    """A service with limits of two requests at a time, 1 MB and one second for a body."""
    with running("--max-requests", 2, "--max-bytes", 1_000_000, "--body-seconds", 1) as started:
        yield started


@pytest.fixture(scope="session")
def token() -> str:
    """The token of the service ``guarded``."""
    return "s3cret-Token_~+/=="


@pytest.fixture(scope="session")
def guarded(token: str) -> Iterator[Service]:
    """A service that asks for a token."""
    with running(MIEN_TOKEN=token) as started:
        yield started


@pytest.fixture
def start() -> Iterator[Callable[..., Service]]:
    """Start further services: ``start("--max-requests", 1)``."""
    with ExitStack() as stack:
        yield lambda *options, **named: stack.enter_context(running(*options, **named))


@pytest.fixture(scope="session")
def face() -> bytes:
    """A drawn face as PNG."""
    return drawn_face()


def form(*parts: tuple[str, bytes], boundary: str = "xx") -> tuple[bytes, dict[str, str]]:
    """A multipart body of parts (headers, content), and the headers of its request."""
    body = (
        b"".join(f"--{boundary}\r\n{headers}\r\n\r\n".encode() + content + b"\r\n" for headers, content in parts)
        + f"--{boundary}--\r\n".encode()
    )
    return body, {"content-type": f"multipart/form-data; boundary={boundary}"}


@pytest.fixture
def make_form() -> Callable[..., tuple[bytes, dict[str, str]]]:
    return form
