"""Answers that are given before a request's body has come in, so that the client gets to read them."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIRST_BYTES, FIRST_SECONDS = 1_000_000, 0.5
"""What is read before the answer. Many clients send all of a small body before they look for an answer."""

LAST_BYTES, LAST_SECONDS = 64_000_000, 2.0
"""What is read, and thrown away, after the answer to a larger body, until the connection is cut. Cut at once, with
bytes of the client's still unread, TCP tells the client of a reset, and some never see the answer."""


class AnswerBeforeCutting:
    """ASGI middleware around everything: reads some of what the app has left unread, then ends the connection."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = _Body(receive, "transfer-encoding" in headers or headers.get("content-length", "0") != "0")
        # Who asks first whether to send a body at all is answered by the answer itself.
        asks_first = "100-continue" in headers.get("expect", "").lower()

        async def send_in_time(message: Message) -> None:
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

        await self.app(scope, body.receive, send_in_time)


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
