"""YuNet through OpenCV: a small network that finds faces from the side, from below and in a crowd as well.

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

LEAST_SCORE = 0.9
OVERLAP = 0.3
AT_MOST = 5000
"""The three defaults of OpenCV's FaceDetectorYN."""

SEARCHED_PX = 640
"""A larger picture is searched at this squared many pixels: YuNet is trained on faces of 10 to 300 pixels."""

LEAST_PX = 10
"""A face is no smaller, so neither is a side of a picture that has one."""

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")


class YuNetDetector:
    """Finds faces with a YuNet file. The score is the network's own, 0..1, not calibrated.

    Raises:
        ModelError: the file is missing, may not be read, or is no YuNet.
    """

    name = "YuNet"
    # Not measured: the file was not at hand. `MIEN_DETECTOR=PATH python benchmarks/margin.py --data PATH` says what it
    # should be. Until then a square of the box's longer side, its height.
    margin = Margin(size=1.0, down=0.0)

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._content = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        except OSError as error:
            raise ModelError(
                f"The face detector {path} cannot be read: {error.strerror or error}. Correct MIEN_DETECTOR, or run: "
                f"mien detectors install yunet"
            ) from None
        # OpenCV's detector keeps the size of the picture that it works on: one a thread.
        self._local = threading.local()
        # A file that only looks like a YuNet fails at the first picture; this one is its first.
        self.detect(np.zeros((64, 64, 3), dtype=np.uint8))

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Faces in a picture uint8 (H, W, 3), with five landmarks each, the largest first."""
        import cv2

        height, width = rgb.shape[:2]
        scale = min(SEARCHED_PX / (height * width) ** 0.5, 1.0)
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        if min(size) < LEAST_PX:
            # OpenCV pads both sides to 32: of a picture as thin as that to many times what is searched.
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
                f"Fetch the official file with: mien detectors install yunet"
            ) from None
        across, down = width / size[0], height / size[1]
        return largest_first([_face(row, across, down) for row in found] if found is not None else [])

    def _network(self) -> Any:
        if not hasattr(self._local, "network"):
            import cv2

            self._local.network = cv2.FaceDetectorYN.create(
                "onnx", self._content, np.empty(0, dtype=np.uint8), (64, 64), LEAST_SCORE, OVERLAP, AT_MOST
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
