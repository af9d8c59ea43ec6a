"""Zoom and shift square images in chunks, by two matrix products: image' = rows @ image @ columns.T."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mien.base.processes import available_cores, ordered_map
from mien.base.progress import slices, track

Floats32 = npt.NDArray[np.float32]


def axis_matrix(side_px: int, zoom: npt.ArrayLike = 1.0, shift_px: npt.ArrayLike = 0.0, fill: bool = True) -> Floats32:
    """Return matrices, float32 (..., S, S), that magnify one axis about its centre, then shift it, linearly.

    A zoom above 1 magnifies, a shift is to the right or down. ``fill`` repeats the border pixel outside the image; else
    it is 0 (black).
    """
    zoom, shift_px = (np.asarray(each, dtype=np.float32)[..., np.newaxis] for each in (zoom, shift_px))
    centre = np.float32((side_px - 1) / 2)
    pixels = np.arange(side_px, dtype=np.float32)
    at = centre + (pixels - centre - shift_px) / zoom
    if fill:
        at = np.clip(at, 0, side_px - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[..., np.newaxis] - pixels)))


def resample(images: npt.NDArray[np.generic], rows: Floats32, columns: Floats32) -> Floats32:
    """Apply matrices to rows and columns, one for all images or one for each. (N, S, S) -> float32 (N, S, S)."""
    return np.asarray(np.matmul(np.matmul(rows, images.astype(np.float32, copy=False)), np.swapaxes(columns, -1, -2)))


CHUNK = 256  # fits the CPU cache: for pairs, 15% faster than 512
Array = TypeVar("Array", bound=npt.NDArray[Any])


def in_chunks(work: Callable[[slice], Array], count: int, what: str) -> Array:
    """Apply ``work`` to slices of ``count`` items (at least one) in threads, and join the results in order.

    Threads suffice, because NumPy's products release Python's lock. The number of threads has no effect.
    """
    parts = slices(count, CHUNK)
    results = ordered_map(work, parts, min(available_cores(), len(parts)))
    return np.concatenate(list(track(results, len(parts), what, "chunks")))  # type: ignore[return-value]
