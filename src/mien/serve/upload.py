"""Receive images as a multipart form, one image file, or base64 in JSON; in memory and within limits.

Starlette's parser reads the form. It would write parts larger than ``spool_max_size`` to disk, so this is set larger
than any body. ``Request.form`` is not used, because it limits neither the total size nor the time.
"""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import Request
from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect

from mien.serve.limits import Limits
from mien.serve.schemas import ApiError

FIELD = "file"
"""Name of the only form field."""

IMAGES = "image/png, image/jpeg, image/webp, image/avif, image/gif"


def form_document(limits: Limits, many: bool = False) -> dict[str, Any]:
    """Return the OpenAPI description of a request's body with one image, or with ``many``."""
    file: dict[str, Any] = {"type": "string", "format": "binary", "description": f"an image: {IMAGES}"}
    files = {"type": "array", "items": file, "minItems": 1, "maxItems": limits.max_files}

    def schema(name: str, content: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "required": [name], "additionalProperties": False, "properties": {name: content}}

    text: dict[str, Any] = {"type": "string", "contentEncoding": "base64", "description": "an image, or a data: URI"}
    texts = {"type": "array", "items": text, "minItems": 1, "maxItems": limits.max_files}
    encoding = {FIELD: {"contentType": IMAGES}}
    content = {
        "multipart/form-data": {"schema": schema(FIELD, files if many else file), "encoding": encoding},
        "application/json": {"schema": schema("images", texts) if many else schema("image", text)},
        "application/octet-stream": {"schema": file},
    }
    description = f"At most {limits.max_bytes:,} bytes in total. The body may also be a single image file, as image/*."
    return {"requestBody": {"required": True, "description": description, "content": content}}


async def receive_files(request: Request, limits: Limits, max_files: int) -> list[bytes]:
    """Receive a request's files in order; ApiError: no form or file, an unknown field, too large, slow or cut off."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > limits.max_bytes:
        raise _too_many_bytes(limits)
    if (encoding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise ApiError(f"The body is compressed ({encoding}). Send it as it is.", code="content-encoding")
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    is_image = kind.startswith(b"image/") or kind == b"application/octet-stream"
    if not is_image and kind not in {b"multipart/form-data", b"application/json"}:
        message = 'Send a form with the image as "file", the image as image/jpeg, or JSON {"image": "BASE64"}.'
        raise ApiError(message, code="not-a-form")
    if kind == b"multipart/form-data" and not options.get(b"boundary"):
        raise ApiError("The content type multipart/form-data names no boundary.", code="malformed-form")
    try:
        async with asyncio.timeout(limits.body_seconds), aclosing(_bounded_chunks(request, limits)) as chunks:
            if kind == b"multipart/form-data":
                return await _form_files(request.headers, chunks, max_files)
            body = b"".join([chunk async for chunk in chunks])
            return [body] if is_image else _json_files(body, max_files)
    except TimeoutError:
        raise ApiError(f"The body took over {limits.body_seconds:g} s. Shrink it.", code="body-too-slow") from None
    except ClientDisconnect:
        raise ApiError("The client closed the connection.", code="malformed-form") from None


async def _bounded_chunks(request: Request, limits: Limits) -> AsyncGenerator[bytes, None]:
    received = 0
    async for chunk in request.stream():
        received += len(chunk)
        if received > limits.max_bytes:
            raise _too_many_bytes(limits)
        yield chunk


def _json_files(body: bytes, max_files: int) -> list[bytes]:
    """Decode the images of ``{"image": "BASE64"}`` or ``{"images": ["BASE64", ...]}``. Raises :class:`ApiError`."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise ApiError("The body is not JSON.", code="malformed-form") from None
    if not isinstance(content, dict) or not content.keys() <= {"image", "images"}:
        raise ApiError('Send {"image": "BASE64"}, or "images" with a list, only.', code="unknown-field")
    texts = content.get("images", [content["image"]] if "image" in content else [])
    if not isinstance(texts, list) or not texts or len(content) > 1:
        raise ApiError('Send one image: {"image": "BASE64"}; or "images" with a list.', code="form-file-missing")
    if len(texts) > max_files:
        raise _too_many_files(max_files)
    if any(isinstance(text, str) and "://" in text[:20] for text in texts):
        raise ApiError("The service fetches no address: send the image itself.", code="image-address")
    try:
        return [_decoded(text) for text in texts]
    except (ValueError, AttributeError):
        raise ApiError("An image in the JSON is not base64.", code="image-damaged") from None


def _decoded(text: str) -> bytes:
    """Decode base64 with or without line breaks, padding, URL-safe letters or a ``data:`` header; else ValueError."""
    letters = "".join(text.rpartition(",")[2].split()).replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)


class _Form(MultiPartParser):
    """Starlette's parser of forms, in memory, which refuses a form without an end."""

    spool_max_size = sys.maxsize  # so that nothing is written to disk; _bounded_chunks limits the bytes
    is_complete = False

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        # Old clients may send only filename*, in which other alphabets are encoded. The name does not matter.
        value = data[start:end].replace(b"filename*=", b"filename=")
        super().on_header_value(value, 0, len(value))

    def on_end(self) -> None:
        self.is_complete = True

    async def until_end(self, chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        async for chunk in chunks:
            yield chunk
        if not self.is_complete:
            raise MultiPartException("It has no end.")


async def _form_files(headers: Headers, chunks: AsyncGenerator[bytes, None], max_files: int) -> list[bytes]:
    """Return the contents of the files in the field ``file``, in order. Raises :class:`ApiError`."""
    unknown = ApiError(f"The form has a field that is not '{FIELD}'; parameters go in the query.", code="unknown-field")
    form = _Form(headers, chunks, max_files=max_files, max_fields=1, max_part_size=sys.maxsize)
    form.stream = form.until_end(chunks)
    try:
        parsed = await form.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many_files(max_files) from None
        if error.message.startswith("Too many fields"):
            raise unknown from None
        raise ApiError("The body is not a complete multipart form.", code="malformed-form") from None
    try:
        if parsed.keys() - {FIELD}:
            raise unknown
        files = parsed.getlist(FIELD)
        if not files or any(isinstance(file, str) for file in files):
            raise ApiError("The form has no file. With curl: -F file=@photo.jpg", code="form-file-missing")
        return [await file.read() for file in files if not isinstance(file, str)]
    finally:
        await parsed.close()


def _too_many_files(limit: int) -> ApiError:
    message = f"At most {limit} files in one request." if limit > 1 else "Send one file here, and several to /v1/batch."
    return ApiError(message, code="too-many-files")


def _too_many_bytes(limits: Limits) -> ApiError:
    return ApiError(f"The body has over {limits.max_bytes:,} bytes. Shrink the image.", code="too-many-bytes")
