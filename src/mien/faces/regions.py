"""Which parts of an image are worth a closer look."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Region = tuple[int, int, int, int]
"""Left, top, right and bottom in cells, the last two exclusive."""

MOSTLY = 0.8
"""Regions that cover more of the image than this are looked at as one: each has a border that costs something too."""


def regions_around(mask: npt.NDArray[np.bool_], around: int) -> list[Region]:
    """Rectangles apart that contain each True cell of a mask (rows, columns), and ``around`` cells on its sides.

    Left, top, right and bottom, inside the mask; the whole mask if they cover most of it; none for an empty mask.
    """
    rows, columns = mask.shape
    merged = np.empty((0, 4), dtype=np.int64)
    for row, column in np.argwhere(mask):
        new = np.array([column - around, row - around, column + around + 1, row + around + 1])
        while True:
            # A rectangle that has grown may touch others than before.
            touched = (merged[:, :2] <= new[2:]).all(axis=1) & (merged[:, 2:] >= new[:2]).all(axis=1)
            if not touched.any():
                break
            new[:2] = np.minimum(new[:2], merged[touched, :2].min(axis=0))
            new[2:] = np.maximum(new[2:], merged[touched, 2:].max(axis=0))
            merged = merged[~touched]
        merged = np.concatenate([merged, new[np.newaxis]])
    inside = np.clip(merged, 0, (columns, rows, columns, rows))
    if (inside[:, 2:] - inside[:, :2]).prod(axis=1).sum() > MOSTLY * mask.size:
        return [(0, 0, columns, rows)]
    return [(int(left), int(top), int(right), int(bottom)) for left, top, right, bottom in inside]
