"""Every way in which the service says no: one JSON shape, ``{"error": {"code", "message"}}``."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CODES = {
    "bad_form": (400, "the body is no multipart form, or was cut off"),
    "unauthorised": (401, "no bearer token, or another one"),
    "not_found": (404, "there is nothing at this address"),
    "wrong_method": (405, "this address takes another method"),
    "body_too_slow": (408, "the body took longer to come in than the service waits"),
    "too_many_bytes": (413, "the body is larger than the service takes"),
    "too_many_files": (422, "more files than one request may hold"),
    "too_many_pixels": (413, "a picture that unpacks to more pixels than the service takes"),
    "not_a_form": (415, "the body is not multipart/form-data"),
    "not_an_image": (415, "a file that is no image that can be read"),
    "bad_range": (416, "the header Range names no part of the file"),
    "damaged_image": (422, "an image that is cut off or damaged"),
    "no_file": (422, "the form has no file in a field 'file'"),
    "unknown_field": (422, "the form has a field other than 'file'"),
    "bad_parameter": (422, "a query parameter that is unknown or has an impossible value"),
    "too_many_faces": (422, "a picture with more faces than the service reads"),
    "too_much_work": (
        422,
        "a picture that takes longer to read than the service spends on one, or has endless scans",
    ),
    "busy": (429, "too many requests at a time; come again after Retry-After seconds"),
    "internal": (500, "a defect of the service"),
    "not_ready": (503, "the service is starting or stopping"),
}
"""Code -> HTTP status, and what it means."""


class RefusedError(Exception):
    """A request that is not answered, and why.

    Attributes:
        code: one of :data:`CODES`.
        message: what was expected, what was found, what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message

    @property
    def status(self) -> int:
        """HTTP status."""
        return CODES[self.code][0]

    def to_dict(self) -> dict[str, Any]:
        """The one shape of every error."""
        return {"error": {"code": self.code, "message": self.message}}

    def response(self) -> JSONResponse:
        """The answer that says so."""
        headers = {"unauthorised": {"WWW-Authenticate": "Bearer"}, "busy": {"Retry-After": "1"}}.get(self.code, {})
        return JSONResponse(self.to_dict(), self.status, headers)


def answer_refusals(app: FastAPI) -> None:
    """Let the app answer every error, its framework's own too, in that shape."""

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        request.scope["mien.refused"] = error.code
        return error.response()

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"][1:])
        fault = "is not known" if first["type"] == "extra_forbidden" else f"is wrong: {first['msg']}"
        return await refused(request, RefusedError("bad_parameter", f"The query parameter '{name}' {fault}."))

    @app.exception_handler(HTTPException)
    async def framework(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 405:
            response = await refused(request, RefusedError("wrong_method", "This address takes another method."))
        elif error.status_code == 404:
            response = await refused(request, RefusedError("not_found", "There is nothing here; /docs lists what is."))
        else:
            response = JSONResponse({"error": {"code": "http", "message": str(error.detail)}}, error.status_code)
        response.headers.update(error.headers or {})
        return response


class AnswerDefects:
    """ASGI middleware that answers what nobody foresaw, and passes it on to the log.

    The framework's own place for it lies outside of all middleware: such answers were neither counted nor had the
    headers of the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        has_begun = False

        async def note_begin(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, note_begin)
        except Exception:
            if scope["type"] == "http" and not has_begun:
                error = RefusedError("internal", "The service failed; its log says where.")
                scope["mien.refused"] = error.code
                await error.response()(scope, receive, send)
            raise
