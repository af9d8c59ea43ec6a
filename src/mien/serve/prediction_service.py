"""The work of the service: image files in, predictions out, off the event loop and within the limits.

Images are decoded and searched for faces in a pool of threads. Faces of concurrent requests go through the network
together, since one run costs less than several: a thread that has face crops runs the network itself if no other thread
does. Otherwise it leaves its crops to that thread, whose next run takes all crops that were left. So an idle service
answers at once, and a busy one works in batches. Waiting some milliseconds for more faces, as is often done, was
measured and gained nothing.
"""

from __future__ import annotations

import asyncio
import io
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.errors import DataError, ModelError
from mien.faces.crop_or_photo import MAX_SEARCHED
from mien.faces.face import Detector, limited
from mien.inference.drawing import draw_predictions
from mien.inference.face_reader import FaceReader, mean_of_mirrored, with_mirrored
from mien.inference.onnx_classifier import OnnxClassifier
from mien.inference.prediction import Prediction
from mien.serve.api_errors import ApiError, internal_error
from mien.serve.detect import DetectedFaces, detect_faces
from mien.serve.limits import Limits
from mien.serve.metrics import ServiceMetrics
from mien.serve.schemas import PredictParameters
from mien.video.tracker import Tracker

_LOG = logging.getLogger("uvicorn.error")

Crops: TypeAlias = npt.NDArray[np.uint8]
Probabilities: TypeAlias = npt.NDArray[np.float64]
Pending: TypeAlias = tuple[Crops, asyncio.Future[Probabilities]]

MAX_BATCH_FACES = 64
"""A run with this many faces takes no further image. It exceeds this by the faces of its last image at most."""


class MicroBatcher:
    """Classifies the faces of several requests in one run of the network.

    Args:
        classify: face crops uint8 (N, S, S[, 3]) -> probabilities float64 (N, C). Called in several threads at a time.
        runs: how many runs may go on at a time.
        observe: called with the number of faces of each run.
    """

    def __init__(self, classify: Callable[[Crops], Probabilities], runs: int, observe: Callable[[int], None]) -> None:
        self._classify, self._free_runs, self._observe = classify, runs, observe
        self._pending: deque[Pending] = deque()
        self._lock = threading.Lock()

    def put(self, crops: Crops, result: asyncio.Future[Probabilities]) -> None:
        """Classify crops uint8 (N, S, S[, 3]), N from 0 up, in this thread or in one that is classifying already.

        Their probabilities become the result of the future, in the thread of its event loop.
        """
        with self._lock:
            self._pending.append((crops, result))
            if not self._free_runs:
                return
            self._free_runs -= 1
        while batch := self._next_batch():
            self._run(batch)

    def _next_batch(self) -> list[Pending]:
        """The batch of the next run; an empty one ends this thread's turn."""
        with self._lock:
            batch: list[Pending] = []
            faces = 0
            while self._pending and faces < MAX_BATCH_FACES:
                batch.append(self._pending.popleft())
                faces += len(batch[-1][0])
            self._free_runs += not batch
            return batch

    def _run(self, batch: list[Pending]) -> None:
        outcome: list[Probabilities] | Exception
        try:
            crops = np.concatenate([each for each, _ in batch])
            if len(crops):
                self._observe(len(crops))
            outcome = np.split(self._classify(crops), np.cumsum([len(each) for each, _ in batch])[:-1])
        except Exception as error:  # noqa: BLE001 - every request of the batch must get the error
            outcome = error
        # One wake-up of the event loop for the whole batch.
        batch[0][1].get_loop().call_soon_threadsafe(_deliver, batch, outcome)


def _deliver(batch: list[Pending], outcome: list[Probabilities] | Exception) -> None:
    for index, (_, result) in enumerate(batch):
        if result.done():  # its time ran out, or its client closed the connection
            continue
        if isinstance(outcome, Exception):
            result.set_exception(outcome)
        else:
            result.set_result(outcome[index])


@dataclass(frozen=True)
class PredictQuery:
    """The parameters of a request, checked against the model.

    Attributes:
        reader: detects, crops, and merges probabilities as the request asks for.
        crops: each image is a face crop.
        max_faces: how many of the largest faces are classified; None means all.
        draw: keep the image, to draw into it.
    """

    reader: FaceReader
    crops: bool = False
    max_faces: int | None = None
    draw: bool = False


@dataclass(frozen=True)
class PredictedImage:
    """The faces of one image, and a prediction for each."""

    detected: DetectedFaces
    predictions: list[Prediction]


class Admission:
    """Admits requests as long as those before them will be done soon, by the measured time of an image.

    Args:
        limits: of requests and waiting time.
        threads: that work on images.
    """

    def __init__(self, limits: Limits, threads: int) -> None:
        self._limits, self._threads = limits, threads
        self._seconds: dict[bool, float] = {}
        self._images: Counter[bool] = Counter()
        self.requests: int = 0

    @property
    def wait_seconds(self) -> float:
        """How long the images under way will take; 0 until one was measured."""
        return sum(count * self._seconds.get(crops, 0.0) for crops, count in self._images.items()) / self._threads

    @contextmanager
    def slot(self, crops: bool) -> Iterator[Callable[[int], None]]:
        """Count a request; it is called with the number of its images once that is known.

        Raises:
            ApiError: too many requests, or too long a wait (``busy``).
        """
        wait = self.wait_seconds
        if self.requests >= self._limits.max_requests or (self.requests and wait > self._limits.wait_seconds):
            raise ApiError(
                f"{self.requests} requests are under way and take {wait:.1f} s more. Try again then.",
                code="busy",
                retry_seconds=max(math.ceil(wait), 1),
            )
        images = 1

        def count(number: int) -> None:
            nonlocal images
            self._images[crops] += number - images
            images = number

        self.requests += 1
        self._images[crops] += 1
        try:
            yield count
        finally:
            self.requests -= 1
            self._images[crops] -= images

    def measured(self, crops: bool, seconds: float) -> None:
        """Note how long a thread worked on an image."""
        before = self._seconds.get(crops, seconds)
        self._seconds[crops] = before + 0.1 * (seconds - before)


class PredictionService:
    """Predicts the images of all requests.

    Args:
        classifier: the model.
        detector: detects faces.
        limits: of the work on a request.
        threads: images that are decoded and searched for faces at a time.
        metrics: counts faces, batches and requests.
    """

    def __init__(
        self,
        classifier: OnnxClassifier,
        detector: Detector,
        limits: Limits,
        threads: int,
        metrics: ServiceMetrics,
    ) -> None:
        self._classifier, self._detector = classifier, detector
        self._limits, self._metrics = limits, metrics
        # One more than may be working: while all others run the network, it decodes the images of their next run.
        self.pool: ThreadPoolExecutor = ThreadPoolExecutor(threads + 1, thread_name_prefix="images")
        self._admission = Admission(limits, threads + 1)
        # One for each output: requests for different ones do not share a run.
        self._batchers = {
            output.name: MicroBatcher(
                classifier.with_output(output.name).probabilities, threads, metrics.batch_faces.observe
            )
            for output in classifier.manifest.outputs_to_choose
        }

    def stop(self) -> None:
        """Finish the images that are being processed, and begin no more."""
        self.pool.shutdown(cancel_futures=True)

    def query(self, parameters: PredictParameters) -> PredictQuery:
        """Check the parameters of a request. Raises :class:`ApiError`."""
        for name in ("min_score", "min_size", "max_faces"):
            if parameters.crops and getattr(parameters, name) is not None:
                raise ApiError(f"'{name}' limits detected faces; leave it out with crops=true.", code="bad-parameter")
        if parameters.crops and parameters.draw:
            raise ApiError("'draw' needs a photo; leave it out with crops=true.", code="bad-parameter")
        try:
            reader = FaceReader(
                self._classifier.with_output(parameters.output),
                limited(self._detector, parameters.min_score, parameters.min_size),
                classes=parameters.classes,
                threshold=parameters.threshold,
            )
        except (DataError, ModelError) as error:
            raise ApiError(str(error), code="bad-parameter") from None
        return PredictQuery(reader, parameters.crops, parameters.max_faces, parameters.draw)

    @contextmanager
    def slot(self, query: PredictQuery) -> Iterator[Callable[[int], None]]:
        """As :meth:`Admission.slot`, and shown by the metrics."""
        with self._admission.slot(query.crops) as count:
            self._metrics.under_way.set(self._admission.requests)
            yield count
        self._metrics.under_way.set(self._admission.requests)

    def tracker(self, parameters: PredictParameters) -> Tracker:
        """A tracker for one stream. Raises :class:`ApiError`."""
        query = self.query(parameters)
        reader = query.reader
        detector = limited(reader.detector, max_faces=parameters.max_faces or self._limits.max_faces)
        return Tracker(reader.classifier, detector=detector, classes=parameters.classes, threshold=parameters.threshold)

    async def draw(self, image: PredictedImage) -> bytes:
        """The photo with boxes and answers, as a JPEG."""

        def drawn() -> bytes:
            assert image.detected.rgb is not None
            photo, stream = Image.fromarray(image.detected.rgb), io.BytesIO()
            draw_predictions(photo, image.predictions)
            photo.save(stream, "JPEG", quality=90)
            return stream.getvalue()

        return await asyncio.get_running_loop().run_in_executor(self.pool, drawn)

    async def predict(self, files: list[bytes], query: PredictQuery) -> list[PredictedImage | ApiError]:
        """Predict the images of one request, a few at a time, so that other requests get their turn.

        Args:
            files: image files.
            query: of :meth:`query`.

        Returns:
            For each file in its place its predictions, or why it was refused: it cannot be read, is over a limit, or
            was not done in time.
        """
        deadline = asyncio.get_running_loop().time() + self._limits.work_seconds
        turns = asyncio.Semaphore(self._limits.images_at_once)
        return await asyncio.gather(
            *(self._predict_image(file, query, number, turns, deadline) for number, file in enumerate(files, start=1))
        )

    async def _predict_image(
        self, file: bytes, query: PredictQuery, number: int, turns: asyncio.Semaphore, deadline: float
    ) -> PredictedImage | ApiError:
        task = _ImageTask(file, query, number, asyncio.get_running_loop().create_future())
        work: Future[None] | None = None
        try:
            async with asyncio.timeout_at(deadline), turns:
                work = self.pool.submit(self._detect, task)
                given = await task.result
        except TimeoutError:
            if work is not None and work.cancel():
                return ApiError("The service did not get to this image in time. Try again.", code="busy")
            return ApiError(
                f"The image, or those before it, took over {self._limits.work_seconds:g} s. Shrink or send fewer.",
                code="too-much-work",
            )
        except ApiError as error:
            return error
        except Exception:  # noqa: BLE001 - it belongs to this image, not to the others
            _LOG.exception("image %d of a request failed", number)
            return internal_error()
        probabilities = given if query.crops else mean_of_mirrored(given)
        self._metrics.faces.inc(len(probabilities))
        detected = task.detected
        assert detected is not None  # it is set before the result is
        merged = query.reader.merge(probabilities)
        source = f"image {number}"
        return PredictedImage(detected, query.reader.predictions(merged, detected.crops, detected.faces, source=source))

    def _detect(self, task: _ImageTask) -> None:
        began = time.perf_counter()
        try:
            query = task.query
            task.detected = detect_faces(
                task.file,
                query.reader,
                self._limits,
                crops=query.crops,
                max_faces=query.max_faces,
                look=task.number <= MAX_SEARCHED,
                keep=query.draw,
            )
            task.file = b""
            crops = task.detected.crops
            batcher = self._batchers[query.reader.classifier.output.name]
            batcher.put(crops if query.crops else with_mirrored(crops), task.result)
        except Exception as error:  # noqa: BLE001 - it belongs to the request, not to this thread
            task.result.get_loop().call_soon_threadsafe(task.fail, error)
        else:
            self._admission.measured(query.crops, time.perf_counter() - began)


@dataclass
class _ImageTask:
    """One image on its way through the threads."""

    file: bytes
    query: PredictQuery
    number: int
    result: asyncio.Future[Probabilities]
    detected: DetectedFaces | None = None

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)
