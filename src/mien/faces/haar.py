"""The detector that is always there: the Haar cascade inside opencv-python-headless (Viola & Jones 2001).

It finds upright faces that look at the camera, and few others.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.faces.face import Box, Face, Margin, largest_first

CASCADE = "haarcascade_frontalface_alt2.xml"
"""Of the four frontal cascades the one with the most drawn faces found and the fewest false ones."""

SCALE_STEP = 1.1
NEIGHBOURS = 5
"""More windows than this must agree. In 180 pictures without a face 3 gives three false ones, 4 one, 5 none; 8 loses
more of FER2013's faces. These figures, and those below, are `benchmarks/haar.py`'s."""

WINDOW_PX = 24
"""The smallest window looked at, in pixels of the picture as it is searched: 20 is what the cascade was trained on."""

SEARCHED_PX = (320, 640)
"""A picture is searched at no fewer and no more pixels than these squared: a smaller one is enlarged, a larger one
shrunk. Enlarged, scikit-image's astronaut is found at 64 px, where her face is 13 px wide; as it is, from 192 px on.
"""

BORDER = 0.2
"""Share of the shorter side by which border pixels are repeated around the picture, so that a face that fills it fits
into a window: of the first 300 validation faces of FER2013, 62 % are found without, 80 % with."""


class HaarDetector:
    """Finds frontal faces. The score is the number of overlapping windows that agreed: 6 or more, no probability."""

    name = "Haar cascade"
    # MIEN_DETECTOR=haar python benchmarks/margin.py --data fer2013_dev.parquet: of 48 the best on validation. The
    # pictures' own margin around the boxes found in them, which no model has a say in, is 1.051 and +0.007.
    margin = Margin(size=1.05, down=0.05)

    def __init__(self) -> None:
        # OpenCV's cascade keeps the picture that it works on: one a thread.
        self._local = threading.local()

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Faces in a picture uint8 (H, W, 3), the largest first; see :data:`SEARCHED_PX` for how small they may be."""
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
