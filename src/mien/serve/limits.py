"""What one client may ask of the service, so that no client takes it from the others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of the service. Whatever is over one of them is refused with a 4xx that names it.

    At most ``max_requests * max_bytes`` of pictures are held as they came (uploads.py), and one more decoded than there
    are threads.
    """

    max_bytes: int = 20_000_000
    """Of one request's body, however many files it holds."""

    max_pixels: int = 25_000_000
    """Of one picture, before it is decoded."""

    max_request_pixels: int = 250_000_000
    """Of all pictures of a request together, before the first is decoded."""

    max_faces: int = 100
    """In one picture."""

    max_files: int = 64
    """In one request to /v1/batch."""

    max_requests: int = 64
    """Whose pictures are read at a time; further ones are told to come again. Those still coming in are not counted."""

    body_seconds: float = 30.0
    """Until a request's body must have come in."""

    part_bytes: int = 16_384
    """Of a body that must come in every :attr:`part_seconds`, so that none is held for one that does not."""

    part_seconds: float = 5.0

    work_seconds: float = 30.0
    """From then until the answer."""
