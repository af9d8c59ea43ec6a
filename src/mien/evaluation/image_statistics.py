"""Values per face: contrast."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mien.evaluation.metrics import Floats


def contrast(images: npt.NDArray[np.uint8]) -> Floats:
    """Standard deviation of each image's pixels (RMS contrast). uint8 (N, H, W) -> float64 (N,), 0..127.5."""
    # One by one: the images may be a memory map larger than memory.
    return np.array([image.std(dtype=np.float64) for image in images], dtype=np.float64)
