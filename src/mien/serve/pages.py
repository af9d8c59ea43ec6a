"""What a browser is shown: the built page or a word in its place, and the documentation; all of it from here."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve import built_page
from mien.serve.built_page import MANIFEST, MODEL, model_files
from mien.serve.refusals import CODES, RefusedError

_STYLE = """body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
:root{color-scheme:light dark}
pre,code{font-family:ui-monospace,monospace}pre{overflow-x:auto;padding:.75rem;border:1px solid #8888}
table{border-collapse:collapse;display:block;overflow-x:auto;margin:1rem 0}
td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0}"""
"""Of the plain pages below; the built one brings its own."""

HEADERS = {
    # A page may use files from here and nothing from elsewhere; docs/web.md says what this does not hold off.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    f"frame-ancestors 'none'; style-src 'self' 'sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}'",
    # Both together give a page threads for its WebAssembly.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer."""

_TYPES = {f"/{MODEL}": "application/octet-stream", f"/{MANIFEST}": "application/json"}

PART_BYTES = 65_536
"""Of an answer that is sent in parts."""

HASHED = "assets"
"""Folder of files whose names change with their content, as Vite names them."""


class SecurityHeaders:
    """ASGI middleware that adds :data:`HEADERS`, and forbids the keeping of what does not say how it may be kept."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class _InParts(Response):
    """Content that all requests share, and that no slow client has a copy of on its way."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        for begin in range(0, len(self.body), PART_BYTES):
            part = bytes(self.body[begin : begin + PART_BYTES])
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class _File(FileResponse):
    """A file whose refusals have the one shape of all."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = False

        async def send_or_refuse(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] in {400, 416}:
                refused = True
                scope["mien.refused"] = "bad_range"
                response = RefusedError("bad_range", "The header Range names no part of this file.").response()
                response.headers["Content-Range"] = f"bytes */{self.headers['content-length']}"
                await response(scope, receive, send)
            elif not refused:
                await send(message)

        await super().__call__(scope, receive, send_or_refuse)


class _Files(StaticFiles):
    def file_response(self, *arguments: Any, **named: Any) -> Response:
        response = super().file_response(*arguments, **named)
        if isinstance(response, FileResponse):
            response = _File(response.path, stat_result=response.stat_result)
        hashed = self.directory is not None and Path(self.directory).name == HASHED
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response


def add_pages(app: FastAPI, model: Path) -> None:
    """Serve ``/``, ``/docs`` and, where the page is built, each of its files and folders at its own address.

    No address catches all: a wrong method at a known one shall be told so.

    Args:
        app: the service.
        model: the ``.onnx`` file that the page reads with, whichever it was built with.
    """
    static = built_page.STATIC

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(_docs(app.openapi(), str(request.base_url)))

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
        @app.get(address, include_in_schema=False)
        async def of_model() -> Response:
            return _InParts(content, media_type=_TYPES[address], headers={"Cache-Control": "no-cache"})

    add_file("/", "index.html")
    of_model = model_files(model)
    for name, content in of_model.items():
        add_content(f"/{name}", content)
    for entry in sorted(static.iterdir()):
        if entry.is_dir():
            app.mount(f"/{entry.name}", _Files(directory=entry))
        elif entry.name not in of_model:
            add_file(f"/{entry.name}", entry.name)


_NO_PAGE = """<p>The service runs and reads pictures at <code>POST /v1/predict</code>: see
<a href="/docs">/docs</a>.</p>
<p>The page that reads pictures, videos and the webcam here in the browser is not built in this installation. In a
checkout of mien, <code>make web</code> builds it (it needs Node); then start the service again.</p>"""


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head>\n"
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )


def _docs(document: dict[str, Any], address: str) -> str:
    """The OpenAPI document of the service at this address as a plain page."""
    predict = f"{escape(address)}v1/predict"
    parts = [
        f"<p>{escape(document['info']['description'])}</p>",
        f"<pre>curl -F file=@photo.jpg '{predict}'\n"
        f"curl -F file=@face.png '{predict}?crops=true&amp;classes=binary'</pre>",
        '<p>For programs: <a href="/openapi.json">openapi.json</a>. If the service was started with a token, add '
        "<code>-H 'Authorization: Bearer TOKEN'</code>.</p>",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2>")
            parts.append(f"<p>{escape(operation.get('description', ''))}</p>")
            rows = [(each["name"], each.get("description", "")) for each in operation.get("parameters", ())]
            parts += [_table("query", "meaning", rows)] if rows else []
            rows = [
                (status, each["description"].replace("Successful Response", "the answer"))
                for status, each in sorted(operation["responses"].items())
            ]
            parts.append(_table("status", "meaning", rows))
    rows = [(f"{status} {code}", meaning) for code, (status, meaning) in CODES.items()]
    parts.append(
        "<h2>Errors</h2><p>Each is <code>{&quot;error&quot;: {&quot;code&quot;, &quot;message&quot;}}</code>.</p>"
    )
    return _page("mien", "\n".join([*parts, _table("code", "meaning", rows)]))


def _table(first: str, second: str, rows: list[tuple[str, str]]) -> str:
    body = "".join(f"<tr><td><code>{escape(name)}</code></td><td>{escape(said)}</td></tr>" for name, said in rows)
    return f"<table><tr><th>{first}</th><th>{second}</th></tr>{body}</table>"
