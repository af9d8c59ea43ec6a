"""Where a face has moved to since a detector found it, by its looks alone: a hundredth of the Haar cascade's work.

A grey patch of the face is kept and looked for around where the face last was, a little larger and smaller too
(normalised cross-correlation; Lewis 1995). The patch is never renewed but by a detector, so nothing drifts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.faces.face import Box

PATCH_PX = 32
"""Longer side of the patch: a step of a pixel is 3 % of the face."""

REACH = 0.5
"""How far a face is looked for on each side, in sides of its box; at 30 frames/s no face moves further in a frame."""

SCALES = (1.0, 0.95, 1.05)
"""How much its size may change from frame to frame. As it is comes first: it wins where all are equal."""

LEAST_LIKENESS = 0.6
"""Correlation below which the face is lost from sight."""

_LEAST_CONTRAST = 4


class Follower:
    """Follows one face.

    Args:
        grey: the picture that it was found in, uint8 (H, W).
        box: where.
    """

    def __init__(self, grey: npt.NDArray[np.uint8], box: Box) -> None:
        self._found = box
        # Parts of a box: whole pixels would keep a face of 20 px from ever growing by 5 %.
        self._centre = (box.left + box.width / 2, box.top + box.height / 2)
        self._scale = 1.0
        shrink = PATCH_PX / max(box.width, box.height)
        self._size = (max(round(box.width * shrink), 4), max(round(box.height * shrink), 4))
        self._patch = _sample(grey, self._centre, (box.width, box.height), self._size)

    def follow(self, grey: npt.NDArray[np.uint8]) -> Box | None:
        """Where the face is in a later picture of the same size; None where nothing there looks like it."""
        import cv2

        # Of a plain patch OpenCV says that it is like everything.
        if np.ptp(self._patch) < _LEAST_CONTRAST:
            return None
        best = (LEAST_LIKENESS, 0.0, 0.0, 1.0)
        wide, high = self._size
        # The patch's pixels in pixels of the picture, at the size that the face last had.
        pixel = max(self._found.width, self._found.height) * self._scale / PATCH_PX
        window = (wide + 2 * round(REACH * wide), high + 2 * round(REACH * high))
        for change in SCALES:
            reach = (window[0] * pixel * change, window[1] * pixel * change)
            likeness = cv2.matchTemplate(_sample(grey, self._centre, reach, window), self._patch, cv2.TM_CCOEFF_NORMED)
            row, column = np.unravel_index(int(likeness.argmax()), likeness.shape)
            if likeness[row, column] > best[0]:
                across, down = _peak(likeness[row], int(column)), _peak(likeness[:, column], int(row))
                best = (
                    float(likeness[row, column]),
                    (across + wide / 2 - window[0] / 2) * pixel * change,
                    (down + high / 2 - window[1] / 2) * pixel * change,
                    change,
                )
        likest, right, down, change = best
        if likest <= LEAST_LIKENESS:
            return None
        self._centre = (self._centre[0] + right, self._centre[1] + down)
        self._scale *= change
        width, height = self._found.width * self._scale, self._found.height * self._scale
        return Box(
            round(self._centre[0] - width / 2),
            round(self._centre[1] - height / 2),
            max(round(width), 1),
            max(round(height), 1),
        )


def _sample(
    grey: npt.NDArray[np.uint8], centre: tuple[float, float], reach: tuple[float, float], size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """A part of a picture around a point, so wide and high in its pixels, at another size; border pixels repeat."""
    import cv2

    left, top = round(centre[0] - reach[0] / 2), round(centre[1] - reach[1] / 2)
    width, height = max(round(reach[0]), 1), max(round(reach[1]), 1)
    rows = np.clip(np.arange(top, top + height), 0, grey.shape[0] - 1)
    columns = np.clip(np.arange(left, left + width), 0, grey.shape[1] - 1)
    part = grey[rows[:, np.newaxis], columns]
    sampled = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return np.asarray(sampled, dtype=np.uint8)


def _peak(values: npt.NDArray[Any], top: int) -> float:
    """Where a parabola through the highest of some values and its two neighbours has its peak."""
    if not 0 < top < len(values) - 1:
        return float(top)
    before, at, after = (float(value) for value in values[top - 1 : top + 2])
    bend = before - 2 * at + after
    return top if bend >= 0 else top + 0.5 * (before - after) / bend
