"""The browser page of the service: its built files (or a note), and its models. All files come from this service."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve import built_page
from mien.serve.built_page import page_files

HEADERS: dict[str, str] = {
    # A page may load only files from this service; docs/web.md says what this does not prevent.
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; style-src 'self'",
    # These two headers together enable WebAssembly threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""HTTP headers of every answer."""

HASHED = "assets"
"""Folder in which Vite puts files whose names change with their content."""

_NO_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>mien</title><meta name="viewport" content="width=device-width">
<link rel="icon" href="data:,"></head><body><main><h1>mien</h1>
<p>The service runs and predicts images at <code>POST /v1/predict</code>. <a href="openapi.json">openapi.json</a>
describes all addresses.</p>
<p>The page for images, videos and the webcam is not built in this installation. In a checkout of mien,
<code>make web</code> builds it (it needs Node). Then start the service again.</p></main></body></html>
"""


class AddHeaders:
    """ASGI middleware that adds headers to every answer, also ``Cache-Control: no-store`` without a cache policy."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app: ASGIApp = app
        self.headers: Mapping[str, str] = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                headers.update(self.headers)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class _Files(StaticFiles):
    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        hashed = Path(full_path).parent.name == HASHED
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if hashed else "no-cache"
        return response


_DOCS = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>mien: the service</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css"></head>
<body><div id="swagger-ui"></div><script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script></body></html>
"""
_START = """SwaggerUIBundle({
  url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true, tryItOutEnabled: true, defaultModelsExpandDepth: 0,
});
"""


def add_page(app: FastAPI, models: Sequence[Path]) -> None:
    """Serve ``/docs`` with Swagger UI from fastapi-offline, and ``/``: the built page with these models, or a note."""
    route = partial(app.api_route, methods=["GET", "HEAD"], include_in_schema=False)
    static, swagger = built_page.STATIC, _Files(directory=Path(fastapi_offline.__path__[0], "static"))

    @route("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(_DOCS)

    @route("/docs/{name}")
    async def docs_file(name: str, request: Request) -> Response:
        if name == "start.js":
            return Response(_START, media_type="text/javascript")
        return await swagger.get_response(name, request.scope)

    if not (static / "index.html").is_file():

        @route("/")
        async def no_page() -> HTMLResponse:
            return HTMLResponse(_NO_PAGE)

        return
    files, of_models = _Files(directory=static, html=True), page_files(models)

    @route("/")
    @route(f"/{HASHED}/{{name}}")
    @route("/{name}")
    async def page_file(request: Request) -> Response:
        path = files.get_path(request.scope)
        content = of_models.get(path)
        if isinstance(content, bytes):
            return Response(content, media_type="application/json", headers={"Cache-Control": "no-cache"})
        if content is not None:
            return files.file_response(content, content.stat(), request.scope)
        return await files.get_response(path, request.scope)
