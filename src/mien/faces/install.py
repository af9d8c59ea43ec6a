"""Download of the official YuNet file, on request only: checked, and stored in the user's cache folder."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from platformdirs import user_cache_dir

from mien.errors import DataError, ModelError
from mien.files import write_bytes
from mien.progress import track

NAME = "face_detection_yunet_2023mar.onnx"
SHA256 = "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
SIZE_BYTES = 232_589
"""Hash and size as OpenCV's model zoo states them; the file is under the MIT licence."""

# A commit, because the file changes on the main branch.
ADDRESS: str = (
    "https://github.com/opencv/opencv_zoo/raw/82b38c8f98e7b52aa171400f3e4c722352d0669f"
    f"/models/face_detection_yunet/{NAME}"
)

_CHUNK_BYTES = 16_384
_TIMEOUT_SECONDS = 30.0


def yunet_path() -> Path:
    """Path of the installed file: in ``detectors`` below ``$MIEN_CACHE`` or the system's cache folder."""
    return Path(os.environ.get("MIEN_CACHE") or user_cache_dir("mien", appauthor=False)) / "detectors" / NAME


def cached_yunet() -> Path | None:
    """The installed file, checked; None if it is not installed.

    Raises:
        ModelError: it cannot be read (``detector-unreadable``), or is not the official file (``detector-damaged``).
    """
    path = yunet_path()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(
            f"The face detector {path} cannot be read: {error.strerror or error}.", code="detector-unreadable"
        ) from None
    if not _is_official(content):
        raise ModelError(
            f"{path} is damaged. Download it again with: mien detectors install yunet", code="detector-damaged"
        )
    return path


def install_yunet() -> Path:
    """Download the official file into the cache, unless it is installed. Returns its path.

    Raises:
        DataError: no connection, an HTTP error, or another file (``detector-download``); nothing is stored then.
        RunError: the cache folder cannot be written.
    """
    # Slow to import, and every prediction imports this module.
    import http.client
    import urllib.error

    path = yunet_path()
    if path.is_file() and _is_official(path.read_bytes()):
        return path
    try:
        content = b"".join(track(_chunks(), -(-SIZE_BYTES // _CHUNK_BYTES), f"downloading {NAME}", "chunks"))
    except urllib.error.HTTPError as error:
        error.close()
        raise _failed(f"the server returned HTTP status {error.code}") from None
    except (OSError, http.client.HTTPException) as error:
        # URLError and timeouts are OSErrors; the reason inside is shorter.
        raise _failed(str(getattr(error, "reason", error)) or type(error).__name__) from None
    if not _is_official(content):
        found = f"{len(content):,} bytes of SHA-256 {hashlib.sha256(content).hexdigest()}"
        raise _failed(f"this is not the official file: {found}, expected {SIZE_BYTES:,} bytes of SHA-256 {SHA256}")
    write_bytes(path, content)
    return path


def _chunks() -> Iterator[bytes]:
    """The content at the address, at most one byte more than the official file has."""
    import urllib.request

    left = SIZE_BYTES + 1
    with urllib.request.urlopen(ADDRESS, timeout=_TIMEOUT_SECONDS) as answer:
        while left and (chunk := answer.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk


def _is_official(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256


def _failed(reason: str) -> DataError:
    return DataError(
        f"{ADDRESS} could not be downloaded: {reason}. Nothing was stored. By hand: open the address in a browser, "
        f"and save the file as {yunet_path()}, or set MIEN_DETECTOR to its path.",
        code="detector-download",
    )
