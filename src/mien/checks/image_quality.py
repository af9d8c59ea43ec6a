"""Faults that an image's own pixels show: nothing in it, a drawing or text, no detail, a frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator

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

FRAME_FROM = 25.0
"""Of :func:`frame_step`, grey levels."""

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


def frame_step(images: Images) -> Floats:
    """How hard the edge is between a plain strip along a border, up to a third of the image, and what follows.

    A strip is one or more lines of one grey; the step is the difference to the next line that four of five of its
    pixels reach at least. High where an image ends before its frame does.

    Args:
        images: uint8 (N, S, S).

    Returns:
        float64 (N,), 0..255; the hardest of the four sides, 0 without a strip.
    """
    return _by_chunk(images, _frame_step)


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


def _frame_step(images: Images) -> Floats:
    plain = images.astype(np.float32)
    hardest = np.zeros(len(images))
    for turned in _from_every_side(plain):
        first = turned[:, 0].mean(axis=1)
        is_strip = np.ones(len(images), dtype=np.bool_)
        for depth in range(1, turned.shape[1] // 3 + 1):
            line = turned[:, depth - 1]
            is_strip &= (line.std(axis=1) < 3) & (np.abs(line.mean(axis=1) - first) < 3)
            step = np.quantile(np.abs(turned[:, depth] - first[:, np.newaxis]), 0.2, axis=1)
            hardest = np.maximum(hardest, np.where(is_strip, step, 0.0))
    return hardest


def _from_every_side(images: Floats32) -> Iterator[Floats32]:
    yield from (images, images[:, ::-1], images.transpose(0, 2, 1), images.transpose(0, 2, 1)[:, ::-1])


def _by_chunk(images: Images, measure: Callable[[Images], Floats]) -> Floats:
    return in_chunks(lambda part: measure(np.asarray(images[part])), len(images), "measuring images")
