"""YuNet through OpenCV: a small network that detects faces from the side, from below and in a crowd as well.

Wu et al. 2023, "YuNet: A Tiny Millisecond-level Face Detector". Its file does not come with mien; see install.py.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import ModelError
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
                f"The face detector {path} cannot be read: {error.strerror or error}. Correct MIEN_DETECTOR, or run: "
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
