"""The service's work: pictures in, readings out, off the event loop and within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import DataError
from mien.inference.classifier import Classifier
from mien.inference.readings import Reading
from mien.labels import LabelScheme
from mien.serve.batching import MicroBatcher, Shares, Waiting
from mien.serve.limits import Limits
from mien.serve.looking import Seen, look
from mien.serve.metrics import Metrics
from mien.serve.refusals import RefusedError
from mien.serve.schemas import Wishes

if TYPE_CHECKING:
    from mien.faces.face import Detector


@dataclass(frozen=True)
class Plan:
    """What a request asks for, checked."""

    wishes: Wishes
    scheme: LabelScheme | None
    classes: tuple[str, ...]


class Reader:
    """Reads the pictures of all requests: decoding and detection in a pool of threads, the network in batches.

    Args:
        classifier: the model.
        detector: finds faces.
        limits: what is refused.
        threads: pictures decoded and searched at a time.
        metrics: are told of faces and batches.
    """

    def __init__(
        self, classifier: Classifier, detector: Detector, limits: Limits, threads: int, metrics: Metrics
    ) -> None:
        self._classifier, self._detector, self._limits, self._metrics = classifier, detector, limits, metrics
        # One more than may be working: while as many run the network, one decodes what they will take next.
        self._pool = ThreadPoolExecutor(threads + 1, thread_name_prefix="pictures")
        self._batcher = MicroBatcher(classifier.probabilities, threads, metrics.batch_faces.observe)
        self._under_way = 0
        self._stopped = False
        # The first run of a network is the slowest.
        size_px = classifier.manifest.input.size_px
        classifier.probabilities(np.zeros((1, size_px, size_px), dtype=np.uint8))

    def stop(self) -> None:
        """Finish what is under way, and take no more."""
        self._stopped = True
        self._pool.shutdown(cancel_futures=True)

    @property
    def is_ready(self) -> bool:
        """Whether a picture would be read now."""
        return not self._stopped

    def plan(self, wishes: Wishes) -> Plan:
        """Check what a request asks for. Raises :class:`RefusedError`."""
        try:
            return Plan(wishes, *self._classifier.merging(wishes.classes, wishes.threshold))
        except DataError as error:
            raise RefusedError("bad_parameter", str(error)) from None

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Room for one request. Raises :class:`RefusedError` where there is none."""
        if self._under_way >= self._limits.max_requests:
            raise RefusedError(
                "busy", f"{self._limits.max_requests} requests are under way, the most at a time. Try again in a second."
            )
        self._under_way += 1
        self._metrics.under_way.set(self._under_way)
        try:
            yield
        finally:
            self._under_way -= 1
            self._metrics.under_way.set(self._under_way)

    async def read(self, data: bytes, plan: Plan, until: float, number: int = 1) -> dict[str, Any]:
        """Read one picture.

        Args:
            data: an image file.
            plan: of :meth:`plan`.
            until: the loop's time at which it is given up.
            number: of the picture within its request, from 1.

        Returns:
            A :class:`mien.serve.schemas.PictureAnswer` as a dict.

        Raises:
            RefusedError: a picture that cannot be read, or not in time.
        """
        job = _Job(data, plan, asyncio.get_running_loop())
        work = self._pool.submit(self._look, job)
        try:
            async with asyncio.timeout_at(until):
                shares = await job.answer
        except TimeoutError:
            if work.cancel():
                raise RefusedError("busy", "The service did not get to this picture in time. Try again.") from None
            raise RefusedError(
                "too_much_work", f"The picture was not read within {self._limits.work_seconds:g} s. Shrink it."
            ) from None
        self._metrics.faces.inc(len(shares))
        return self._answer(job, shares, f"image {number}")

    def _look(self, job: _Job) -> None:
        wishes = job.plan.wishes
        try:
            detector = None if wishes.crops else self._detector
            size_px = self._classifier.manifest.input.size_px
            job.seen = look(job.data, detector, size_px, self._limits, wishes.max_faces)
            job.data = b""
            self._batcher.put(Waiting(job.seen.squares, job.answer))
        except Exception as error:  # noqa: BLE001 - it belongs to the request, not to this thread
            job.loop.call_soon_threadsafe(job.fail, error)

    def _answer(self, job: _Job, shares: Shares, source: str) -> dict[str, Any]:
        assert job.seen is not None
        if job.plan.scheme is not None:
            shares = job.plan.scheme.merge_probabilities(shares, self._classifier.classes)
        readings = [
            Reading(source, job.plan.classes, scores, job.plan.wishes.threshold, box)
            for scores, box in zip(shares, job.seen.boxes, strict=True)
        ]
        return {
            "picture": {"width": job.seen.width, "height": job.seen.height},
            "faces": [reading.to_dict() for reading in readings],
            "faces_found": job.seen.found,
        }


class _Job:
    """One picture on its way."""

    def __init__(self, data: bytes, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        self.data, self.plan, self.loop = data, plan, loop
        self.seen: Seen | None = None
        self.answer: asyncio.Future[Shares] = loop.create_future()

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
