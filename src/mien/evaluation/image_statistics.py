"""Values per face: brightness, contrast and sharpness."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mien.base.preprocess import grey_stack
from mien.base.progress import slices
from mien.evaluation.metrics import Floats

_CHUNK_PIXELS = 1_000_000
"""Pixels in hand at a time: the images may be a memory map larger than memory."""


def brightness(images: npt.NDArray[np.uint8]) -> Floats:
    """Mean pixel of each image; colour counts as luma. uint8 (N, H, W[, 3]) -> float64 (N,), 0..255."""
    return _in_chunks(images, lambda chunk: chunk.mean(axis=(1, 2), dtype=np.float64))


def contrast(images: npt.NDArray[np.uint8]) -> Floats:
    """Standard deviation of each image's pixels (RMS contrast). uint8 (N, H, W[, 3]) -> float64 (N,), 0..127.5."""
    return _in_chunks(images, lambda chunk: chunk.std(axis=(1, 2), dtype=np.float64))


def sharpness(images: npt.NDArray[np.uint8]) -> Floats:
    """Variance of each image's Laplacian: low where it is blurred. uint8 (N, H, W[, 3]) -> float64 (N,), at least 0.

    The sum of the four neighbours minus four times the pixel, mirrored at the border (Pech-Pacheco et al., ICPR
    2000). Contrast raises it too: compare faces of one size and like contrast.
    """
    return _in_chunks(images, lambda chunk: _laplacian(chunk).var(axis=(1, 2), dtype=np.float64))


def _laplacian(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int16]:
    """uint8 (N, H, W) -> int16 (N, H, W), -1020..1020."""
    wide = np.pad(images.astype(np.int16), ((0, 0), (1, 1), (1, 1)), mode="reflect")
    centre = wide[:, 1:-1, 1:-1]
    return wide[:, :-2, 1:-1] + wide[:, 2:, 1:-1] + wide[:, 1:-1, :-2] + wide[:, 1:-1, 2:] - 4 * centre


def _in_chunks(images: npt.NDArray[np.uint8], measure: Callable[[npt.NDArray[np.uint8]], Floats]) -> Floats:
    at_once = max(1, _CHUNK_PIXELS // (images.shape[1] * images.shape[2]))
    parts = [measure(grey_stack(np.asarray(images[part]))) for part in slices(len(images), at_once)]
    return np.concatenate(parts) if parts else np.zeros(0)
