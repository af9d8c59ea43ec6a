"""Receives the files of multipart requests: in memory only, within limits of bytes, files and time.

Starlette's parser takes the form apart. It writes to disk what exceeds ``spool_max_size``, so that is set beyond any
body. Its own ``Request.form`` would not do: it has no limit of all bytes and none of time.
"""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from mien.serve.api_errors import ApiError
from mien.serve.limits import Limits

FIELD = "file"
"""The only field of the form."""

IMAGES: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/x-portable-anymap")


def form_document(limits: Limits, many: bool = False) -> dict[str, Any]:
    """What the OpenAPI document says of the body of a request: one image, or ``many``."""
    file: dict[str, Any] = {"type": "string", "format": "binary", "description": f"an image: {', '.join(IMAGES)}"}
    files = {"type": "array", "items": file, "minItems": 1, "maxItems": limits.max_files}
    schema = {
        "type": "object",
        "required": [FIELD],
        "additionalProperties": False,
        "properties": {FIELD: files if many else file},
    }
    content = {"multipart/form-data": {"schema": schema, "encoding": {FIELD: {"contentType": ", ".join(IMAGES)}}}}
    description = f"At most {limits.max_bytes:,} bytes in all."
    return {"requestBody": {"required": True, "description": description, "content": content}}


async def receive_files(request: Request, limits: Limits, max_files: int) -> list[bytes]:
    """Receive the files of a request, in their order.

    Args:
        request: its body must not have been read.
        limits: of bytes and seconds.
        max_files: in this request.

    Raises:
        ApiError: not a form, another field, no file, too many bytes or files, incomplete, or too slow.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.max_bytes:
        raise _too_many_bytes(limits)
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise ApiError(f"Send multipart/form-data with a field '{FIELD}' that holds the image.", code="not-a-form")
    if not options.get(b"boundary"):
        raise ApiError("The content type multipart/form-data names no boundary.", code="malformed-form")
    try:
        async with asyncio.timeout(limits.body_seconds), aclosing(_bounded_chunks(request, limits)) as chunks:
            return await _Form(request.headers, chunks, max_files).files()
    except TimeoutError:
        raise ApiError(
            f"The body did not arrive within {limits.body_seconds:g} s. Send a smaller image.", code="body-too-slow"
        ) from None
    except ClientDisconnect:
        raise ApiError("The client closed the connection.", code="malformed-form") from None


async def _bounded_chunks(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limits.max_bytes:
            raise _too_many_bytes(limits)
        yield chunk


class _Form(MultiPartParser):
    """Starlette's parser of multipart forms, for forms that hold files in the field ``file`` alone."""

    spool_max_size = sys.maxsize  # nothing is written to disk; _bounded_chunks bounds the bytes

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
            if self._current_part.file is not None:
                await self._current_part.file.close()
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
