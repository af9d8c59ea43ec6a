"""The detector that is always available: the Haar cascade of opencv-python-headless (Viola & Jones 2001).

It detects upright frontal faces, and few others.
"""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.faces.face import Box, Face, Margin, largest_first

CASCADE = "haarcascade_frontalface_alt2.xml"
"""Of the four frontal cascades it detects the most rendered faces, with the fewest false positives."""

SCALE_STEP = 1.1
NEIGHBOURS = 5
"""More windows than this must agree. In 180 images without a face, 3 gives three false positives, 4 one and 5 none; 8
misses more of FER2013's faces."""

WINDOW_PX = 24
"""The smallest window, in pixels of the rescaled image: the cascade was trained at 20."""

SEARCHED_PX: tuple[int, int] = (320, 640)
"""An image is rescaled to between these squared many pixels. Enlarged, the face of scikit-image's astronaut is detected
in an image of 64 px, where it is 13 px wide; without rescaling, from 192 px.
"""

BORDER = 0.2
"""Padding around the image, as a fraction of its shorter side, so that a face that fills the image fits into a window.
Of the first 300 validation images of FER2013, faces are detected in 62% without it and in 80% with it."""


class HaarDetector:
    """Detects frontal faces. The score is the number of overlapping windows that agreed: 6 or more, no probability."""

    name: str = "Haar cascade"
    # The best of 48 on validation, by benchmarks/margin.py of commit bf7fc20c. The images' own margin around the boxes
    # detected in them, independent of any model, is 1.051 and +0.007.
    margin: Margin = Margin(size=1.05, down=0.05)
    score_range: tuple[float, float] = (NEIGHBOURS + 1, math.inf)

    def __init__(self) -> None:
        # OpenCV's cascade holds the image that it works on: one for each thread.
        self._local = threading.local()

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Faces in an image uint8 (H, W, 3), the largest first; :data:`SEARCHED_PX` limits how small they may be."""
        import cv2

        height, width = rgb.shape[:2]
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        pixels = float(height * width)
        scale = (min(max(pixels, SEARCHED_PX[0] ** 2), SEARCHED_PX[1] ** 2) / pixels) ** 0.5
        size = (max(round(width * scale), 1), max(round(height * scale), 1))
        if scale != 1:
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        border = round(BORDER * min(size))
        grey = cv2.copyMakeBorder(grey, border, border, border, border, cv2.BORDER_REPLICATE)
        windows, agreeing = self._cascade().detectMultiScale2(
            grey, scaleFactor=SCALE_STEP, minNeighbors=NEIGHBOURS, minSize=(WINDOW_PX, WINDOW_PX)
        )
        across, down = width / size[0], height / size[1]
        return largest_first(
            [
                Face(
                    Box(
                        left=round((left - border) * across),
                        top=round((top - border) * down),
                        width=max(round(wide * across), 1),
                        height=max(round(high * down), 1),
                    ),
                    score=float(count),
                    landmarks={},
                )
                for (left, top, wide, high), count in zip(windows, agreeing, strict=True)
            ]
        )

    def _cascade(self) -> Any:
        if not hasattr(self._local, "cascade"):
            import cv2

            self._local.cascade = cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / CASCADE))
        return self._local.cascade
