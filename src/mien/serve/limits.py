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
    """Time for the whole body to arrive [body-too-slow]."""

    # One image, before it is decoded (detect.py).
    max_pixels: int = 25_000_000
    """Pixels of one image [image-pixels] ``--max-pixels``."""
    max_jpeg_scans: int = 100
    """Scans of one JPEG [too-much-work]. A progressive JPEG has about ten; each is a pass over all pixels."""

    # The work on a request (detect.py, prediction_service.py).
    max_faces: int = 100
    """Faces in one image [too-many-faces]."""
    max_requests: int = 64
    """Requests for predictions at a time, from their headers to their answers [busy] ``--max-requests``."""
    wait_seconds: float = 5.0
    """Time that the requests before a new one will take, as measured; over it, a new one is refused [busy]."""
    work_seconds: float = 30.0
    """Time from the complete body to the answer [too-much-work, or busy if it was not begun]."""
    images_at_once: int = 2
    """Images of one batch that are processed at a time, so that other requests get their turn. The rest wait."""

    # Streams (stream.py).
    max_streams: int = 4
    """Streams at a time, and clients that have yet to send the token [busy]."""
    stream_frames_a_second: int = 60
    """Frames of a stream in a second, over two seconds [too-many-frames]. Slower work skips frames."""
    stream_idle_seconds: float = 30.0
    """Time between two frames, or until an answer is taken [stream-idle]."""

    # Connections (server.py): uvicorn's own limits.
    max_connections: int = 512
    """Connections at a time; a request on a further one gets uvicorn's plain 503."""
    head_bytes: int = 16_384
    """Bytes of the head of a request; a longer one gets uvicorn's plain 400."""
    idle_seconds: int = 5
    """Time after which a connection without a request, or without the first message of a stream, is closed."""
