"""Errors of the service: codes, HTTP status and their one JSON shape."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

from mien.base.errors import MienError, rule_of

CODES: dict[str, tuple[int, str]] = {
    "malformed-form": (400, "the body is incomplete, or not what its content type says"),
    "unauthorised": (401, "the bearer token is missing or wrong"),
    "foreign-host": (403, "the header Host names another host"),
    "foreign-origin": (403, "the request comes from a page of another site"),
    "not-found": (404, "there is nothing at this address"),
    "method-not-allowed": (405, "this address takes another method"),
    "body-too-slow": (408, "the body did not arrive within the time limit"),
    "too-many-bytes": (413, "the body is larger than the limit"),
    "too-many-files": (422, "the request holds more files than the limit"),
    "image-pixels": (413, "an image has more pixels than the limit"),
    "content-encoding": (415, "the body is compressed"),
    "not-a-form": (415, "the body is no form, no image and no JSON"),
    "image-format": (415, "a file is not an image in a format that the service reads"),
    "image-empty": (422, "a file is empty"),
    "image-address": (422, "the JSON has an image's address, and the service fetches nothing"),
    "image-damaged": (422, "an image is incomplete or damaged"),
    "form-file-missing": (422, "the body has no image"),
    "unknown-field": (422, "the form has a field other than 'file', or the JSON one other than 'image' and 'images'"),
    "bad-parameter": (422, "a query parameter is unknown or has an impossible value"),
    "too-many-faces": (422, "an image has more faces than the limit"),
    "too-much-work": (422, "an image takes longer than the time limit, or a JPEG has too many scans"),
    "not-a-frame": (422, "a message of a stream is not binary"),
    "too-many-frames": (422, "a stream sends more frames a second than the limit"),
    "stream-idle": (408, "a stream sent no frame, or received no answer, in time"),
    "busy": (429, "more requests than the limit, or an image not begun in time; retry after Retry-After seconds"),
    "internal": (500, "a bug in the service"),
}
"""Error codes with their HTTP status and meaning. They are the codes of :class:`mien.base.errors.MienError`: an image
that :mod:`mien.base.images` refuses as ``image-damaged`` has this code over HTTP too."""


class ErrorDetail(BaseModel):
    """Reason why a request, or one of its images, was refused."""

    code: Annotated[str, Field(json_schema_extra={"enum": [*CODES]})]
    message: str


class ErrorResponse(BaseModel):
    """The JSON shape of every error."""

    error: ErrorDetail


class ApiError(MienError):
    """A request that is refused with a 4xx or 5xx status; ``code`` is one of :data:`CODES`."""

    def body(self) -> ErrorResponse:
        """The JSON body of the error's answer."""
        return ErrorResponse(error=ErrorDetail(code=self.code, message=str(self)))

    def response(self, scope: Scope) -> JSONResponse:
        """Build the answer to a request. The error code is also stored in ``scope``, for the metrics."""
        scope["mien.error"] = self.code
        headers = {"unauthorised": {"WWW-Authenticate": "Bearer"}, "busy": {"Retry-After": "1"}}
        return JSONResponse(self.body().model_dump(), CODES[self.code][0], headers.get(self.code, {}))


def internal_error() -> ApiError:
    """Return the error for an unexpected exception."""
    return ApiError("The service failed; its log contains the error.", code="internal")


def error_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI description of errors with these codes, by HTTP status."""
    responses: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, meaning = CODES[code]
        others = f"{responses[status]['description']}; or " if status in responses else ""
        responses[status] = {"model": ErrorResponse, "description": others + meaning}
    return responses


def invalid_parameter(error: Mapping[str, Any]) -> ApiError:
    """Return the error for pydantic's error about a query parameter."""
    name = ".".join(str(part) for part in error["loc"])
    fault = "is not known" if error["type"] == "extra_forbidden" else rule_of(error)
    return ApiError(f"The query parameter '{name}' {fault}.", code="bad-parameter")


def add_error_handlers(app: FastAPI) -> None:
    """Answer all errors, including the framework's own, in this JSON shape."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> JSONResponse:
        return error.response(request.scope)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        return internal_error().response(request.scope)

    @app.exception_handler(RequestValidationError)
    async def bad_request(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        return invalid_parameter({**first, "loc": first["loc"][1:]}).response(request.scope)

    @app.exception_handler(HTTPException)
    async def framework_error(request: Request, error: HTTPException) -> Response:
        if request.scope["path"] == (prefix := request.scope.get("root_path")):
            # Not "http://...": a proxy may speak https.
            return RedirectResponse(f"{prefix}/?{request.url.query}".rstrip("?"))
        code = "method-not-allowed" if error.status_code == 405 else "not-found"
        message = f"{request.method} is not possible here; see /openapi.json. Predictions: POST /v1/predict."
        response = ApiError(message, code=code).response(request.scope)
        response.headers.update(error.headers or {})
        return response
