"""Prediction in the service, outside the event loop and within the limits."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

from mien.base.errors import DataError, ModelError
from mien.faces.crop import MAX_SEARCHED
from mien.faces.face import Detector, LimitedDetector
from mien.inference.face_reader import FaceReader
from mien.inference.onnx_classifier import OnnxClassifier
from mien.serve.api_errors import ApiError, internal_error
from mien.serve.detect import PredictedImage, predict_image
from mien.serve.limits import Limits
from mien.serve.metrics import ServiceMetrics
from mien.serve.schemas import FaceParameters
from mien.video.tracker import Tracker

_LOG = logging.getLogger("uvicorn.error")


class Slots:
    """A context for at most ``limit`` clients at a time. Raises :class:`ApiError` beyond the limit (``busy``)."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit, self._what, self._taken = limit, what, 0

    def __enter__(self) -> None:
        if self._taken >= self._limit:
            raise ApiError(f"{self._limit} {self._what}, the limit, are active. Try again later.", code="busy")
        self._taken += 1

    def __exit__(self, *error: object) -> None:
        self._taken -= 1


class PredictionService:
    """Predicts the images of all requests. One image more than ``threads`` (cores) is processed at a time."""

    def __init__(
        self, classifier: OnnxClassifier, detector: Detector, limits: Limits, threads: int, metrics: ServiceMetrics
    ) -> None:
        self._classifier, self._detector = classifier, detector
        self._limits, self._metrics = limits, metrics
        # Use one thread more than cores: one decodes while the others run networks.
        self.pool: ThreadPoolExecutor = ThreadPoolExecutor(threads + 1, thread_name_prefix="images")
        self._requests = Slots(limits.max_requests, "requests")

    def stop(self) -> None:
        """Finish the images in progress, and start no others."""
        self.pool.shutdown(cancel_futures=True)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Count a request while it is received and processed; see :class:`Slots`."""
        with self._requests, self._metrics.under_way.track_inprogress():
            yield

    def reader(self, parameters: FaceParameters) -> FaceReader:
        """Check a request's parameters and return a reader for them. Raises :class:`ApiError`."""
        for name in ("min_score", "min_size", "max_faces"):
            if not parameters.detects and getattr(parameters, name) is not None:
                raise ApiError(f"'{name}' limits detected faces; leave it out with crops=true.", code="bad-parameter")
        try:
            return FaceReader(
                self._classifier.with_output(parameters.output),
                LimitedDetector(self._detector, parameters.min_score, parameters.min_size),
                classes=parameters.classes,
            )
        except (DataError, ModelError) as error:
            raise ApiError(str(error), code="bad-parameter") from None

    def tracker(self, parameters: FaceParameters) -> Tracker:
        """Return a tracker for one stream. Raises :class:`ApiError`."""
        reader = self.reader(parameters)
        most = min(parameters.max_faces or self._limits.max_faces, self._limits.max_faces)
        detector = LimitedDetector(reader.detector, max_faces=most)
        return Tracker(reader.classifier, detector=detector, classes=parameters.classes)

    async def predict(
        self, files: list[bytes], parameters: FaceParameters, reader: FaceReader, *, draw: bool = False
    ) -> list[PredictedImage | ApiError]:
        """Predict a request's images, a few at a time, so that other requests do not wait long.

        Returns predictions for each file in order, or an error if it is unreadable, over a limit, or not done in time.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.work_seconds
        turns = asyncio.Semaphore(self._limits.images_at_once)
        works = (
            partial(
                predict_image,
                file,
                reader,
                self._limits,
                source=f"image {number}",
                crops=not parameters.detects,
                max_faces=parameters.max_faces,
                look=number <= MAX_SEARCHED,
                draw=draw,
            )
            for number, file in enumerate(files, start=1)
        )
        return await asyncio.gather(*(self._predict_image(work, turns, deadline) for work in works))

    async def _predict_image(
        self, begin: Callable[[], PredictedImage], turns: asyncio.Semaphore, deadline: float
    ) -> PredictedImage | ApiError:
        work: Future[PredictedImage] | None = None
        try:
            async with asyncio.timeout_at(deadline), turns:
                work = self.pool.submit(begin)
                image = await asyncio.wrap_future(work)
        except TimeoutError:
            if work is not None and work.cancel():
                return ApiError("The service did not get to this image in time. Try again.", code="busy")
            message = f"This image, or earlier ones, took over {self._limits.work_seconds:g} s. Shrink or send fewer."
            return ApiError(message, code="too-much-work")
        except ApiError as error:
            return error
        except Exception:  # noqa: BLE001 - one failed image must not affect the others
            _LOG.exception("an image of a request failed")
            return internal_error()
        self._metrics.faces.inc(len(image.predictions))
        return image
