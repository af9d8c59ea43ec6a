"""YuNet through OpenCV: a small network that detects faces from the side, from below and in a crowd as well.

Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector". Its file does not come with
mien: :func:`install_yunet` downloads the official one, on request only.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, ModelError
from mien.base.files import cache_folder, write_bytes
from mien.base.progress import track
from mien.faces.face import Box, Face, Margin, largest_first

MIN_SCORE = 0.6
"""Measured (docs/lab-notebook.md): OpenCV's default, 0.9, misses many faces; 0.6 adds few false ones."""

NMS_IOU = 0.3
TOP_K = 5000
"""The defaults of OpenCV's FaceDetectorYN."""

SEARCHED_PX = 640
"""A larger image is shrunk to this squared many pixels: YuNet is trained on faces of 10 to 300 pixels."""

MIN_FACE_PX = 10
"""The smallest face, and so the smallest side of an image that has one."""

LANDMARKS: tuple[str, ...] = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")


class YuNetDetector:
    """Detects faces with a YuNet file. The score is the network's own, 0..1, not calibrated.

    Raises:
        ModelError: the file cannot be read (``detector-unreadable``), or is no YuNet (``detector-format``).
    """

    name: str = "YuNet"
    # The own margin of FER2013 images around the boxes found in them, median of 492, with the 2026may file: 1.226 and
    # -0.012. From 1.15 to 1.3 `fast` reads them equally well, and 1.2 points better than at 1.0 (docs/lab-notebook.md).
    margin: Margin = Margin(size=1.2, down=0.0)
    score_range: tuple[float, float] = (MIN_SCORE, 1.0)

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        except OSError as error:
            raise ModelError(
                f"The face detector {path} cannot be read: {error.strerror or error}. Correct the path, or run: "
                f"mien detectors install yunet",
                code="detector-unreadable",
            ) from None
        # OpenCV's detector holds the size of the image that it works on: one for each thread.
        self._local = threading.local()
        # A file that only looks like a YuNet fails at the first image: try one now.
        self.detect(np.zeros((64, 64, 3), dtype=np.uint8))

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Faces in an image uint8 (H, W, 3), with five landmarks each, the largest first."""
        import cv2

        height, width = rgb.shape[:2]
        scale = min(SEARCHED_PX / (height * width) ** 0.5, 1.0)
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        if min(size) < MIN_FACE_PX:
            # OpenCV pads both sides to 32 px, which would multiply the pixels of an image this thin.
            return []
        bgr = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
        if scale < 1:
            bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
        try:
            network = self._network()
            network.setInputSize(size)
            _, found = network.detect(bgr)
        except cv2.error as error:
            reason = " ".join(str(error.err or error).split())[:120]
            raise ModelError(
                f"{self._path} is no YuNet face detector that OpenCV can run ({reason}). "
                f"Download the official file with: mien detectors install yunet",
                code="detector-format",
            ) from None
        across, down = width / size[0], height / size[1]
        return largest_first([_face(row, across, down) for row in found] if found is not None else [])

    def _network(self) -> Any:
        if not hasattr(self._local, "network"):
            import cv2

            # It prints what it dislikes about a file, beside the error that says so.
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
            self._local.network = cv2.FaceDetectorYN.create(
                "onnx", self._content, np.empty(0, dtype=np.uint8), (64, 64), MIN_SCORE, NMS_IOU, TOP_K
            )
        return self._local.network


def _face(row: npt.NDArray[np.float32], across: float, down: float) -> Face:
    """One row of FaceDetectorYN: left, top, width, height, five landmarks' x and y, score."""
    left, top, width, height = (float(value) for value in row[:4] * (across, down, across, down))
    points = (row[4:14].reshape(5, 2) * (across, down)).tolist()
    return Face(
        Box(round(left), round(top), max(round(width), 1), max(round(height), 1)),
        score=float(row[14]),
        landmarks={name: (x, y) for name, (x, y) in zip(LANDMARKS, points, strict=True)},
    )


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
    return cache_folder("detectors") / NAME


def cached_yunet() -> Path | None:
    """The installed file, checked; None if it is not installed.

    Raises:
        ModelError: it cannot be read (``detector-unreadable``), or is not the official file (``detector-damaged``).
    """
    path = yunet_path()
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
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
