"""All limits of the service in one place. Every module of the service takes its numbers from here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits that keep one client from taking the service from the others.

    A request over a limit is refused with a 4xx answer. The error code of that answer is given in brackets, and the
    option of ``mien serve`` where there is one. Units are part of the names: bytes, pixels, seconds.

    Memory: at most ``max_requests * max_bytes`` bytes of uploads, plus one more decoded image than there are threads.
    """

    # The body of a request (upload.py).
    max_bytes: int = 20_000_000
    """Bytes of one body, all files together [too-many-bytes] ``--max-bytes``."""
    max_files: int = 64
    """Files in one request to /v1/batch [too-many-files]."""
    body_seconds: float = 30.0
    """Time for the whole body to arrive [body-too-slow] ``--body-seconds``."""
    part_bytes: int = 16_384
    """Bytes of a body that must arrive in every :attr:`part_seconds` [body-too-slow]."""
    part_seconds: float = 5.0

    # One image, before it is decoded (detect.py).
    max_pixels: int = 25_000_000
    """Pixels of one image [image-pixels] ``--max-pixels``."""
    max_request_pixels: int = 250_000_000
    """Pixels of all images of one request [image-pixels]; ``mien serve`` sets ten times ``--max-pixels``."""
    max_slow_pixels: int = 1_000_000
    """Pixels of an image that Pillow decodes in Python instead of C [too-much-work].

    This many take 0.1 s (a run-length BMP) to 1.5 s (a colour PPM as text or of an odd depth)."""
    max_jpeg_scans: int = 100
    """Scans of one JPEG [too-much-work]. A progressive JPEG has about ten; each is a pass over all pixels."""

    # The work on a request (detect.py, prediction_service.py).
    max_faces: int = 100
    """Faces in one image [too-many-faces]."""
    max_requests: int = 64
    """Requests whose images are processed at a time [busy] ``--max-requests``. Arriving bodies do not count."""
    work_seconds: float = 30.0
    """Time from the complete body to the answer [too-much-work, or busy if it was spent waiting] ``--work-seconds``."""
    images_at_once: int = 2
    """Images of one batch that are processed at a time, so that other requests get their turn. The rest wait."""

    # The end of the process (server.py).
    drain_seconds: float = 0.0
    """Time after SIGTERM in which it still serves while /readyz says no ``--drain-seconds``."""

    # Connections (connections.py). A connection over one of these is closed without an answer.
    head_seconds: float = 10.0
    """Time for the request line and headers to arrive; never more than :attr:`body_seconds`."""
    taken_bytes: int = 65_536
    """Bytes of an answer that the client must take in every :attr:`body_seconds`."""
    max_connections: int = 1024
    """Connections at a time; at most a third of the files that the process may open."""
    max_open_files: int = 4096
    """Open files that the process asks the system for, if it has fewer."""
