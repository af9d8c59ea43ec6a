"""WebSocket stream: receives JPEG frames and sends their faces with track numbers and smoothed answers.

If a client sends faster than the service answers, only the newest frame is used, and the answer says how many were
skipped. Unreadable, too frequent or missing frames end the stream with an error message and a closing frame.
"""

import asyncio
import json
import time
from collections import deque
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any

from fastapi.security.utils import get_authorization_scheme_param
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from mien.base.errors import DataError
from mien.base.images import open_image
from mien.base.preprocess import upright_rgb
from mien.serve.access import is_token
from mien.serve.limits import Limits
from mien.serve.prediction_service import check_image
from mien.serve.schemas import ApiError
from mien.video.tracker import Tracker, VideoFrame

CLOSE_CODES = {
    **{"busy": 1013, "not-a-frame": 1003, "image-pixels": 1009, "internal": 1011},
    **dict.fromkeys(("image-format", "image-empty", "image-damaged"), 1007),
}
"""Close codes after an error, from RFC 6455; 1008 (policy violation) for any other error."""

_Frame = tuple[int, float, bytes]
"""A received frame: its number from 0, its time in seconds, and its bytes."""


class Stream:
    """The stream of one client, with its own tracker, and the executor that decodes and predicts frames."""

    def __init__(self, socket: WebSocket, tracker: Tracker, limits: Limits, pool: Executor) -> None:
        self._socket, self._tracker, self._limits, self._pool = socket, tracker, limits, pool
        self._newest: asyncio.Queue[_Frame] = asyncio.Queue(1)
        self._skipped = 0

    async def run(self) -> None:
        """Answer frames until the client ends the stream. Raises the first error, such as :class:`ApiError`."""
        try:
            async with asyncio.TaskGroup() as tasks:
                answering = tasks.create_task(self._answer())
                await self._receive()
                answering.cancel()
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _receive(self) -> None:
        limits, number, began = self._limits, 0, time.monotonic()
        times: deque[float] = deque(maxlen=2 * limits.stream_frames_a_second + 1)
        while True:
            try:
                async with asyncio.timeout(limits.stream_idle_seconds):
                    message = await self._socket.receive()
            except TimeoutError:
                raise ApiError(f"No frame arrived for {limits.stream_idle_seconds:g} s.", code="stream-idle") from None
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes") is None:
                raise ApiError("Send each frame as a binary message that holds a JPEG.", code="not-a-frame")
            now = time.monotonic() - began
            times.append(now)
            if len(times) == times.maxlen and now - times[0] < 2:
                raise ApiError(f"Send at most {limits.stream_frames_a_second} frames a second.", code="too-many-frames")
            with suppress(asyncio.QueueEmpty):
                self._newest.get_nowait()
                self._skipped += 1
            self._newest.put_nowait((number, now, message["bytes"]))
            number += 1

    async def _answer(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            frame = await self._newest.get()
            skipped, self._skipped = self._skipped, 0
            answer = await loop.run_in_executor(self._pool, self._predict, frame)
            try:
                async with asyncio.timeout(self._limits.stream_idle_seconds):
                    await self._socket.send_text(json.dumps({**answer, "skipped": skipped}, ensure_ascii=False))
            except TimeoutError:
                raise ApiError("The client does not receive its answers.", code="stream-idle") from None

    def _predict(self, frame: _Frame) -> dict[str, Any]:
        began, (number, seconds, data) = time.perf_counter(), frame
        check_image(data, self._limits)
        try:
            rgb = upright_rgb(open_image(data))
        except DataError:
            raise ApiError("The frame is damaged and cannot be decoded.", code="image-damaged") from None
        answer = VideoFrame(number, seconds, rgb, self._tracker.update(rgb, seconds)).to_dict()
        return {**answer, "milliseconds": round(1000 * (time.perf_counter() - began), 3)}


async def refuse(socket: WebSocket, error: ApiError) -> None:
    """Send the error to the client and close its stream."""
    with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
        async with asyncio.timeout(5):
            if socket.application_state is WebSocketState.CONNECTED:
                await socket.send_text(error.body().model_dump_json())
            await socket.close(CLOSE_CODES.get(error.code, 1008), error.code)


def sends_token(socket: WebSocket, token: str) -> bool:
    """Return whether the header Authorization has the token, by the rules of :class:`fastapi.security.HTTPBearer`."""
    scheme, given = get_authorization_scheme_param(socket.headers.get("authorization"))
    return scheme.lower() == "bearer" and is_token(given, token)


async def receive_token(socket: WebSocket, token: str, seconds: float) -> None:
    """Require ``{"token": "..."}`` as the first message, since browsers send no header; ApiError (``unauthorised``)."""
    with suppress(TimeoutError, ValueError, KeyError, TypeError, RecursionError):
        async with asyncio.timeout(seconds):
            if is_token(str(json.loads(await socket.receive_text())["token"]), token):
                return
    message = 'Send the header \'Authorization: Bearer TOKEN\', or the first message {"token": "TOKEN"}.'
    raise ApiError(message, code="unauthorised")
