"""The web service: what each address does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response

from mien.faces.face import Detector
from mien.files import file_sha256
from mien.inference.onnx_classifier import OnnxClassifier
from mien.serve.api_errors import ApiError, add_error_handlers
from mien.serve.auth import require_token
from mien.serve.built_page import service_models
from mien.serve.limits import Limits
from mien.serve.middleware import AddHeaders, AnswerDefects, AnswerHead, CountRequests, DrainBody
from mien.serve.openapi import (
    DESCRIPTION,
    batch_examples,
    errors,
    form,
    predict_examples,
    prediction_responses,
)
from mien.serve.origin import CheckOrigin, check_host_names, page_origins
from mien.serve.pages import HEADERS, add_pages
from mien.serve.prediction_service import PredictionService
from mien.serve.prometheus import CONTENT_TYPE, ServiceMetrics
from mien.serve.schemas import (
    BatchResponse,
    HealthResponse,
    ModelName,
    ModelResponse,
    PredictParameters,
    PredictResponse,
)
from mien.serve.upload import Uploads
from mien.version import __version__


def create_app(
    model_file: Path,
    detector: Detector,
    *,
    threads: int,
    limits: Limits | None = None,
    token: str | None = None,
    hosts: Sequence[str] = (),
    provider: str | None = None,
) -> FastAPI:
    """Make the service.

    Args:
        model_file: the ``.onnx`` file.
        detector: detects faces in photos.
        threads: images that are decoded and searched for faces at a time, and runs of the network at a time.
        limits: what is refused.
        token: the bearer token that a client must send; None asks for none.
        hosts: further names of the service; see :class:`mien.serve.origin.CheckOrigin`.
        provider: as in :func:`mien.load`.

    Raises:
        ModelError: as :func:`mien.load`.
        ServeError: a name in ``hosts`` that is none (``host-name``).
    """
    check_host_names(hosts)
    limits = Limits() if limits is None else limits
    classifier = OnnxClassifier(model_file, 1, provider=provider)
    name = ModelName(name=classifier.manifest.full_name, sha256=file_sha256(model_file))
    model = ModelResponse(**dict(name), detector=detector.name, manifest=classifier.manifest)
    metrics = ServiceMetrics()
    service = PredictionService(classifier, name, detector, limits, threads, metrics)
    app = _empty_app(service)
    guarded = _router(token)
    _add_predictions(guarded, service, Uploads(limits, metrics), limits)
    _add_facts(guarded, model, metrics)
    app.include_router(guarded)
    _add_health(app, service)
    add_pages(app, service_models(model_file, guarded=token is not None))
    _add_middleware(app, hosts, metrics)
    return app


def _empty_app(service: PredictionService) -> FastAPI:
    """An app without addresses, which stops the service with itself."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        service.stop()

    app = FastAPI(
        title="mien",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        # The framework's own pages load scripts from other hosts, so they need a network; see pages.py.
        docs_url=None,
        redoc_url=None,
    )
    # After it the service is not ready, and does all else as before (server.py).
    app.state.drain = service.drain
    add_error_handlers(app)
    return app


def _router(token: str | None) -> APIRouter:
    """The addresses that ask for the token, if there is one."""
    if token is None:
        return APIRouter(responses=errors())
    return APIRouter(dependencies=[Depends(require_token(token))], responses=errors("unauthorised"))


def _add_predictions(router: APIRouter, service: PredictionService, uploads: Uploads, limits: Limits) -> None:
    @router.post(
        "/v1/predict",
        # Without a detection there is no box and no detector.
        response_model_exclude_none=True,
        responses=prediction_responses(predict_examples(service)),
        openapi_extra=form(limits),
    )
    async def predict(request: Request, parameters: Annotated[PredictParameters, Query()]) -> PredictResponse:
        """Detect the faces in one image and classify each."""
        query = service.query(parameters)
        service.check_room()
        async with uploads.files(request, max_files=1) as (file,):
            with service.slot():
                began, deadline = time.perf_counter(), asyncio.get_running_loop().time() + limits.work_seconds
                image = await service.predict(file, query, deadline)
        return PredictResponse(**dict(image), **service.metadata(query, began))

    @router.post(
        "/v1/batch",
        response_model_exclude_none=True,
        responses=prediction_responses(batch_examples(service)),
        openapi_extra=form(limits, many=True),
    )
    async def batch(request: Request, parameters: Annotated[PredictParameters, Query()]) -> BatchResponse:
        """Predict several images. An image that fails has its error in its place; the others are predicted."""
        query = service.query(parameters)
        service.check_room()
        async with uploads.files(request, limits.max_files) as files:
            with service.slot():
                began, deadline = time.perf_counter(), asyncio.get_running_loop().time() + limits.work_seconds
                results = await service.predict_batch(files, query, deadline)
        return BatchResponse(results=results, **service.metadata(query, began))


def _add_facts(router: APIRouter, model: ModelResponse, metrics: ServiceMetrics) -> None:
    @router.get("/v1/model")
    async def model_metadata() -> ModelResponse:
        """The model's manifest and the SHA-256 of its file."""
        return model

    @router.get("/metrics", response_class=Response)
    async def metrics_page() -> Response:
        """Counters for Prometheus."""
        return Response(metrics.page(), media_type=CONTENT_TYPE)


def _add_health(app: FastAPI, service: PredictionService) -> None:
    @app.get("/healthz")
    async def health() -> HealthResponse:
        """Whether the process is alive."""
        return HealthResponse(status="ok")

    @app.get("/readyz", responses=errors("not-ready"))
    async def readiness() -> HealthResponse:
        """Whether the service accepts images."""
        if not service.is_ready:
            raise ApiError("The service is starting or stopping.", code="not-ready")
        return HealthResponse(status="ready")


def _add_middleware(app: FastAPI, hosts: Sequence[str], metrics: ServiceMetrics) -> None:
    """What is added last sees a request first."""
    app.add_middleware(AnswerDefects)
    if hosts:
        app.add_middleware(
            CORSMiddleware,
            allow_origin_regex=page_origins(hosts),
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(CheckOrigin, allowed=hosts)
    app.add_middleware(AddHeaders, headers=HEADERS)
    app.add_middleware(CountRequests, metrics=metrics)
    app.add_middleware(DrainBody)
    app.add_middleware(AnswerHead)
