"""Bytes of bodies that are held, by all requests together: those that come in, and those that are being read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mien.serve.limits import Limits
from mien.serve.metrics import Metrics
from mien.serve.refusals import RefusedError


class Upload:
    """The body of one request.

    Attributes:
        received: bytes so far.
        refused: whether it has been cut for want of room.
    """

    def __init__(self, uploads: Uploads) -> None:
        self._uploads = uploads
        self.received = 0
        self.refused = False

    def take(self, size: int) -> None:
        """Count so many bytes more. Whoever holds most is cut where they are too many."""
        self._uploads.take(self, size)

    @contextmanager
    def coming_in(self, cut: Callable[[], None]) -> Iterator[None]:
        """While the body comes in, ``cut`` may be called to end that."""
        self._uploads.coming_in[self] = cut
        try:
            yield
        finally:
            self._uploads.coming_in.pop(self, None)


class Uploads:
    """Counts what is held. Over ``max_requests * max_bytes``, the largest of the bodies that come in makes room.

    So a small picture is taken however many large ones are kept waiting.

    Args:
        limits: of bytes and requests.
        metrics: are told of the bytes.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self._room = limits.max_requests * limits.max_bytes
        self._metrics = metrics
        self._held = 0
        self.coming_in: dict[Upload, Callable[[], None]] = {}

    @contextmanager
    def begin(self) -> Iterator[Upload]:
        """Count an upload until its request is answered."""
        upload = Upload(self)
        try:
            yield upload
        finally:
            self._forget(upload)

    def take(self, upload: Upload, size: int) -> None:
        """Count so many bytes more of an upload."""
        upload.received += size
        self._hold(size)
        while self._held > self._room and self.coming_in:
            largest = max(self.coming_in, key=lambda each: each.received)
            largest.refused = True
            self.coming_in.pop(largest)()
            self._forget(largest)

    def _forget(self, upload: Upload) -> None:
        self._hold(-upload.received)
        upload.received = 0

    def _hold(self, size: int) -> None:
        self._held += size
        self._metrics.held_bytes.set(self._held)


def no_room() -> RefusedError:
    """What is told to whom is cut."""
    return RefusedError("busy", "Too many pictures are being sent at a time. Try again in a second.")
