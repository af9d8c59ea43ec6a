"""Dark photos made bright enough to find faces in, and to classify these."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

WHITE_PERCENTILE = 99.5
DARK_BELOW = 128
"""A photo whose brightest pixels are darker than this is dark."""

BLACK_BELOW = 8
"""What is darker than this is noise: it is made no brighter than a photo of this level."""

STEP = 4
"""Every so many rows and columns are enough to know how dark a photo is."""


def brightened(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A dark image, uint8 (H, W, 3), stretched until its brightest pixels are white; any other as it is.

    On 117 photographs with a tenth of their light, mien's detector then finds 88.9% of the faces, and 5.0% without
    (docs/lab-notebook.md).
    """
    white = max(float(np.percentile(rgb[::STEP, ::STEP], WHITE_PERCENTILE)), BLACK_BELOW)
    if white >= DARK_BELOW:
        return rgb
    stretched = np.arange(256) * (255 / white)
    return np.asarray(np.minimum(stretched, 255).astype(np.uint8)[rgb])
