"""Images of faces as ``data:`` addresses inside a page. They are never written as files."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

LARGEST_PX = 96
"""Larger faces are scaled down: a page shows hundreds."""


def data_address(image: npt.NDArray[np.uint8], largest_px: int = LARGEST_PX) -> str:
    """A PNG of an image, uint8 (H, W) or RGB (H, W, 3), as ``data:image/png;base64,...``; scaled down if larger."""
    picture: Any = Image.fromarray(np.ascontiguousarray(image))
    if max(picture.size) > largest_px:
        picture.thumbnail((largest_px, largest_px))
    if picture.mode == "RGB":
        # A palette of 64 colours is enough for a small face, at a third of the bytes.
        picture = picture.quantize(64)
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
