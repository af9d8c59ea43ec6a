"""A local stand-in of the Hugging Face hub's HTTP interface: what huggingface_hub needs to read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

_API = re.compile(r"/api/(?P<kind>model|dataset)s/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>\w+)/(?P<revision>[^/]+).*)?")
_FILE = re.compile(r"/(?P<kind>datasets/)?(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<file>.+)")


@dataclass
class Hub:
    """What the stand-in holds.

    Attributes:
        url: where it listens.
        repositories: files by kind and ``OWNER/NAME``, then by name.
        gated: repositories that need the owner's consent.
        asked: method and path of each request, without its query.
    """

    url: str = ""
    repositories: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers."""
        found = _API.fullmatch(path) or _FILE.fullmatch(path)
        if found is None:
            return 404, b"", {}
        kind = found["kind"] or "model"
        key = (kind.removesuffix("s/"), found["repo"])
        if found["repo"] in self.gated:
            return 403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"}
        if key not in self.repositories:
            # As the hub does: without a login it does not tell what is private from what is not there.
            return 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"}
        files = self.repositories[key]
        commit = _digest(repr((key, sorted(files.items()))).encode())
        if (found["revision"] or "main") not in {"main", commit}:
            return 404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"}
        if found.re is _API:
            if found["what"] == "tree":
                listed = [
                    {"type": "file", "path": name, "size": len(content), "oid": _digest(content)}
                    for name, content in files.items()
                ]
                return 200, listed, {}
            return 200, {"id": found["repo"], "sha": commit, "siblings": []}, {}
        content = files.get(found["file"])
        if content is None:
            return 404, b"", {"X-Error-Code": "EntryNotFound"}
        return 200, content, {"ETag": f'"{_digest(content)}"', "X-Repo-Commit": commit}


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append((self.command, path))
        status, content, headers = self.hub.answer(path)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_HEAD(self) -> None:
        self.do_GET()


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A stand-in on a free port of this machine, until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
