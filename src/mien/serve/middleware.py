"""The ASGI middleware of the service, a class for each task. They see every request and every answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mien.serve.api_errors import internal_error
from mien.serve.prometheus import ServiceMetrics

FIRST_BYTES, FIRST_SECONDS = 1_000_000, 0.5
"""How much of an unread body is read before an early answer. Many clients send a small body before they read."""

LAST_BYTES, LAST_SECONDS = 64_000_000, 2.0
"""How much of a larger body is read and dropped after the answer, before the connection is closed. If it were closed
at once, with unread bytes, TCP would reset the connection, and some clients would never see the answer."""


class AnswerHead:
    """Answers HEAD as GET, without the body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app: ASGIApp = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET"}, receive, send_without_body)


class DrainBody:
    """Reads some of a body that the app left unread around the answer, so that the client gets to read the answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app: ASGIApp = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _Body(receive, "transfer-encoding" in headers or headers.get("content-length", "0") != "0")
        # A client that asks before it sends a body has its reply in the answer itself.
        asks_first = "100-continue" in headers.get("expect", "").lower()

        async def send_and_drain(message: Message) -> None:
            if message["type"] == "http.response.start" and body.unread:
                if body.begun or not asks_first:
                    await body.drain(FIRST_BYTES, FIRST_SECONDS)
                if body.unread:
                    MutableHeaders(raw=message["headers"])["connection"] = "close"
            elif message["type"] == "http.response.body" and body.unread and not message.get("more_body"):
                await send({**message, "more_body": True})
                if body.begun or not asks_first:
                    await body.drain(LAST_BYTES, LAST_SECONDS)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self.app(scope, body.receive, send_and_drain)


class _Body:
    def __init__(self, receive: Receive, unread: bool) -> None:
        self._receive, self.unread, self.begun = receive, unread, False

    async def receive(self) -> Message:
        self.begun = True
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body"):
            self.unread = False
        return message

    async def drain(self, most_bytes: int, seconds: float) -> None:
        received = 0
        try:
            async with asyncio.timeout(seconds):
                while self.unread and received < most_bytes:
                    received += len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass


class CountRequests:
    """Counts and times every request by its route, and every error by its code."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self.app: ASGIApp = app
        self.metrics: ServiceMetrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.perf_counter(), 499  # nginx's status for a client that closed the connection

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, note_status)
        finally:
            # The template of a route, never the address that a client made up.
            route = getattr(scope.get("route"), "path", None) or "other"
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(time.perf_counter() - began)
            if "mien.error" in scope:
                self.metrics.refused.labels(scope["mien.error"]).inc()


class AddHeaders:
    """Adds headers to every answer, and ``Cache-Control: no-store`` to answers that do not say how to cache them."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self.app: ASGIApp = app
        self.headers: Mapping[str, str] = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message["headers"])
                headers.update(self.headers)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class AnswerDefects:
    """Answers an unforeseen exception with a 500 and raises it again for the log.

    The framework does this outside of all middleware, so its answers would be neither counted nor have the headers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app: ASGIApp = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        has_begun = False

        async def note_begin(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, note_begin)
        except Exception:
            if scope["type"] == "http" and not has_begun:
                await internal_error().response(scope)(scope, receive, send)
            raise
