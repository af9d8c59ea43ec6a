"""The web service: handlers of all addresses."""

import logging
import os
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

from mien.base.errors import ServeError, needs_extra
from mien.base.files import file_sha256
from mien.base.processes import available_cores
from mien.base.run_folder import find_model
from mien.faces.face import Detector
from mien.faces.find import find_detector
from mien.inference.onnx_classifier import OnnxClassifier
from mien.serve.limits import Limits
from mien.version import __version__

with needs_extra("serve", "The service"):
    from fastapi import APIRouter, Depends, FastAPI, Query, Request, WebSocket, WebSocketDisconnect
    from fastapi.middleware.cors import CORSMiddleware
    from fastapi.middleware.gzip import GZipMiddleware
    from fastapi.responses import Response
    from pydantic import ValidationError

    from mien.serve import schemas
    from mien.serve.access import CheckOrigin, checked_token, is_host_names, require_token
    from mien.serve.built_page import service_models
    from mien.serve.metrics import CONTENT_TYPE, CountRequests, ServiceMetrics
    from mien.serve.pages import HEADERS, AddHeaders, add_page
    from mien.serve.prediction_service import PredictedImage, PredictionService, Slots
    from mien.serve.stream import Stream, receive_token, refuse, sends_token
    from mien.serve.upload import form_document, receive_files

_LOG = logging.getLogger("uvicorn.error")

_DESCRIPTION = (
    "Classifies the expression in images of faces. A classifier predicts an expression from an image; it does not know "
    "what a person feels. Images are neither stored nor logged."
)

_PREDICTING = (
    *("malformed-form", "body-too-slow", "too-many-bytes", "too-many-files", "image-pixels", "content-encoding"),
    *("not-a-form", "image-format", "image-empty", "image-address", "image-damaged", "form-file-missing"),
    *("unknown-field", "bad-parameter", "too-many-faces", "too-much-work", "busy"),
)


def create_app(
    model: str | os.PathLike[str] = "default",
    *,
    detector: Detector | None = None,
    threads: int | None = None,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Sequence[str] = (),
    provider: str | None = None,
    root_path: str = "",
) -> FastAPI:
    """Create the service, to run alone or inside another application: ``app.mount("/faces", service)``.

    Args:
        model: model, as in :func:`mien.load`.
        detector: face detector, as in :meth:`mien.Predictor.predict`.
        threads: number of cores for images; default: all. One image more than cores is processed at a time.
        limits: limits of requests.
        token: bearer token that clients must send; None if they need no token.
        hosts: further host names of the service; see :class:`mien.serve.access.CheckOrigin`.
        provider: ONNX Runtime provider, as in :func:`mien.load`.
        root_path: prefix under which a proxy offers the service, such as ``"/faces"``; the proxy may keep or remove it.
            A mounted application has its own prefix.

    Raises:
        ModelError: see :func:`mien.load`, or the face detector cannot be used.
        ServeError: an argument has an impossible value (``options``).
        MissingExtraError: at the import, if a package of ``mien[serve]`` is not installed.
    """
    _check(threads, hosts, root_path)
    if token is not None:
        checked_token(token)
    limits, detector = Limits() if limits is None else limits, find_detector(detector)
    model_file = find_model(model)
    threads = threads or available_cores()
    classifier = OnnxClassifier(model_file, 1, provider=provider)
    manifest, sha256 = classifier.manifest, file_sha256(model_file)
    described = schemas.ModelResponse(name=manifest.full_name, sha256=sha256, detector=detector.name, manifest=manifest)
    metrics = ServiceMetrics(described.name, described.sha256)
    service = PredictionService(classifier, detector, limits, threads, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.stop()

    # The framework's own documentation pages load scripts from other hosts.
    app = FastAPI(
        title="mien",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would name http, and the proxy in front may speak https
        # Generated clients use this id as the name of a function.
        generate_unique_id_function=lambda route: route.name,
    )
    app.root_path = root_path  # deprecated as an argument, because it is usually the server's
    schemas.add_error_handlers(app)
    requires, codes = ([], ()) if token is None else ([Depends(require_token(token))], ("unauthorised",))
    guarded = APIRouter(dependencies=requires, responses=schemas.error_responses(*codes))
    _add_predictions(guarded, service, described, limits)
    _add_metadata(guarded, described, metrics)
    app.include_router(guarded)

    @app.head("/healthz", include_in_schema=False)
    @app.get("/healthz", tags=["service"])
    async def check_health() -> schemas.HealthResponse:
        """Report that the service answers."""
        return schemas.HealthResponse(status="ok")

    _add_stream(app, service, limits, token, metrics)
    add_page(app, service_models(model_file, guarded=token is not None))
    _add_middleware(app, hosts, metrics)
    return app


def _check(threads: Any, hosts: Any, root_path: Any) -> None:
    """Raise ServeError (``options``) for an argument of :func:`create_app` with a wrong value."""
    for name, given, fits, wanted in (
        ("--threads", threads, threads is None or (isinstance(threads, int) and threads >= 1), "1 or more"),
        ("--allow-host", hosts, is_host_names(hosts), "names without scheme, port and path, as faces.example.org"),
        ("--root-path", root_path, bool(re.fullmatch(r"(/[\w.~-]+)*", str(root_path))), "a prefix such as /faces"),
    ):
        if not fits:
            raise ServeError(f"{name} must be {wanted}; found {given!r}.", code="options")


def _add_predictions(
    router: APIRouter, service: PredictionService, model: schemas.ModelResponse, limits: Limits
) -> None:
    responses = schemas.error_responses(*_PREDICTING)
    responses[429]["headers"] = {"Retry-After": {"description": "seconds", "schema": {"type": "integer"}}}
    post = partial(router.post, tags=["faces"], openapi_extra=form_document(limits))

    async def predict_images(
        request: Request, parameters: schemas.FaceParameters, max_files: int, *, draw: bool = False
    ) -> tuple[list[PredictedImage | schemas.ApiError], dict[str, Any]]:
        """Return the answers, and the fields of an answer about how they were made."""
        reader = service.reader(parameters)
        with service.slot():
            files = await receive_files(request, limits, max_files)
            began = time.perf_counter()
            images = await service.predict(files, parameters, reader, draw=draw)
        detector, milliseconds = model.detector if parameters.detects else None, 1000 * (time.perf_counter() - began)
        return images, {"model": model, "detector": detector, "milliseconds": round(milliseconds, 3)}

    async def predict_one(
        request: Request, parameters: schemas.FaceParameters, *, draw: bool = False
    ) -> tuple[PredictedImage, dict[str, Any]]:
        (image,), about = await predict_images(request, parameters, 1, draw=draw)
        if isinstance(image, schemas.ApiError):
            raise image
        return image, about

    @post("/v1/predict", response_model_exclude_none=True, responses=responses)
    async def predict(
        request: Request, parameters: Annotated[schemas.PredictParameters, Query()]
    ) -> schemas.PredictResponse:
        """Detect the faces in one image and classify each."""
        image, about = await predict_one(request, parameters)
        return schemas.PredictResponse(**dict(image.response), **about)

    drawn = {"description": "the photo", "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}

    @post("/v1/draw", response_class=Response, responses={**responses, 200: drawn})
    async def draw(request: Request, parameters: Annotated[schemas.FaceParameters, Query()]) -> Response:
        """Draw the box and the answer of each face on a photo."""
        image, _ = await predict_one(request, parameters, draw=True)
        return Response(image.drawn, media_type="image/jpeg")

    forms = form_document(limits, many=True)

    @post("/v1/batch", response_model_exclude_none=True, responses=responses, openapi_extra=forms)
    async def predict_batch(
        request: Request, parameters: Annotated[schemas.PredictParameters, Query()]
    ) -> schemas.BatchResponse:
        """Predict several images. A failed image has its error at its position; the others are predicted."""
        images, about = await predict_images(request, parameters, limits.max_files)
        results = [image.body() if isinstance(image, schemas.ApiError) else image.response for image in images]
        return schemas.BatchResponse(results=results, **about)


def _add_stream(
    app: FastAPI, service: PredictionService, limits: Limits, token: str | None, metrics: ServiceMetrics
) -> None:
    # A client without the token must not count as a stream.
    streams, logins = Slots(limits.max_streams, "streams"), Slots(limits.max_streams, "logins")

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        """Receive JPEG frames; send the faces of each frame with their track numbers."""
        await socket.accept()
        try:
            if token is not None and not sends_token(socket, token):
                with logins:
                    await receive_token(socket, token, limits.idle_seconds)
            with streams:
                try:
                    parameters = schemas.FaceParameters.model_validate(dict(socket.query_params))
                except ValidationError as error:
                    raise schemas.invalid_parameter(error.errors()[0]) from None
                tracker = service.tracker(parameters)
                metrics.streams.inc()
                await Stream(socket, tracker, limits, service.pool).run()
        except WebSocketDisconnect:
            pass
        except Exception as error:  # noqa: BLE001 - the client learns of a defect as over HTTP
            if not isinstance(error, schemas.ApiError):
                _LOG.exception("a stream failed")
                error = schemas.internal_error()
            metrics.refused.labels(error.code).inc()
            await refuse(socket, error)


def _add_metadata(router: APIRouter, model: schemas.ModelResponse, metrics: ServiceMetrics) -> None:
    @router.get("/v1/model", tags=["service"])
    async def describe_model() -> schemas.ModelResponse:
        """Return the model's manifest and the SHA-256 of its file."""
        return model

    # response_class=PlainTextResponse would declare that errors are plain text, too.
    plain: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}

    @router.get("/metrics", response_class=Response, responses=plain, tags=["service"])
    async def read_metrics() -> Response:
        """Return counters for Prometheus."""
        return Response(metrics.page(), media_type=CONTENT_TYPE)


def _add_middleware(app: FastAPI, hosts: Sequence[str], metrics: ServiceMetrics) -> None:
    """Add middleware. The middleware that is added last receives requests first."""
    app.add_middleware(GZipMiddleware, compresslevel=6)
    if hosts:
        app.add_middleware(
            CORSMiddleware,
            allow_origin_regex=rf"https?://({'|'.join(re.escape(name.lower()) for name in hosts)})(:[0-9]+)?",
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(CheckOrigin, allowed=hosts)
    app.add_middleware(AddHeaders, headers=HEADERS)
    app.add_middleware(CountRequests, metrics=metrics)
