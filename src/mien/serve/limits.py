"""All limits of the service, for use in its modules."""

import math
from dataclasses import dataclass

import numpy as np

from mien.base.errors import ServeError
from mien.base.images import MAXIMUM_PIXELS


@dataclass(frozen=True)
class Limits:
    """Limits, so that one client cannot block the others.

    A request over a limit is refused with a 4xx status. Each docstring names the error code in brackets, then the
    option of ``mien serve`` if there is one. Names contain units: bytes, pixels, seconds.

    Memory: uploads take at most ``max_requests * max_bytes`` bytes. Decoded images: one more than threads.
    """

    # The body of a request (upload.py).
    max_bytes: int = 20_000_000
    """Largest number of bytes of a body, all files together [error too-many-bytes] ``--max-bytes``."""
    max_files: int = 64
    """Largest number of files in a request to /v1/batch [error too-many-files]."""
    body_seconds: float = 30.0
    """Largest time until the whole body has arrived [error body-too-slow]."""

    # One image, before it is decoded.
    max_pixels: int = 25_000_000
    """Largest number of pixels of an image [error image-pixels] ``--max-pixels``."""
    max_jpeg_scans: int = 100
    """Largest number of scans of a JPEG, each a pass over all pixels [error too-much-work]. About ten are usual."""

    # The work on a request (prediction_service.py).
    max_faces: int = 100
    """Largest number of faces in an image [error too-many-faces]."""
    max_requests: int = 64
    """Largest number of prediction requests at a time, from headers to answers [error busy] ``--max-requests``."""
    work_seconds: float = 30.0
    """Largest time from the complete body to the answer [error too-much-work, or busy before the work]."""
    images_at_once: int = 2
    """Number of images of a batch that are processed at a time, so that other requests do not wait long."""

    # Streams (stream.py).
    max_streams: int = 4
    """Largest number of streams at a time, including clients that have yet to send the token [error busy]."""
    stream_frames_a_second: int = 60
    """Largest number of frames per second of a stream, over two seconds [too-many-frames]. Slower work skips frames."""
    stream_idle_seconds: float = 30.0
    """Largest time between two frames, or until an answer is received [error stream-idle]."""

    # Connections (server.py): uvicorn's own limits.
    max_connections: int = 512
    """Largest number of connections; a request on another one gets uvicorn's plain 503."""
    head_bytes: int = 16_384
    """Largest number of bytes of headers that have not arrived completely; larger ones get uvicorn's plain 400."""
    idle_seconds: int = 5
    """Time after which a connection without a request, or without a stream's first message, is closed."""

    def __post_init__(self) -> None:
        """Raise :class:`ServeError` for a limit that is not a number above 0, whole where the default is."""
        for name, value in vars(self).items():
            is_number = isinstance(value, (type(getattr(Limits, name)), int, np.integer)) and value is not True
            most = MAXIMUM_PIXELS if name == "max_pixels" else math.inf
            if not is_number or not (0 < value <= most or (value == 0 and name == "max_streams")):
                raise ServeError(f"{name} must be above 0 and at most {most:,}; found {value!r}.", code="options")
