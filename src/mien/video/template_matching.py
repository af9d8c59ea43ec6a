"""Track a face between detections by template matching, at a hundredth of the cost of a detection.

A grey template of the face is searched for around its last position, at three scales (normalised cross-correlation;
Lewis 1995). Only a detection replaces the template, so that it does not drift.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.faces.crop import window
from mien.faces.face import Box

TEMPLATE_PX = 32
"""Longer side of the template; one of its pixels is 3% of the face."""

SEARCH_RADIUS = 0.5
"""Search radius on each side, as a fraction of the box. At 30 frames/s, a face moves less than this per frame."""

SCALES: tuple[float, ...] = (1.0, 0.95, 1.05)
"""Scales of the face relative to the last frame. If several fit equally, the first (1) is used."""

MIN_CORRELATION = 0.6
"""A face is lost if the correlation is below this."""

_MIN_CONTRAST = 4


class TemplateMatcher:
    """Tracks one face.

    Args:
        frame: frame in which the face was detected, uint8 (H, W) grey or (H, W, 3) RGB.
        box: box of the face in that frame.
    """

    def __init__(self, frame: npt.NDArray[np.uint8], box: Box) -> None:
        self._detected = box
        # Use floats, because in whole pixels a 20 px face could never grow by 5%.
        self._centre = (box.left + box.width / 2, box.top + box.height / 2)
        self._scale = 1.0
        shrink = TEMPLATE_PX / max(box.width, box.height, 1)
        self._size = (max(round(box.width * shrink), 4), max(round(box.height * shrink), 4))
        self._template = _sample(frame, self._centre, (box.width, box.height), self._size)

    def follow(self, frame: npt.NDArray[np.uint8]) -> Box | None:
        """Find the face in the next frame of the same size and return its box; None if the face is lost."""
        if np.ptp(self._template) < _MIN_CONTRAST:
            return None
        best = (MIN_CORRELATION, 0.0, 0.0, 1.0)
        wide, high = self._size
        # Size of a template pixel in pixels of the frame, at the current scale.
        pixel = max(self._detected.width, self._detected.height) * self._scale / TEMPLATE_PX
        searched = (wide + 2 * round(SEARCH_RADIUS * wide), high + 2 * round(SEARCH_RADIUS * high))
        for change in SCALES:
            reach = (searched[0] * pixel * change, searched[1] * pixel * change)
            correlation = correlate(_sample(frame, self._centre, reach, searched), self._template)
            row, column = np.unravel_index(int(correlation.argmax()), correlation.shape)
            if correlation[row, column] > best[0]:
                across, down = _peak(correlation[row], int(column)), _peak(correlation[:, column], int(row))
                best = (
                    float(correlation[row, column]),
                    (across + wide / 2 - searched[0] / 2) * pixel * change,
                    (down + high / 2 - searched[1] / 2) * pixel * change,
                    change,
                )
        highest, right, down, change = best
        if highest <= MIN_CORRELATION:
            return None
        self._centre = (self._centre[0] + right, self._centre[1] + down)
        self._scale *= change
        width, height = self._detected.width * self._scale, self._detected.height * self._scale
        return Box(
            round(self._centre[0] - width / 2),
            round(self._centre[1] - height / 2),
            max(round(width), 1),
            max(round(height), 1),
        )


def correlate(image: npt.NDArray[np.uint8], template: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Correlate a template (h, w) with every part of an image (H, W): Pearson's r (H - h + 1, W - w + 1), -1..1.

    For a uniform part, r is 0. Products are computed by a fast Fourier transform, sums by cumulative sums.
    """
    pixels, contrast = image.astype(np.float64), template - template.mean()
    spectrum = np.fft.rfft2(pixels) * np.fft.rfft2(contrast, s=image.shape).conj()
    rows, columns = (whole - part + 1 for whole, part in zip(image.shape, template.shape, strict=True))
    products = np.fft.irfft2(spectrum, s=image.shape)[:rows, :columns]
    total, squares = (_sums(values, template.shape) for values in (pixels, pixels * pixels))
    spread = np.sqrt(np.maximum(squares - total * total / template.size, 0) * (contrast * contrast).sum())
    return np.asarray(np.divide(products, spread, out=np.zeros_like(products), where=spread > 1))


def _sums(values: npt.NDArray[np.float64], size: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """Compute the sum of every part of this size."""
    for axis, side in enumerate(size):
        ends = np.insert(np.cumsum(values, axis=axis), 0, 0, axis=axis)
        first, last = (np.take(ends, range(at, ends.shape[axis] - side + at), axis) for at in (0, side))
        values = last - first
    return values


def _sample(
    frame: npt.NDArray[np.uint8], centre: tuple[float, float], reach: tuple[float, float], size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    """Resample a window, ``reach`` wide and high around ``centre``, to grey ``size``; border pixels repeat."""
    left, top = round(centre[0] - reach[0] / 2), round(centre[1] - reach[1] / 2)
    width, height = max(round(reach[0]), 1), max(round(reach[1]), 1)
    rows = np.clip(np.arange(top, top + height), 0, frame.shape[0] - 1)
    columns = np.clip(np.arange(left, left + width), 0, frame.shape[1] - 1)
    grey = Image.fromarray(window(frame, rows, columns)).convert("L")
    return np.asarray(grey.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0))


def _peak(values: npt.NDArray[Any], top: int) -> float:
    """Return the position of the peak of a parabola through the highest value and its two neighbours."""
    if not 0 < top < len(values) - 1:
        return float(top)
    before, at, after = (float(value) for value in values[top - 1 : top + 2])
    bend = before - 2 * at + after
    return top if bend >= 0 else top + 0.5 * (before - after) / bend
