"""The official YuNet file: fetched when somebody asks for it, checked, and kept in the user's cache folder."""

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
"""The hash and the size are those that OpenCV's model zoo states for the file (it is under the MIT licence)."""

# A commit and not its main branch: other versions of the file come and go there.
ADDRESS = (
    "https://github.com/opencv/opencv_zoo/raw/82b38c8f98e7b52aa171400f3e4c722352d0669f"
    f"/models/face_detection_yunet/{NAME}"
)

_CHUNK_BYTES = 16_384
_PATIENCE_SECONDS = 30.0


def yunet_path() -> Path:
    """Where the installed file is, or would be: ``$MIEN_CACHE`` or the system's cache folder, then ``detectors``."""
    return Path(os.environ.get("MIEN_CACHE") or user_cache_dir("mien", appauthor=False)) / "detectors" / NAME


def cached_yunet() -> Path | None:
    """The installed file, checked; None where there is none.

    Raises:
        ModelError: it is there but may not be read, or is not the official one.
    """
    path = yunet_path()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"The face detector {path} cannot be read: {error.strerror or error}.") from None
    if not _is_official(content):
        raise ModelError(f"{path} is damaged. Fetch it again with: mien detectors install yunet")
    return path


def install_yunet() -> Path:
    """Fetch the official file into the cache, whole or not at all, unless it is there. Returns its path.

    Raises:
        DataError: no connection, a refusal, or something else than the official file came; nothing is kept then.
        RunError: the cache folder cannot be written.
    """
    # Whoever reads a face comes by this file too, and should not wait for these.
    import http.client
    import urllib.error

    path = yunet_path()
    if path.is_file() and _is_official(path.read_bytes()):
        return path
    try:
        content = b"".join(track(_chunks(), -(-SIZE_BYTES // _CHUNK_BYTES), f"fetching {NAME}", "chunks"))
    except urllib.error.HTTPError as error:
        error.close()
        raise DataError(_failed(f"the server answered {error.code}")) from None
    except (OSError, http.client.HTTPException) as error:
        # URLError and timeouts are OSErrors; the reason inside says it in fewer words.
        raise DataError(_failed(str(getattr(error, "reason", error)) or type(error).__name__)) from None
    if not _is_official(content):
        found = f"{len(content):,} bytes of SHA-256 {hashlib.sha256(content).hexdigest()}"
        raise DataError(_failed(f"what came is not the official file: {found}, expected {SIZE_BYTES:,} of {SHA256}"))
    write_bytes(path, content)
    return path


def _chunks() -> Iterator[bytes]:
    """What the address gives, at most a byte more than the file has: enough to see that it is another."""
    import urllib.request

    left = SIZE_BYTES + 1
    with urllib.request.urlopen(ADDRESS, timeout=_PATIENCE_SECONDS) as answer:
        while left and (chunk := answer.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk


def _is_official(content: bytes) -> bool:
    return hashlib.sha256(content).hexdigest() == SHA256


def _failed(reason: str) -> str:
    return (
        f"{ADDRESS} could not be fetched: {reason}. Nothing was kept. By hand: open the address in a browser, "
        f"and put the file at {yunet_path()} or its path into MIEN_DETECTOR."
    )
