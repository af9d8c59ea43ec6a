"""The pages for a browser: the built page or a note in its place, and the API documentation. All files are local."""

from __future__ import annotations

import gzip
import os
import re
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.staticfiles import NotModifiedResponse
from starlette.types import Message, Receive, Scope, Send

from mien.serve import built_page
from mien.serve.api_errors import ApiError
from mien.serve.built_page import models_files
from mien.serve.docs_page import SCRIPT, docs_body

_STYLE = """html{background:Canvas;color:CanvasText}
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
:root{color-scheme:light dark}
pre,code{font-family:ui-monospace,monospace}
pre{white-space:pre-wrap;overflow-wrap:anywhere;padding:.75rem;border:1px solid #8888}
table{border-collapse:collapse;margin:1rem 0}td:last-child{overflow-wrap:anywhere}
td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}
@media(max-width:30rem){td,th{font-size:.85rem;padding-right:.5rem}}
fieldset{display:flex;flex-wrap:wrap;gap:.4rem 1rem;align-items:end;border:1px solid #8888;border-radius:.3rem}
label{font-size:.9rem}input:not([type=checkbox]){display:block;font:inherit;max-width:100%}
[type=number]{width:6rem}
output{display:block;white-space:pre-wrap;overflow-wrap:anywhere;font:.85rem ui-monospace,monospace;margin:.4rem 0}
summary{cursor:pointer}"""
"""Style of the plain pages below; the built page has its own."""


def _hash(text: str) -> str:
    """What a policy calls the very text of a style or a script."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


HEADERS: dict[str, str] = {
    # A page may use files of this service and no others; docs/web.md says what this does not prevent.
    "Content-Security-Policy": "default-src 'none'; "
    f"script-src 'self' 'wasm-unsafe-eval' {_hash(SCRIPT)}; worker-src 'self'; "
    "connect-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    f"frame-ancestors 'none'; style-src 'self' {_hash(_STYLE)}",
    # Both together allow the threads of WebAssembly.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer."""

_TYPES = {".onnx": "application/octet-stream", ".json": "application/json"}

PART_BYTES = 65_536
"""Size of the parts of an answer that is sent in parts."""

HASHED = "assets"
"""Folder of the files whose names change with their content, as Vite names it."""


# Starlette's own middleware would compress every answer again, and pictures and wasm with them.
_COMPRESSED = {".png", ".xz"}
"""Files that gzip makes no smaller."""


def _takes_gzip(scope: Scope) -> bool:
    """Whether a client takes an answer as a whole, compressed."""
    headers = Headers(scope=scope)
    ways = headers.get("accept-encoding", "").replace(" ", "").split(",")
    # RFC 9110, section 12.5.3: a weight of 0 means "not acceptable".
    return "range" not in headers and any(re.fullmatch(r"gzip(;q=(1(\.0*)?|0\.0*[1-9]\d*))?", way) for way in ways)


@cache
def _gzipped_file(path: str, changed_ns: int) -> bytes:
    return gzip.compress(Path(path).read_bytes(), mtime=0)


def _weaken(response: Response) -> Response:
    """Give an answer that is compressed, or confirms one, a weak ETag: the bytes are not those of the whole file."""
    response.headers["ETag"] = f"W/{response.headers['etag']}"
    return response


class _InParts(Response):
    """Content that all requests share; a slow client holds a copy of one part, not of all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for begin in range(0, len(self.body), PART_BYTES):
            part = bytes(self.body[begin : begin + PART_BYTES])
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class _File(FileResponse):
    """A file whose error answers have the shape of all errors."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False

        async def send_or_refuse(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in {400, 416}:
                refused = True
                error = ApiError("The header Range names no part of this file.", code="range-not-satisfiable")
                response = error.response(scope)
                response.headers["Content-Range"] = f"bytes */{self.headers['content-length']}"
                await response(scope, receive, send)
            elif not refused:
                await send(message)

        await super().__call__(scope, receive, send_or_refuse)


class _Files(StaticFiles):
    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        takes_gzip = Path(full_path).suffix not in _COMPRESSED and _takes_gzip(scope)
        if isinstance(response, FileResponse):
            response = _File(full_path, stat_result=stat_result)
            if takes_gzip:
                content = _gzipped_file(os.fspath(full_path), stat_result.st_mtime_ns)
                headers = {"ETag": response.headers["etag"], "Content-Encoding": "gzip"}
                response = _InParts(content, media_type=response.media_type, headers=headers)
        response.headers["Vary"] = "Accept-Encoding"
        response = _weaken(response) if takes_gzip else response
        hashed = self.directory is not None and Path(self.directory).name == HASHED
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response


def add_pages(app: FastAPI, models: Sequence[Path]) -> None:
    """Serve ``/``, ``/docs`` and, where the page is built, each of its files and folders at its own address.

    There is no catch-all address, so that a wrong method at a known address still gives 405.

    Args:
        app: the service.
        models: the ``.onnx`` files that the page offers, whatever models it was built with.
    """
    static = built_page.STATIC

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(_page("mien", docs_body(app.openapi(), str(request.base_url))))

    if not (static / "index.html").is_file():

        @app.get("/", include_in_schema=False)
        async def no_page() -> HTMLResponse:
            return HTMLResponse(_page("mien", _NO_PAGE))

        return
    files = _Files(directory=static)

    def add_file(address: str, name: str) -> None:
        @app.get(address, include_in_schema=False)
        async def file(request: Request) -> Response:
            return await files.get_response(name, request.scope)

    def add_content(address: str, content: bytes) -> None:
        headers = {"Cache-Control": "no-cache", "ETag": f'"{sha256(content).hexdigest()}"', "Vary": "Accept-Encoding"}
        gzipped = cache(lambda: gzip.compress(content, mtime=0))

        @app.get(address, include_in_schema=False)
        async def of_model(request: Request) -> Response:
            media_type, takes_gzip = _TYPES[Path(address).suffix], _takes_gzip(request.scope)
            response: Response = _InParts(content, media_type=media_type, headers=headers)
            if files.is_not_modified(response.headers, request.headers):
                response = NotModifiedResponse(response.headers)
            elif takes_gzip:
                body = await run_in_threadpool(gzipped)
                response = _InParts(body, media_type=media_type, headers={**headers, "Content-Encoding": "gzip"})
            return _weaken(response) if takes_gzip else response

    add_file("/", "index.html")
    of_models = models_files(models)
    for name, content in of_models.items():
        add_content(f"/{name}", content)
    for entry in sorted(static.iterdir()):
        if entry.is_dir():
            app.mount(f"/{entry.name}", _Files(directory=entry))
        elif entry.name not in of_models:
            add_file(f"/{entry.name}", entry.name)


_NO_PAGE = """<p>The service runs and predicts images at <code>POST /v1/predict</code>. See
<a href="/docs">/docs</a>.</p>
<p>The page for images, videos and the webcam is not built in this installation. In a checkout of mien,
<code>make web</code> builds it (it needs Node). Then start the service again.</p>"""


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head>\n"
        f"<body><main><h1>{escape(title)}</h1>\n{body}\n</main></body></html>\n"
    )
