"""Zooms and shifts of square images as products with two matrices, image' = rows @ image @ columns.T, in chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mien.base.processes import available_cores, ordered_map
from mien.base.progress import slices, track

Floats32 = npt.NDArray[np.float32]


def axis_matrix(side_px: int, zoom: npt.ArrayLike = 1.0, shift_px: npt.ArrayLike = 0.0, fill: bool = True) -> Floats32:
    """The matrices that magnify one axis about its centre and then shift it, by linear interpolation.

    Args:
        side_px: S, pixels along the axis.
        zoom: (...), above 1 magnifies.
        shift_px: (...), to the right, or down.
        fill: repeat the border pixel where nothing is known; otherwise 0 (black).

    Returns:
        float32 (..., S, S); a row for each pixel of the result.
    """
    zoom, shift_px = (np.asarray(each, dtype=np.float32)[..., np.newaxis] for each in (zoom, shift_px))
    centre = np.float32((side_px - 1) / 2)
    pixels = np.arange(side_px, dtype=np.float32)
    at = centre + (pixels - centre - shift_px) / zoom
    if fill:
        at = np.clip(at, 0, side_px - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[..., np.newaxis] - pixels)))


def resample(images: npt.NDArray[np.generic], rows: Floats32, columns: Floats32) -> Floats32:
    """Apply matrices along rows and columns, the same to all or one to each. (N, S, S) -> float32 (N, S, S)."""
    return np.asarray(np.matmul(np.matmul(rows, images.astype(np.float32, copy=False)), np.swapaxes(columns, -1, -2)))


CHUNK = 256  # what is worked with fits the cache: pairs are compared in 15% less time than by 512
Array = TypeVar("Array", bound=npt.NDArray[Any])


def in_chunks(work: Callable[[slice], Array], count: int, what: str) -> Array:
    """``work`` of each slice of ``count`` items, at least one, joined in their order.

    Threads and not processes: numpy's products release Python's lock. The result does not depend on their number.
    """
    parts = slices(count, CHUNK)
    results = ordered_map(work, parts, min(available_cores(), len(parts)))
    return np.concatenate(list(track(results, len(parts), what, "chunks")))  # type: ignore[return-value]
