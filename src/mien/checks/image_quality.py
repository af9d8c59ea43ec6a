"""Faults that an image's own pixels show: nothing in it, a drawing or text, no detail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mien.near_copies.resampling import Floats32, in_chunks

Floats = npt.NDArray[np.float64]
Images = npt.NDArray[np.uint8]

NEAR_BLANK_BELOW = 8.0
"""Deviation of the pixels below which next to nothing can be seen."""

FEW_TONES_BELOW = 0.7
"""Of :func:`tones`. Looked at on FER2013: of 80 images below, about 60 are text, signs or drawings."""

LITTLE_DETAIL_BELOW = 0.006
"""Of :func:`detail`. Images below are blurred or were enlarged from a smaller one."""

_LEVELS = 256


def tones(images: Images) -> Floats:
    """How many tones an image has, for its contrast: small for text, signs and drawings.

    Number of grey levels that hold 90% of the pixels, divided by the pixels' standard deviation, times the fraction of
    pixels that are not within 3 levels of the most common grey. A photograph has about 3.

    Args:
        images: uint8 (N, H, W).

    Returns:
        float64 (N,), at least 0; 0 for one grey level alone.
    """
    return _by_chunk(images, _tones)


def detail(images: Images) -> Floats:
    """Fraction of an image's variance that a light blur takes away: small where it is blurred or was enlarged.

    Args:
        images: uint8 (N, H, W).

    Returns:
        float64 (N,), 0..1 except for images of hardly any contrast; 0 for a blank one.
    """
    return _by_chunk(images, _detail)


def _tones(images: Images) -> Floats:
    count, pixels = len(images), images[0].size
    cells = np.arange(count)[:, np.newaxis] * _LEVELS + images.reshape(count, -1)
    levels = np.bincount(cells.ravel(), minlength=count * _LEVELS).reshape(count, _LEVELS)
    holding = (np.cumsum(np.sort(levels, axis=1)[:, ::-1], axis=1) < 0.9 * pixels).sum(axis=1) + 1
    around = np.lib.stride_tricks.sliding_window_view(np.pad(levels, ((0, 0), (3, 3))), 7, axis=1).sum(axis=2)
    common = around.max(axis=1) / pixels
    deviation = images.reshape(count, -1).std(axis=1)
    return np.asarray(holding / np.maximum(deviation, 1.0) * (1 - common))


def _detail(images: Images) -> Floats:
    plain = images.astype(np.float32)
    blurred: Floats32 = plain
    for axis in (1, 2):
        blurred = np.asarray(
            (np.roll(blurred, 1, axis) + 2 * blurred + np.roll(blurred, -1, axis)) / 4, dtype=np.float32
        )
    lost = np.square(plain - blurred)[:, 1:-1, 1:-1].mean(axis=(1, 2))
    return np.asarray(lost / np.maximum(plain.var(axis=(1, 2)), 1.0), dtype=np.float64)


def _by_chunk(images: Images, measure: Callable[[Images], Floats]) -> Floats:
    return in_chunks(lambda part: measure(np.asarray(images[part])), len(images), "measuring images")
