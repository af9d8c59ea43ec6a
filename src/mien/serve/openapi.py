"""What the OpenAPI document says beyond what FastAPI derives from the models: the form, every error, examples."""

from __future__ import annotations

import io
import time
from typing import Any

import numpy as np
from PIL import Image
from pydantic import BaseModel

from mien.data.synthetic import render_faces
from mien.labels import EXPRESSIONS
from mien.serve.api_errors import CODES, ApiError, ErrorResponse
from mien.serve.limits import Limits
from mien.serve.prediction_service import PredictionService
from mien.serve.schemas import BatchResponse, PredictParameters, PredictResponse

DESCRIPTION = (
    "Classifies the expression in images of faces. A classifier predicts an expression from an image; it does not know "
    "what a person feels. Images are neither stored nor logged."
)

_PREDICTING = (
    *("malformed-form", "body-too-slow", "too-many-bytes", "too-many-files", "image-pixels", "not-a-form"),
    *("image-format", "image-damaged", "form-file-missing", "unknown-field", "bad-parameter", "too-many-faces"),
    *("too-much-work", "busy"),
)

IMAGES: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp", "image/bmp", "image/gif", "image/x-portable-anymap")

NOT_AN_IMAGE = b"no image"
"""The second file of the example of a batch."""


def errors(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Responses with these error codes, by HTTP status."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, meaning = CODES[code]
        response = found.setdefault(status, {"model": ErrorResponse, "description": meaning})
        if meaning not in response["description"]:
            response["description"] += f"; or {meaning}"
    return found


def prediction_responses(examples: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Responses of an address that predicts images."""
    content = {"application/json": {"examples": examples}}
    retry = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    found = errors(*_PREDICTING)
    found[429]["headers"] = retry
    return {200: {"description": "the predictions", "content": content}} | found


def form(limits: Limits, many: bool = False) -> dict[str, Any]:
    """The request body of such an address, which the service parses itself (upload.py)."""
    file: dict[str, Any] = {"type": "string", "format": "binary", "description": f"an image: {', '.join(IMAGES)}"}
    files = {"type": "array", "items": file, "minItems": 1, "maxItems": limits.max_files}
    schema = {
        "type": "object",
        "required": ["file"],
        "additionalProperties": False,
        "properties": {"file": files if many else file},
    }
    content = {"multipart/form-data": {"schema": schema, "encoding": {"file": {"contentType": ", ".join(IMAGES)}}}}
    description = f"At most {limits.max_bytes:,} bytes in all."
    return {"requestBody": {"required": True, "description": description, "content": content}}


def drawn_face() -> bytes:
    """The image file of all examples: a happy face of 48 x 48 pixels as PNG."""
    (face,) = render_faces(np.array([EXPRESSIONS.index("happy")]), seed=1)
    stream = io.BytesIO()
    Image.fromarray(face).save(stream, "PNG")
    return stream.getvalue()


def predict_examples(service: PredictionService) -> dict[str, Any]:
    """Answers of this service, with its model, about :func:`drawn_face` as a photo and as a face crop."""

    def answer(crops: bool) -> dict[str, Any]:
        began, query = time.perf_counter(), service.query(PredictParameters(crops=crops))
        image = service.predict_here(drawn_face(), query)
        return _example(PredictResponse(**dict(image), **service.metadata(query, began)))

    return {
        "image": {"summary": "a drawn face, detected in its image", "value": answer(crops=False)},
        "crop": {"summary": "the same with crops=true", "value": answer(crops=True)},
    }


def batch_examples(service: PredictionService) -> dict[str, Any]:
    """The answer of this service about :func:`drawn_face` and :data:`NOT_AN_IMAGE`."""
    began, query = time.perf_counter(), service.query(PredictParameters(crops=True))
    results: list[Any] = [service.predict_here(drawn_face(), query)]
    try:
        service.predict_here(NOT_AN_IMAGE, query)
    except ApiError as error:
        results.append(error.body())
    answer = _example(BatchResponse(results=results, **service.metadata(query, began)))
    return {"batch": {"summary": "a drawn face and a file that is not an image, with crops=true", "value": answer}}


def _example(answer: BaseModel) -> dict[str, Any]:
    return answer.model_dump(mode="json", exclude_none=True)
