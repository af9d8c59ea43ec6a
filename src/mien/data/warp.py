"""Turned, scaled, shifted and mirrored copies of images, without torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.base.progress import track

_CHUNK = 256


@dataclass(frozen=True, eq=False)
class Warps:
    """One change an image, arrays (N,).

    Attributes:
        degrees: turned to the left by this angle, around the middle.
        zoom: enlarged by this factor; below 1 shrunk.
        right: shifted to the right, as a share of the side.
        down: shifted down, as a share of the side.
        mirrored: mirrored left to right, before all else.
    """

    degrees: npt.NDArray[np.float64]
    zoom: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]
    down: npt.NDArray[np.float64]
    mirrored: npt.NDArray[np.bool_]


def warp(images: npt.NDArray[np.uint8], warps: Warps) -> npt.NDArray[np.uint8]:
    """Change each image: between pixels by bilinear interpolation, beyond the border its pixels repeat.

    uint8 (N, H, W) or (N, H, W, 3) -> the same shape.
    """
    out = np.empty_like(images)
    starts = track(range(0, len(images), _CHUNK), total=-(-len(images) // _CHUNK), what="warping faces", unit="batches")
    for first in starts:
        some = slice(first, first + _CHUNK)
        out[some] = sample_bilinear(images[some], *_origins(images.shape[1:3], warps, some))
    return out


def _origins(
    shape: tuple[int, ...], warps: Warps, some: slice
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Where in the image each pixel of the copy comes from: rows and columns, float32 (n, H, W)."""
    height, width = shape
    angle, zoom, right, down = (
        values[some].astype(np.float32)[:, np.newaxis, np.newaxis]
        for values in (np.radians(warps.degrees), warps.zoom, warps.right, warps.down)
    )
    middle = (height - 1) / 2, (width - 1) / 2
    # From the copy back to the image, so each step is undone, the last one first.
    y = np.arange(height, dtype=np.float32)[:, np.newaxis] - middle[0] - down * height
    x = np.arange(width, dtype=np.float32)[np.newaxis, :] - middle[1] - right * width
    cosine, sine = np.cos(angle) / zoom, np.sin(angle) / zoom
    x, y = cosine * x - sine * y, sine * x + cosine * y
    x = np.where(warps.mirrored[some, np.newaxis, np.newaxis], -x, x)
    return y + middle[0], x + middle[1]


def sample_bilinear(
    images: npt.NDArray[np.uint8], rows: npt.NDArray[np.float32], columns: npt.NDArray[np.float32]
) -> npt.NDArray[np.uint8]:
    """Images at given places, bilinearly, with the border repeated outward.

    uint8 (N, H, W) or (N, H, W, 3) at float32 (N, H, W) -> the images' shape.
    """
    height, width = images.shape[1:3]
    rows, columns = np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1)
    top, left = rows.astype(np.int64), columns.astype(np.int64)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    colours = (...,) + (np.newaxis,) * (images.ndim - 3)
    down, across = (rows - top)[colours], (columns - left)[colours]
    each = np.arange(len(images))[:, np.newaxis, np.newaxis]
    upper = images[each, top, left] * (1 - across) + images[each, top, right] * across
    lower = images[each, bottom, left] * (1 - across) + images[each, bottom, right] * across
    return np.asarray(np.rint(upper * (1 - down) + lower * down), dtype=np.uint8)
