"""Every error that the service answers with: its code, its HTTP status and its one JSON shape."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

from mien.errors import MienError
from mien.value_rules import rule_of

CODES: dict[str, tuple[int, str]] = {
    "malformed-form": (400, "the body is not a multipart form, or it is incomplete"),
    "unauthorised": (401, "the bearer token is missing or wrong"),
    "foreign-host": (403, "the header Host names another host"),
    "foreign-origin": (403, "the request comes from a page of another site"),
    "not-found": (404, "there is nothing at this address"),
    "method-not-allowed": (405, "this address takes another method"),
    "body-too-slow": (408, "the body did not arrive within the time limit"),
    "too-many-bytes": (413, "the body is larger than the limit"),
    "too-many-files": (422, "the request holds more files than the limit"),
    "image-pixels": (413, "an image has more pixels than the limit"),
    "not-a-form": (415, "the body is not multipart/form-data"),
    "image-format": (415, "a file is not an image in a format that the service reads"),
    "image-damaged": (422, "an image is incomplete or damaged"),
    "form-file-missing": (422, "the form has no file in a field 'file'"),
    "unknown-field": (422, "the form has a field other than 'file'"),
    "bad-parameter": (422, "a query parameter is unknown or has an impossible value"),
    "too-many-faces": (422, "an image has more faces than the limit"),
    "too-much-work": (422, "an image takes longer than the time limit, or has too many scans"),
    "busy": (429, "too many requests at a time; retry after Retry-After seconds"),
    "internal": (500, "a defect of the service"),
}
"""Error code -> HTTP status, and what it means. The codes are those of :class:`mien.errors.MienError`: an image
that :mod:`mien.images` would refuse as ``image-damaged`` is refused with the same code over HTTP."""

_HEADERS = {"unauthorised": {"WWW-Authenticate": "Bearer"}, "busy": {"Retry-After": "1"}}


class ErrorDetail(BaseModel):
    """Why a request, or one image of it, was refused."""

    code: Annotated[str, Field(json_schema_extra={"enum": [*CODES]})]
    message: str


class ErrorResponse(BaseModel):
    """The JSON shape of every error."""

    error: ErrorDetail


class ApiError(MienError):
    """A request that is refused with a 4xx or 5xx answer.

    Args:
        message: what was expected, what was found, what to do.
        code: one of :data:`CODES`.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message, code=code)

    @property
    def status(self) -> int:
        """HTTP status."""
        return CODES[self.code][0]

    def body(self) -> ErrorResponse:
        """The JSON body of the answer."""
        return ErrorResponse(error=ErrorDetail(code=self.code, message=str(self)))

    def response(self, scope: Scope) -> JSONResponse:
        """The answer to a request; metrics count its code by ``scope``."""
        scope["mien.error"] = self.code
        return JSONResponse(self.body().model_dump(), self.status, _HEADERS.get(self.code, {}))


def internal_error() -> ApiError:
    """The answer to what nobody foresaw."""
    return ApiError("The service failed; its log says where.", code="internal")


def error_responses(*codes: str) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI document says of answers with these error codes, by HTTP status."""
    found: dict[int | str, dict[str, Any]] = {}
    for code in codes:
        status, meaning = CODES[code]
        response = found.setdefault(status, {"model": ErrorResponse, "description": meaning})
        if meaning not in response["description"]:
            response["description"] += f"; or {meaning}"
    return found


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error in that shape, the framework's own errors too."""

    @app.exception_handler(ApiError)
    async def api_error(request: Request, error: ApiError) -> JSONResponse:
        return error.response(request.scope)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> JSONResponse:
        return internal_error().response(request.scope)

    @app.exception_handler(RequestValidationError)
    async def invalid_parameter(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:])
        fault = "is not known" if first["type"] == "extra_forbidden" else rule_of(first)
        return ApiError(f"The query parameter '{name}' {fault}.", code="bad-parameter").response(request.scope)

    @app.exception_handler(HTTPException)
    async def framework_error(request: Request, error: HTTPException) -> JSONResponse:
        scope = request.scope
        if error.status_code == 405:
            answer = ApiError("This address does not support this HTTP method.", code="method-not-allowed").response(
                scope
            )
        elif error.status_code == 404:
            answer = ApiError("There is nothing here; see /openapi.json.", code="not-found").response(scope)
        else:
            detail = ErrorDetail(code="http", message=str(error.detail))
            answer = JSONResponse(ErrorResponse(error=detail).model_dump(), error.status_code)
        answer.headers.update(error.headers or {})
        return answer
