"""The service's work: pictures in, readings out, off the event loop and within its limits."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mien.errors import DataError
from mien.inference.classifier import Classifier
from mien.inference.readings import Reading
from mien.labels import LabelScheme
from mien.serve.batching import MicroBatcher, Shares, Waiting
from mien.serve.limits import Limits
from mien.serve.looking import Seen, count_pixels, look
from mien.serve.metrics import Metrics
from mien.serve.refusals import RefusedError
from mien.serve.schemas import ModelName, Wishes

if TYPE_CHECKING:
    from mien.faces.face import Detector

_LOG = logging.getLogger("uvicorn.error")

TOGETHER = 2
"""Pictures of one request that are decoded and searched at a time; the others of it wait outside of the threads."""


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
        model: what answers call it.
        detector: finds faces.
        limits: what is refused.
        threads: pictures decoded and searched at a time.
        metrics: are told of faces and batches.
    """

    def __init__(
        self,
        classifier: Classifier,
        model: ModelName,
        detector: Detector,
        limits: Limits,
        threads: int,
        metrics: Metrics,
    ) -> None:
        self._classifier, self._model, self._detector = classifier, model, detector
        self._limits, self._metrics = limits, metrics
        # One more than may be working: while as many run the network, one decodes what they will take next.
        self._pool = ThreadPoolExecutor(threads + 1, thread_name_prefix="pictures")
        self._batcher = MicroBatcher(classifier.probabilities, threads, metrics.batch_faces.observe)
        self._under_way = 0
        self._stopped = False

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

    def check_room(self) -> None:
        """Refuse a request early, before its body is read. Raises :class:`RefusedError`."""
        if self._under_way >= self._limits.max_requests:
            raise RefusedError(
                "busy",
                f"{self._limits.max_requests} requests are under way, the most at a time. Try again in a second.",
            )

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Room for one request whose pictures are here. Raises :class:`RefusedError` where there is none."""
        self.check_room()
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
        job = _Job(data, plan, asyncio.get_running_loop().create_future())
        work = self._pool.submit(self._work, job)
        try:
            async with asyncio.timeout_at(until):
                shares = await job.answer
        except TimeoutError:
            if work.cancel() or job.waited_longer_than_worked():
                raise RefusedError("busy", "The service did not get to this picture in time. Try again.") from None
            raise RefusedError(
                "too_much_work", f"The picture was not read within {self._limits.work_seconds:g} s. Shrink it."
            ) from None
        self._metrics.faces.inc(len(shares))
        assert job.seen is not None  # it is set before the answer is
        return self._answer(plan, job.seen, shares, f"image {number}")

    async def read_all(self, files: list[bytes], plan: Plan, until: float) -> list[dict[str, Any]]:
        """Read several pictures of one request, a few at a time, so that others' get their turn between them.

        Args:
            files: image files.
            plan: of :meth:`plan`.
            until: the loop's time at which what is not read is given up.

        Returns:
            For each in its place what :meth:`read` returns, or why it was refused.

        Raises:
            RefusedError: too many pixels in all.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout_at(until):
                pixels = await loop.run_in_executor(self._pool, _count_all, files, self._limits)
        except TimeoutError:
            raise RefusedError("busy", "The service did not get to these pictures in time. Try again.") from None
        if pixels > self._limits.max_request_pixels:
            raise RefusedError(
                "too_many_pixels",
                f"The pictures have {pixels:,} pixels in all; at most {self._limits.max_request_pixels:,} are taken in "
                "one request. Send fewer or smaller ones.",
            )
        turns = asyncio.Semaphore(TOGETHER)

        async def result(file: bytes, number: int) -> dict[str, Any]:
            try:
                async with asyncio.timeout_at(until):
                    await turns.acquire()
            except TimeoutError:
                return RefusedError(
                    "too_much_work",
                    f"The pictures before this one took all of the {self._limits.work_seconds:g} s that a request has. "
                    "Send fewer.",
                ).to_dict()
            try:
                return await self.read(file, plan, until, number)
            except RefusedError as error:
                return error.to_dict()
            except Exception:  # noqa: BLE001 - it belongs to this picture, not to the others
                self._metrics.refused.labels("internal").inc()
                _LOG.exception("image %d of a request could not be read", number)
                return RefusedError("internal", "The service failed; its log says where.").to_dict()
            finally:
                turns.release()

        return await asyncio.gather(*(result(file, number) for number, file in enumerate(files, start=1)))

    def read_here(self, data: bytes, plan: Plan) -> dict[str, Any]:
        """Read one picture in this thread. As :meth:`read`, without its limit of time."""
        seen = self._look(data, plan)
        return self._answer(plan, seen, self._classifier.probabilities(seen.squares), "image 1")

    def about(self, plan: Plan, began: float) -> dict[str, Any]:
        """What every answer says beside the readings: by whom, and how long after ``began`` (time.perf_counter)."""
        milliseconds = round(1000 * (time.perf_counter() - began), 3)
        detector = {} if plan.wishes.crops else {"detector": self._detector.name}
        return {"model": self._model.model_dump(), **detector, "milliseconds": milliseconds}

    def _work(self, job: _Job) -> None:
        try:
            job.begun = time.monotonic()
            job.seen = self._look(job.data, job.plan)
            job.data = b""
            self._batcher.put(Waiting(job.seen.squares, job.answer))
        except Exception as error:  # noqa: BLE001 - it belongs to the request, not to this thread
            job.answer.get_loop().call_soon_threadsafe(job.fail, error)

    def _look(self, data: bytes, plan: Plan) -> Seen:
        detector = None if plan.wishes.crops else self._detector
        return look(data, detector, self._classifier.manifest.input.size_px, self._limits, plan.wishes.max_faces)

    def _answer(self, plan: Plan, seen: Seen, shares: Shares, source: str) -> dict[str, Any]:
        if plan.scheme is not None:
            shares = plan.scheme.merge_probabilities(shares, self._classifier.classes)
        readings = [
            Reading(source, plan.classes, scores, plan.wishes.threshold, box)
            for scores, box in zip(shares, seen.boxes, strict=True)
        ]
        return {
            "picture": {"width": seen.width, "height": seen.height},
            "faces": [reading.to_dict() for reading in readings],
            "faces_found": seen.found,
        }


def _count_all(files: list[bytes], limits: Limits) -> int:
    """Pixels of those files that will be decoded."""
    pixels = 0
    for file in files:
        try:
            pixels += count_pixels(file, limits)
        except RefusedError:
            continue
    return pixels


@dataclass
class _Job:
    """One picture on its way."""

    data: bytes
    plan: Plan
    answer: asyncio.Future[Shares]
    seen: Seen | None = None
    made: float = field(default_factory=time.monotonic)
    begun: float = math.inf

    def waited_longer_than_worked(self) -> bool:
        """Whether it was the others' pictures that took its time."""
        return self.begun - self.made > time.monotonic() - self.begun

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)
