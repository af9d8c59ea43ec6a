"""From a box to the face that a model reads: a square with a margin, border pixels repeated outside the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.faces.face import Box, Margin
from mien.preprocess import grey_square


def crop(rgb: npt.NDArray[np.uint8], box: Box, margin: Margin) -> npt.NDArray[np.uint8]:
    """Cut a square around a box. uint8 (H, W, 3) -> uint8 (S, S, 3), S = ``margin.size`` longer sides of the box.

    Beyond the picture its border pixels repeat.
    """
    longer = max(box.width, box.height)
    side = max(round(margin.size * longer), 1)
    top = round(box.top + box.height / 2 + margin.down * longer - side / 2)
    left = round(box.left + box.width / 2 - side / 2)
    height, width = rgb.shape[:2]
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    return rgb[rows[:, np.newaxis], columns]


def face_squares(
    rgb: npt.NDArray[np.uint8], boxes: Sequence[Box], margin: Margin, size_px: int
) -> npt.NDArray[np.uint8]:
    """The faces in some boxes as a model reads them: uint8 (H, W, 3) -> uint8 (N, size_px, size_px), grey."""
    squares = [grey_square(crop(rgb, box, margin), size_px) for box in boxes]
    return np.stack(squares) if squares else np.empty((0, size_px, size_px), dtype=np.uint8)
