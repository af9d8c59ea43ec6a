"""What the OpenAPI document says beside what the framework knows: the form, every refusal, examples."""

from __future__ import annotations

from typing import Any

from mien.serve.limits import Limits
from mien.serve.refusals import CODES
from mien.serve.schemas import ErrorAnswer

DESCRIPTION = (
    "Reads the expression in pictures of faces. A classifier reads an expression in a picture; it does not know what a "
    "person feels. Pictures are neither stored nor logged."
)

_READING = (
    *("bad_form", "body_too_slow", "too_many_bytes", "too_many_files", "too_many_pixels", "not_a_form", "not_an_image"),
    *("damaged_image", "no_file", "unknown_field", "bad_parameter", "too_many_faces", "too_much_work", "busy"),
)

IMAGES = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/x-portable-anymap")


def errors(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Responses of these refusals, by their status."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, meaning = CODES[code]
        response = found.setdefault(status, {"model": ErrorAnswer, "description": meaning})
        if meaning not in response["description"]:
            response["description"] += f"; or {meaning}"
    return found


def reads(examples: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Responses of an address that reads pictures."""
    content = {"application/json": {"examples": examples}}
    retry = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    found = errors(*_READING)
    found[429]["headers"] = retry
    return {200: {"description": "what was read", "content": content}} | found


def form(limits: Limits, many: bool = False) -> dict[str, Any]:
    """The body of such an address, which the service reads itself (form.py)."""
    file: dict[str, Any] = {"type": "string", "format": "binary", "description": f"an image: {', '.join(IMAGES)}"}
    files = {"type": "array", "items": file, "minItems": 1, "maxItems": limits.max_files}
    schema = {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {"file": files if many else file},
    }
    content = {"multipart/form-data": {"schema": schema, "encoding": {"file": {"contentType": ", ".join(IMAGES)}}}}
    said = f"At most {limits.max_bytes:,} bytes in all."
    return {"requestBody": {"required": True, "description": said, "content": content}}
