"""The work of the service: image files in, predictions out, off the event loop and within the limits."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mien.errors import DataError, ModelError
from mien.faces.crop_or_photo import TRIED
from mien.faces.face import Detector, limited
from mien.inference.face_reader import FaceReader
from mien.inference.onnx_classifier import OnnxClassifier
from mien.serve.api_errors import ApiError, ErrorResponse, internal_error
from mien.serve.batching import MicroBatcher, Probabilities
from mien.serve.detect import DetectedFaces, check_image, detect_faces
from mien.serve.limits import Limits
from mien.serve.prometheus import ServiceMetrics
from mien.serve.schemas import FaceResponse, ImageResponse, ImageSize, ModelName, PredictParameters

_LOG = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class PredictQuery:
    """The parameters of a request, checked against the model.

    Attributes:
        reader: detects, crops, and merges probabilities as the request asks for.
        crops: each image is a face crop.
        max_faces: how many of the largest faces are classified; None means all.
    """

    reader: FaceReader
    crops: bool = False
    max_faces: int | None = None


class PredictionService:
    """Predicts the images of all requests: decoding and detection in a pool of threads, the network in batches.

    Args:
        classifier: the model.
        model: its name in answers.
        detector: detects faces.
        limits: of the work on a request.
        threads: images that are decoded and searched for faces at a time.
        metrics: counts faces, batches and requests.
    """

    def __init__(
        self,
        classifier: OnnxClassifier,
        model: ModelName,
        detector: Detector,
        limits: Limits,
        threads: int,
        metrics: ServiceMetrics,
    ) -> None:
        self._classifier, self._model, self._detector = classifier, model, detector
        self._limits, self._metrics = limits, metrics
        # One more than may be working: while all others run the network, it decodes the images of their next run.
        self._pool = ThreadPoolExecutor(threads + 1, thread_name_prefix="images")
        # One for each output: requests for different ones do not share a run.
        self._batchers = {
            output.name: MicroBatcher(
                classifier.with_output(output.name).probabilities, threads, metrics.batch_faces.observe
            )
            for output in classifier.manifest.all_outputs
        }
        self._under_way = 0
        self._stopped = self._draining = False

    def drain(self) -> None:
        """Be ready no more, so that a load balancer sends requests elsewhere; those that come are served."""
        self._draining = True

    def stop(self) -> None:
        """Finish the images that are being processed, and accept no more."""
        self._stopped = True
        self._pool.shutdown(cancel_futures=True)

    @property
    def is_ready(self) -> bool:
        """Whether images should be sent here."""
        return not (self._stopped or self._draining)

    def query(self, parameters: PredictParameters) -> PredictQuery:
        """Check the parameters of a request. Raises :class:`ApiError`."""
        for name in ("min_score", "min_size", "max_faces"):
            if parameters.crops and getattr(parameters, name) is not None:
                raise ApiError(f"'{name}' limits detected faces; leave it out with crops=true.", code="bad-parameter")
        try:
            reader = FaceReader(
                self._classifier.with_output(parameters.output),
                limited(self._detector, parameters.min_score, parameters.min_size),
                classes=parameters.classes,
                threshold=parameters.threshold,
            )
        except (DataError, ModelError) as error:
            raise ApiError(str(error), code="bad-parameter") from None
        return PredictQuery(reader, parameters.crops, parameters.max_faces)

    def check_room(self) -> None:
        """Refuse a request early, before its body is received. Raises :class:`ApiError`."""
        if self._under_way >= self._limits.max_requests:
            raise ApiError(
                f"{self._limits.max_requests} requests are being processed, the limit. Try again in a second.",
                code="busy",
            )

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Count a request as being processed. Raises :class:`ApiError` if that would exceed ``max_requests``."""
        self.check_room()
        self._under_way += 1
        self._metrics.under_way.set(self._under_way)
        try:
            yield
        finally:
            self._under_way -= 1
            self._metrics.under_way.set(self._under_way)

    async def predict(self, file: bytes, query: PredictQuery, deadline: float, number: int = 1) -> ImageResponse:
        """Predict the faces of one image.

        Args:
            file: an image file.
            query: of :meth:`query`.
            deadline: the event loop's time at which it is given up.
            number: of the image within its request, from 1.

        Raises:
            ApiError: an image that cannot be read, is over a limit, or not done by the deadline.
        """
        task = _ImageTask(file, query, asyncio.get_running_loop().create_future(), number)
        work = self._pool.submit(self._detect, task)
        try:
            async with asyncio.timeout_at(deadline):
                probabilities = await task.result
        except TimeoutError:
            if work.cancel() or task.waited_longer_than_worked():
                raise ApiError("The service did not get to this image in time. Try again.", code="busy") from None
            raise ApiError(
                f"The image took longer than {self._limits.work_seconds:g} s. Shrink it.", code="too-much-work"
            ) from None
        self._metrics.faces.inc(len(probabilities))
        assert task.detected is not None  # it is set before the result is
        return _image_response(query.reader, task.detected, probabilities, f"image {number}")

    async def predict_batch(
        self, files: list[bytes], query: PredictQuery, deadline: float
    ) -> list[ImageResponse | ErrorResponse]:
        """Predict several images of one request, a few at a time, so that other requests get their turn.

        Args:
            files: image files.
            query: of :meth:`query`.
            deadline: the event loop's time at which the unfinished images are given up.

        Returns:
            For each file in its place what :meth:`predict` returns, or why it was refused.

        Raises:
            ApiError: too many pixels in all.
        """
        await self._check_pixels(files, deadline)
        turns = asyncio.Semaphore(self._limits.images_at_once)

        async def result(file: bytes, number: int) -> ImageResponse | ErrorResponse:
            try:
                async with asyncio.timeout_at(deadline):
                    await turns.acquire()
            except TimeoutError:
                return ApiError(
                    f"The images before this one took all of the {self._limits.work_seconds:g} s that a request has. "
                    "Send fewer.",
                    code="too-much-work",
                ).body()
            try:
                return await self.predict(file, query, deadline, number)
            except ApiError as error:
                return error.body()
            except Exception:  # noqa: BLE001 - it belongs to this image, not to the others
                self._metrics.refused.labels("internal").inc()
                _LOG.exception("image %d of a request failed", number)
                return internal_error().body()
            finally:
                turns.release()

        return await asyncio.gather(*(result(file, number) for number, file in enumerate(files, start=1)))

    def predict_here(self, file: bytes, query: PredictQuery) -> ImageResponse:
        """Predict one image in this thread. As :meth:`predict`, without a deadline."""
        detected = self._detect_faces(file, query)
        return _image_response(query.reader, detected, query.reader.classifier.probabilities(detected.crops), "image 1")

    def metadata(self, query: PredictQuery, began: float) -> dict[str, Any]:
        """The fields of every answer beside its predictions; ``began`` is a time of time.perf_counter()."""
        milliseconds = round(1000 * (time.perf_counter() - began), 3)
        detector = None if query.crops else self._detector.name
        return {"model": self._model, "detector": detector, "milliseconds": milliseconds}

    async def _check_pixels(self, files: list[bytes], deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                pixels = await asyncio.get_running_loop().run_in_executor(
                    self._pool, _count_pixels, files, self._limits
                )
        except TimeoutError:
            raise ApiError("The service did not get to these images in time. Try again.", code="busy") from None
        if pixels > self._limits.max_request_pixels:
            raise ApiError(
                f"The images have {pixels:,} pixels in all; the limit of one request is "
                f"{self._limits.max_request_pixels:,}. Send fewer or smaller ones.",
                code="image-pixels",
            )

    def _detect(self, task: _ImageTask) -> None:
        try:
            task.begun = time.monotonic()
            task.detected = self._detect_faces(task.file, task.query, task.number)
            task.file = b""
            self._batchers[task.query.reader.classifier.output.name].put(task.detected.crops, task.result)
        except Exception as error:  # noqa: BLE001 - it belongs to the request, not to this thread
            task.result.get_loop().call_soon_threadsafe(task.fail, error)

    def _detect_faces(self, file: bytes, query: PredictQuery, number: int = 1) -> DetectedFaces:
        return detect_faces(
            file, query.reader, self._limits, crops=query.crops, max_faces=query.max_faces, look=number <= TRIED
        )


def _image_response(
    reader: FaceReader, detected: DetectedFaces, probabilities: Probabilities, source: str
) -> ImageResponse:
    predictions = reader.predictions(reader.merge(probabilities), detected.crops, detected.faces, source=source)
    return ImageResponse(
        image=ImageSize(width=detected.width, height=detected.height),
        faces=[FaceResponse.model_validate(each) for each in predictions],
        faces_found=detected.found,
        hint=None if detected.hint is None else f"{detected.hint[0].upper()}{detected.hint[1:]}",
        hint_code=None if detected.hint is None else detected.hint.code,
    )


def _count_pixels(files: list[bytes], limits: Limits) -> int:
    """Pixels of all images that will be decoded."""
    pixels = 0
    for file in files:
        try:
            pixels += check_image(file, limits)
        except ApiError:
            continue
    return pixels


@dataclass
class _ImageTask:
    """One image on its way through the threads."""

    file: bytes
    query: PredictQuery
    result: asyncio.Future[Probabilities]
    number: int
    detected: DetectedFaces | None = None
    created: float = field(default_factory=time.monotonic)
    begun: float = math.inf

    def waited_longer_than_worked(self) -> bool:
        """Whether the images of others took most of its time."""
        return self.begun - self.created > time.monotonic() - self.begun

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)
