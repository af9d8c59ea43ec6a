"""A service within the tests' own process; test_server.py has it as a process of its own."""

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from mien.base.labels import EXPRESSIONS
from mien.data.synthetic import render_faces
from mien.serve.app import create_app
from mien.serve.limits import Limits
from support import encoded

PATIENT = Limits(body_seconds=3600, work_seconds=3600)
"""A slow machine is no reason for a refusal."""


class Service:
    """A service and its client."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def ask(self, method: str, address: str, **named: Any) -> Any:
        return self.client.request(method, address, **named)

    def predict(self, image: bytes, query: str = "crops=true", **named: Any) -> Any:
        return self.ask("POST", f"/v1/predict?{query}", files={"file": ("a.png", image)}, **named)

    def refusal(self, response: Any, status: int) -> str:
        """The code of an error answer, after a check of its status and shape."""
        assert response.status_code == status, response.text
        assert (set(response.json()), set(response.json()["error"])) == ({"error"}, {"code", "message"})
        return response.json()["error"]["code"]

    def metric(self, name: str) -> float:
        found = re.search(rf"^{re.escape(name)} (\S+)$", self.ask("GET", "/metrics").text, re.MULTILINE)
        return float(found[1]) if found else 0.0


@pytest.fixture(scope="session")
def start():
    """Start a service: ``start(limits=Limits(max_requests=1))``, with the arguments of ``create_app``."""
    with ExitStack() as stack:

        def start(model: str | Path = "default", **named: Any) -> Service:
            app = create_app(model, **{"threads": 1, "limits": PATIENT, **named})
            # A defect is answered, as over HTTP, and not raised.
            return Service(stack.enter_context(TestClient(app, "http://127.0.0.1", raise_server_exceptions=False)))

        yield start


@pytest.fixture(scope="session")
def service(start):
    """A service with its usual limits, except those of time."""
    return start()


@pytest.fixture(scope="session")
def token():
    """The token of the service ``guarded``."""
    return "s3cret-Token_~+/=="


@pytest.fixture(scope="session")
def guarded(start, token):
    """A service that asks for a token."""
    return start(token=token)


@pytest.fixture(scope="session")
def face():
    """A drawn happy face of 48 x 48 pixels as PNG."""
    return encoded(render_faces(np.array([EXPRESSIONS.index("happy")]), seed=1)[0])


@pytest.fixture(scope="session")
def make_form():
    """A multipart body of parts (headers, content), and the headers of its request."""

    def make_form(*parts: tuple[str, bytes]) -> tuple[bytes, dict[str, str]]:
        body = b"".join(f"--xx\r\n{headers}\r\n\r\n".encode() + content + b"\r\n" for headers, content in parts)
        return body + b"--xx--\r\n", {"content-type": "multipart/form-data; boundary=xx"}

    return make_form
