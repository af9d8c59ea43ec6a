"""From a box to the face that a model reads: a square with a margin, border pixels repeated outside the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.faces.face import Box, Margin
from mien.preprocess import grey_square

LARGE_PX = 4096
MOST_REPEATED = 4
"""Of a square of a longer side, and of so many times the pixels of the picture in it, every n-th pixel is laid out:
around a long thin picture all would take gigabytes."""


def crop(rgb: npt.NDArray[np.uint8], box: Box, margin: Margin) -> npt.NDArray[np.uint8]:
    """Cut a square around a box. uint8 (H, W, 3) -> uint8 (S, S, 3), S = ``margin.size`` longer sides of the box.

    Beyond the picture its border pixels repeat.
    """
    rows, columns = _places(rgb, box, margin)
    return rgb[rows[:, np.newaxis], columns]


def face_squares(
    rgb: npt.NDArray[np.uint8], boxes: Sequence[Box], margin: Margin, size_px: int
) -> npt.NDArray[np.uint8]:
    """The faces in some boxes as a model reads them: uint8 (H, W, 3) -> uint8 (N, size_px, size_px), grey."""
    squares = [_grey_face(rgb, box, margin, size_px) for box in boxes]
    return np.stack(squares) if squares else np.empty((0, size_px, size_px), dtype=np.uint8)


def _grey_face(rgb: npt.NDArray[np.uint8], box: Box, margin: Margin, size_px: int) -> npt.NDArray[np.uint8]:
    rows, columns = _places(rgb, box, margin)
    inside = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    if len(rows) > LARGE_PX and len(rows) ** 2 > MOST_REPEATED * inside:
        step = -(-len(rows) // LARGE_PX)
        rows, columns = rows[step // 2 :: step], columns[step // 2 :: step]
    return grey_square(rgb[rows[:, np.newaxis], columns], size_px)


def _places(
    rgb: npt.NDArray[np.uint8], box: Box, margin: Margin
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns of the square, those beyond the picture being its border's."""
    longer = max(box.width, box.height)
    side = max(round(margin.size * longer), 1)
    top = round(box.top + box.height / 2 + margin.down * longer - side / 2)
    left = round(box.left + box.width / 2 - side / 2)
    height, width = rgb.shape[:2]
    return np.clip(np.arange(top, top + side), 0, height - 1), np.clip(np.arange(left, left + side), 0, width - 1)
