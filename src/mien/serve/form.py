"""The files of a multipart form, in memory alone, counted while they come in, cut off where they are too many.

The framework's own reading of forms writes larger files to disk and counts them when they are complete.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial

from fastapi import Request
from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from mien.serve.limits import Limits
from mien.serve.refusals import RefusedError
from mien.serve.uploads import Upload, no_room

FIELD = "file"
"""The form's only field."""


async def read_files(request: Request, upload: Upload, limits: Limits, max_files: int) -> list[bytes]:
    """Read the files of a request, in their order.

    Args:
        request: whose body nobody has read.
        upload: is told of every byte.
        limits: of bytes and seconds.
        max_files: in this request.

    Raises:
        RefusedError: no form, another field, too many bytes or files, none, cut off, or too slow.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.max_bytes:
        raise _too_many_bytes(limits)
    form = _Form(request.headers.get("content-type", ""), max_files)
    loop = asyncio.get_running_loop()
    last = loop.time() + limits.body_seconds
    try:
        async with asyncio.timeout_at(min(last, loop.time() + limits.part_seconds)) as patience:
            with upload.coming_in(partial(_end, patience)):
                part_bytes = 0
                async for chunk in request.stream():
                    if upload.received + len(chunk) > limits.max_bytes:
                        raise _too_many_bytes(limits)
                    upload.take(len(chunk))
                    if upload.refused:
                        raise no_room()
                    form.write(chunk)
                    part_bytes += len(chunk)
                    if part_bytes >= limits.part_bytes:
                        part_bytes = 0
                        patience.reschedule(min(last, loop.time() + limits.part_seconds))
    except TimeoutError:
        if upload.refused:
            raise no_room() from None
        raise RefusedError(
            "body_too_slow",
            f"The body did not come in within {limits.body_seconds:g} s, or less than {limits.part_bytes:,} bytes of "
            f"it came in {limits.part_seconds:g} s. Send a smaller picture.",
        ) from None
    except ClientDisconnect:
        raise RefusedError("bad_form", "The client went away.") from None
    return form.finish()


def _end(patience: asyncio.Timeout) -> None:
    """Let it be over now. One that runs out in this very turn of the loop cannot be moved any more, and need not be."""
    with suppress(RuntimeError):
        patience.reschedule(asyncio.get_running_loop().time())


def _too_many_bytes(limits: Limits) -> RefusedError:
    return RefusedError(
        "too_many_bytes", f"The body has over {limits.max_bytes:,} bytes, the most that is taken. Shrink the picture."
    )


class _Form:
    def __init__(self, content_type: str, max_files: int) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data":
            raise RefusedError("not_a_form", f"Send multipart/form-data with a field '{FIELD}' that holds the picture.")
        if not options.get(b"boundary"):
            raise RefusedError("bad_form", "The content type multipart/form-data names no boundary.")
        self._max_files = max_files
        self._files: list[bytearray] = []
        self._header, self._value = b"", b""
        self._disposition = b""
        self._complete = False
        try:
            self._parser = MultipartParser(
                options[b"boundary"],
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except FormParserError:
            raise _bad_form() from None

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise _bad_form() from None

    def finish(self) -> list[bytes]:
        if not self._complete:
            raise _bad_form()
        if not self._files:
            raise RefusedError("no_file", f"The form has no field '{FIELD}'.")
        return [bytes(each) for each in self._files]

    def _begin(self) -> None:
        self._disposition = b""

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _headers_finished(self) -> None:
        options = parse_options_header(self._disposition)[1]
        if options.get(b"name") != FIELD.encode():
            raise RefusedError(
                "unknown_field", f"The form has a field that is not '{FIELD}'; settings go in the query."
            )
        if b"filename" not in options:
            raise RefusedError(
                "no_file", f"The field '{FIELD}' holds text, not a file. With curl it is: -F {FIELD}=@photo.jpg"
            )
        if len(self._files) == self._max_files:
            more = " Send several to /v1/batch." if self._max_files == 1 else ""
            raise RefusedError("too_many_files", f"At most {self._max_files} in one request to this address.{more}")
        self._files.append(bytearray())

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._files[-1] += memoryview(data)[start:end]

    def _end(self) -> None:
        self._complete = True


def _bad_form() -> RefusedError:
    return RefusedError("bad_form", "The body is not a complete multipart form.")
