"""The web service: what is at which address."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response

from mien.inference.classifier import Classifier
from mien.serve.access import checks_token
from mien.serve.built_page import for_the_page
from mien.serve.examples import batch_examples, predict_examples
from mien.serve.form import read_files
from mien.serve.head import AnswerHead
from mien.serve.limits import Limits
from mien.serve.metrics import CONTENT_TYPE, CountRequests, Metrics
from mien.serve.openapi import DESCRIPTION, errors, form, reads
from mien.serve.pages import SecurityHeaders, add_pages
from mien.serve.reading import Reader
from mien.serve.refusals import AnswerDefects, RefusedError, answer_refusals
from mien.serve.schemas import Answer, BatchAnswer, Health, ModelAnswer, ModelName, Wishes
from mien.serve.unread import AnswerBeforeCutting
from mien.serve.uploads import Uploads
from mien.version import __version__

if TYPE_CHECKING:
    from mien.faces.face import Detector


def create_app(
    model_file: Path,
    detector: Detector,
    *,
    threads: int,
    limits: Limits | None = None,
    token: str | None = None,
) -> FastAPI:
    """Make the service.

    Args:
        model_file: the ``.onnx`` file.
        detector: finds faces in photos.
        threads: pictures that are decoded and searched at a time, and threads of the network.
        limits: what is refused.
        token: what a client must send as its bearer token; None asks for nothing.

    Raises:
        ModelError: as :func:`mien.load`.
    """
    limits = Limits() if limits is None else limits
    classifier = Classifier(model_file, 1)
    model = ModelName(name=classifier.manifest.full_name, sha256=hashlib.sha256(model_file.read_bytes()).hexdigest())
    metrics = Metrics()
    uploads = Uploads(limits, metrics)
    reader = Reader(classifier, model, detector, limits, threads, metrics)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        reader.stop()

    app = FastAPI(
        title="mien",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        # The framework's own pages load scripts from elsewhere, which a machine without a network cannot; see pages.py.
        docs_url=None,
        redoc_url=None,
    )
    answer_refusals(app)
    guarded = APIRouter() if token is None else APIRouter(dependencies=[Depends(checks_token(token))])
    guarded_errors = errors() if token is None else errors("unauthorised")

    @guarded.post(
        "/v1/predict",
        response_model=Answer,
        responses=guarded_errors | reads(predict_examples(reader)),
        openapi_extra=form(limits),
    )
    async def predict(request: Request, wishes: Annotated[Wishes, Query()]) -> Response:
        """Find the faces in one picture and read each."""
        plan = reader.plan(wishes)
        reader.check_room()
        with uploads.begin() as upload:
            (file,) = await read_files(request, upload, limits, max_files=1)
            with reader.slot():
                began, until = time.perf_counter(), asyncio.get_running_loop().time() + limits.work_seconds
                answer = await reader.read(file, plan, until)
        return JSONResponse(answer | reader.about(plan, began))

    @guarded.post(
        "/v1/batch",
        response_model=BatchAnswer,
        responses=guarded_errors | reads(batch_examples(reader)),
        openapi_extra=form(limits, many=True),
    )
    async def batch(request: Request, wishes: Annotated[Wishes, Query()]) -> Response:
        """Read several pictures. What is wrong with one is said in its place, and the others are read."""
        plan = reader.plan(wishes)
        reader.check_room()
        with uploads.begin() as upload:
            files = await read_files(request, upload, limits, limits.max_files)
            with reader.slot():
                began, until = time.perf_counter(), asyncio.get_running_loop().time() + limits.work_seconds
                results = await reader.read_all(files, plan, until)
        return JSONResponse({"results": results} | reader.about(plan, began))

    @guarded.get("/v1/model", responses=guarded_errors)
    async def model_answer() -> ModelAnswer:
        """What the model is: its manifest and the SHA-256 of its file."""
        return ModelAnswer(**model.model_dump(), detector=detector.name, manifest=classifier.manifest)

    @guarded.get("/metrics", response_class=Response, responses=guarded_errors)
    async def metrics_page() -> Response:
        """Counters for Prometheus."""
        return Response(metrics.page(), media_type=CONTENT_TYPE)

    app.include_router(guarded)

    @app.get("/healthz")
    async def health() -> Health:
        """Whether the process lives."""
        return Health(status="ok")

    @app.get("/readyz", responses=errors("not_ready"))
    async def readiness() -> Health:
        """Whether it reads pictures."""
        if not reader.is_ready:
            raise RefusedError("not_ready", "The service is starting or stopping.")
        return Health(status="ready")

    add_pages(app, for_the_page(model_file, guarded=token is not None))
    # The last one added is the first to see a request.
    app.add_middleware(AnswerDefects)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(CountRequests, metrics=metrics)
    app.add_middleware(AnswerBeforeCutting)
    app.add_middleware(AnswerHead)
    return app
