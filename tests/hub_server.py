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

_API = re.compile(r"/api/(?P<kind>model|dataset)s/(?P<repo>[^/]+/[^/]+)(?P<rest>/.*)?")
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

    def commit_of(self, key: tuple[str, str]) -> str:
        """40 hexadecimal digits that change with the content."""
        content = sorted(self.repositories[key].items())
        return hashlib.sha1(repr((key, content)).encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def _answer(self, status: int, content: Any = b"", **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _path(self) -> str:
        path = self.path.partition("?")[0]
        self.hub.asked.append((self.command, path))
        return path

    def _key(self, kind: str, repository: str, revision: str) -> tuple[str, str] | None:
        """The repository, if it may be read; otherwise the refusal is answered."""
        key = (kind, repository)
        if repository in self.hub.gated:
            self._answer(403, {"error": "gated"}, X_Error_Code="GatedRepo")
        elif key not in self.hub.repositories:
            # As the hub does: without a login it does not tell what is private from what is not there.
            self._answer(401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
        elif revision not in {"main", self.hub.commit_of(key)}:
            self._answer(404, {"error": "Invalid rev id"}, X_Error_Code="RevisionNotFound")
        else:
            return key
        return None

    def do_GET(self) -> None:
        path = self._path()
        if found := _API.fullmatch(path):
            rest = found["rest"] or "/revision/main"
            revision = rest.split("/")[2]
            key = self._key(found["kind"], found["repo"], revision)
            if key is None:
                return
            if rest.startswith("/tree/"):
                files = self.hub.repositories[key].items()
                self._answer(
                    200,
                    [{"type": "file", "path": name, "size": len(each), "oid": _digest(each)} for name, each in files],
                )
            else:
                self._answer(200, {"id": found["repo"], "sha": self.hub.commit_of(key), "siblings": []})
        elif found := _FILE.fullmatch(path):
            key = self._key("dataset" if found["kind"] else "model", found["repo"], found["revision"])
            if key is None:
                return
            content = self.hub.repositories[key].get(found["file"])
            if content is None:
                self._answer(404, b"", X_Error_Code="EntryNotFound")
            else:
                self._answer(200, content, ETag=f'"{_digest(content)}"', X_Repo_Commit=self.hub.commit_of(key))
        else:
            self._answer(404)

    def do_HEAD(self) -> None:
        self.do_GET()


def _digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A stand-in on a free port of this machine, until the block ends."""
    hub = Hub()
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
