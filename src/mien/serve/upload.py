"""Receives the files of multipart requests: in memory only, within limits of bytes, files and time.

A request's body is counted chunk by chunk while it arrives, and refused at the first chunk over a limit. Starlette's
parser takes the form apart. It writes to disk what exceeds ``spool_max_size``, so that is set beyond any body; its own
``Request.form`` would not do, for it has neither a limit of time nor a limit over all requests.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from mien.serve.api_errors import ApiError
from mien.serve.limits import Limits
from mien.serve.prometheus import ServiceMetrics

FIELD = "file"
"""The only field of the form."""


@dataclass(eq=False)
class Upload:
    """The body of one request.

    Attributes:
        received: bytes so far.
        refused: whether it was refused because all uploads together exceed the limit.
    """

    received: int = 0
    refused: bool = False


class Uploads:
    """Receives uploads, and counts the bytes that all of them hold in memory.

    Over ``max_requests * max_bytes`` the largest upload that is still arriving is refused. So a small image is
    accepted however many large ones are arriving slowly.

    Args:
        limits: of bytes, files, seconds and requests.
        metrics: reports the bytes in memory.

    Attributes:
        arriving: the uploads that are still arriving, each with a function that stops it.
    """

    def __init__(self, limits: Limits, metrics: ServiceMetrics) -> None:
        self._limits, self._metrics = limits, metrics
        self._held_bytes = 0
        self.arriving: dict[Upload, Callable[[], None]] = {}

    @asynccontextmanager
    async def files(self, request: Request, max_files: int) -> AsyncIterator[list[bytes]]:
        """Receive the files of a request, in their order; their bytes count as held until the block ends.

        Args:
            request: its body must not have been read.
            max_files: in this request.

        Raises:
            ApiError: not a form, another field, no file, too many bytes or files, incomplete, too slow, or no memory.
        """
        with self.begin() as upload:
            yield await self._receive(request, upload, max_files)

    @contextmanager
    def begin(self) -> Iterator[Upload]:
        """Count an upload until its request is answered."""
        upload = Upload()
        try:
            yield upload
        finally:
            self.arriving.pop(upload, None)
            self._release(upload)

    def add(self, upload: Upload, size: int) -> None:
        """Count more bytes of an upload. If all exceed the limit, refuse the largest of those that are arriving."""
        upload.received += size
        self._hold(size)
        while self._held_bytes > self._limits.max_requests * self._limits.max_bytes and self.arriving:
            largest = max(self.arriving, key=lambda each: each.received)
            largest.refused = True
            self.arriving.pop(largest)()
            self._release(largest)

    async def _receive(self, request: Request, upload: Upload, max_files: int) -> list[bytes]:
        limits, loop = self._limits, asyncio.get_running_loop()
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limits.max_bytes:
            raise _too_many_bytes(limits)
        _check_content_type(request.headers)
        last = loop.time() + limits.body_seconds
        try:
            async with (
                asyncio.timeout_at(min(last, loop.time() + limits.part_seconds)) as timeout,
                aclosing(self._counted_chunks(request, upload, timeout, last)) as chunks,
            ):
                self.arriving[upload] = partial(_expire, timeout)
                return await _Form(request.headers, chunks, max_files).files()
        except TimeoutError:
            if upload.refused:
                raise _no_memory() from None
            raise ApiError(
                f"The body did not arrive within {limits.body_seconds:g} s, or less than {limits.part_bytes:,} bytes "
                f"of it arrived in {limits.part_seconds:g} s. Send a smaller image.",
                code="body-too-slow",
            ) from None
        except ClientDisconnect:
            raise ApiError("The client closed the connection.", code="malformed-form") from None
        finally:
            self.arriving.pop(upload, None)

    async def _counted_chunks(
        self, request: Request, upload: Upload, timeout: asyncio.Timeout, last: float
    ) -> AsyncGenerator[bytes, None]:
        """The body's chunks within the limits. Every ``part_bytes`` extend the timeout, but not beyond ``last``."""
        limits, part_bytes = self._limits, 0
        async for chunk in request.stream():
            if upload.received + len(chunk) > limits.max_bytes:
                raise _too_many_bytes(limits)
            self.add(upload, len(chunk))
            if upload.refused:
                raise _no_memory()
            yield chunk
            part_bytes += len(chunk)
            if part_bytes >= limits.part_bytes:
                part_bytes = 0
                timeout.reschedule(min(last, asyncio.get_running_loop().time() + limits.part_seconds))

    def _release(self, upload: Upload) -> None:
        self._hold(-upload.received)
        upload.received = 0

    def _hold(self, size: int) -> None:
        self._held_bytes += size
        self._metrics.held_bytes.set(self._held_bytes)


def _expire(timeout: asyncio.Timeout) -> None:
    """Let a timeout expire now. One that is expiring in this very turn of the loop cannot be rescheduled."""
    with suppress(RuntimeError):
        timeout.reschedule(asyncio.get_running_loop().time())


def _check_content_type(headers: Headers) -> None:
    kind, options = parse_options_header(headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise ApiError(f"Send multipart/form-data with a field '{FIELD}' that holds the image.", code="not-a-form")
    if not options.get(b"boundary"):
        raise ApiError("The content type multipart/form-data names no boundary.", code="malformed-form")


class _Form(MultiPartParser):
    """Starlette's parser of multipart forms, for forms that hold files in the field ``file`` alone."""

    spool_max_size = sys.maxsize  # nothing is written to disk; _counted_chunks bounds the bytes

    def __init__(self, headers: Headers, chunks: AsyncGenerator[bytes, None], max_files: int) -> None:
        # Its own limits would all be the same exception; on_part_end tells them apart.
        super().__init__(headers, chunks, max_files=math.inf, max_fields=math.inf, max_part_size=sys.maxsize)
        self._max_files = max_files
        self._is_complete = False

    async def files(self) -> list[bytes]:
        """Contents of the files, in their order. Raises :class:`ApiError`."""
        try:
            form = await self.parse()
        except MultiPartException:
            raise _malformed_form() from None
        files = [await each.read() for _, each in form.multi_items() if isinstance(each, UploadFile)]
        await form.close()
        if not self._is_complete:
            raise _malformed_form()
        if not files:
            raise ApiError(f"The form has no field '{FIELD}'.", code="form-file-missing")
        return files

    def on_headers_finished(self) -> None:
        try:
            super().on_headers_finished()
        except MultiPartException:
            raise _unknown_field() from None  # a part without a name

    def on_part_end(self) -> None:
        super().on_part_end()
        name, content = self.items[-1]
        if name != FIELD:
            raise _unknown_field()
        if isinstance(content, str):
            raise ApiError(
                f"The field '{FIELD}' holds text, not a file. With curl: -F {FIELD}=@photo.jpg",
                code="form-file-missing",
            )
        if len(self.items) > self._max_files:
            hint = " Send several to /v1/batch." if self._max_files == 1 else ""
            raise ApiError(
                f"At most {self._max_files} files in one request to this address.{hint}", code="too-many-files"
            )

    def on_end(self) -> None:
        self._is_complete = True


def _malformed_form() -> ApiError:
    return ApiError("The body is not a complete multipart form.", code="malformed-form")


def _unknown_field() -> ApiError:
    return ApiError(f"The form has a field that is not '{FIELD}'; parameters go in the query.", code="unknown-field")


def _too_many_bytes(limits: Limits) -> ApiError:
    return ApiError(
        f"The body has more than {limits.max_bytes:,} bytes, the limit. Shrink the image.", code="too-many-bytes"
    )


def _no_memory() -> ApiError:
    return ApiError("Too many images are being sent at a time. Try again in a second.", code="busy")
