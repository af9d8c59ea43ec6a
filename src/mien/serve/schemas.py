"""Schemas of request parameters and answers, from which FastAPI serialises; errors, with codes and HTTP status."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

from mien.base.errors import MienError, rule_of
from mien.base.model_file import Manifest

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


class FaceParameters(BaseModel, extra="forbid", frozen=True):
    """Query parameters of a request about faces in a photo or frame; any other is refused."""

    classes: str | None = Field(
        default=None,
        max_length=1000,
        description="label scheme: all, seven, six, five, three, binary, binary-with-disgust, or your own, "
        "'good=happy+surprise,bad=angry+fear+sad'; probabilities are summed",
        examples=["binary"],
    )
    output: str | None = Field(
        default=None,
        max_length=100,
        description="output of the model that gives the answer, named as in the manifest of /v1/model; default: "
        "'answer' if the model has a rule, else the output trained on votes, else its only output",
        examples=["fer2013"],
    )
    min_score: float | None = Field(None, ge=0, description="lowest detector score of a face, 0..1; default: its own")
    min_size: int | None = Field(None, ge=1, description="smallest longer side of a face, in pixels", examples=[24])
    max_faces: int | None = Field(
        None, ge=1, description="number of largest faces to classify; by default all, or an error if there are too many"
    )

    @property
    def detects(self) -> bool:
        """Return whether faces are detected in the images."""
        return not getattr(self, "crops", False)


class PredictParameters(FaceParameters):
    """Query parameters of a request for predictions; any other is refused."""

    crops: bool = Field(False, description="each image is a face crop, about as tight as FER2013's")


class BoxResponse(BaseModel):
    """Position of a face, in pixels of the upright image."""

    left: int
    top: int
    width: int
    height: int


class FaceResponse(BaseModel):
    """The expression that the model predicts for one face. It says nothing about what the person feels."""

    source: str = Field(description="name of the image: 'image 3' is the third file")
    box: BoxResponse | None = Field(None, description="missing with crops")
    detection_score: float | None = Field(None, description="of the detector, not calibrated; missing with crops")
    landmarks: dict[str, tuple[float, float]] | None = Field(
        None, description="x and y in pixels of eyes, nose and mouth corners; missing with crops"
    )
    output: str | None = Field(None, description="output that gives the answer; missing if it has no name")
    answer: str = Field(description="an expression, 'unsure' or 'not-a-face'; equals `top` if trained on labels")
    top: str = Field(description="the most probable class")
    # Do not limit it to 1, because rounding may make a sum of probabilities slightly larger.
    confidence: float = Field(description="the model's probability of `top`, 0..1")
    in_doubt: bool = Field(description="true if unsure, with alternatives, or, for a label's output, below 0.5")
    alternatives: list[str] = Field(description="expressions nearly as probable as `top`, the most probable first")
    # The next four are missing unless the output was trained on votes.
    unsure: bool | None = Field(None, description="true if no expression reaches the rule's limit; only of votes")
    not_a_face: bool | None = Field(None, description="true if `top` is 'not-a-face'; only of votes")
    derived_valence: float | None = Field(
        None, description="-1 (unpleasant) to 1, derived from probabilities, not measured; only of votes"
    )
    derived_arousal: float | None = Field(None, description="-1 (calm) to 1, derived like the valence")
    valence: float | None = Field(None, description="-1 (unpleasant) to 1; only if the model learned ratings")
    arousal: float | None = Field(None, description="-1 (calm) to 1; only if the model learned ratings")
    probabilities: dict[str, float] = Field(description="probability of each class; they sum to 1")


class ImageSize(BaseModel):
    """Size of the upright image in pixels."""

    width: int
    height: int


class ImageResponse(BaseModel):
    """The faces of one image."""

    image: ImageSize
    faces: list[FaceResponse] = Field(description="faces, the largest first")
    faces_found: int = Field(description="number of detected faces, including those left out by max_faces")
    hint: str | None = Field(None, description="notice that a photo may have been sent as a face crop, or the reverse")
    hint_code: str | None = Field(None, description="code of the hint: photo-as-crop or crops-as-photos")


class ModelName(BaseModel):
    """Name and digest of the model."""

    name: str
    sha256: str = Field(description="SHA-256 of the model file")


class _Answer(BaseModel):
    model: ModelName
    detector: str | None = Field(None, description="name of the face detector; missing with crops")
    milliseconds: float = Field(description="milliseconds from the complete request to the answer")


class PredictResponse(_Answer, ImageResponse):
    """The answer to a request with one image."""


class BatchResponse(_Answer):
    """The answer to a request with several images."""

    results: list[ImageResponse | ErrorResponse] = Field(description="one result per file, in order")


class ModelResponse(ModelName):
    """The model and the face detector."""

    detector: str
    manifest: Manifest


class HealthResponse(BaseModel):
    """The answer of the health check."""

    status: str
