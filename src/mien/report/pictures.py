"""Pictures of faces as ``data:`` addresses, for a page only: none becomes a file."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import numpy.typing as npt

LARGEST_PX = 96
"""Larger faces are made this small: a page holds hundreds."""


def data_address(image: npt.NDArray[np.uint8]) -> str:
    """A PNG of an image, uint8 (H, W) or RGB (H, W, 3), as ``data:image/png;base64,...``."""
    from PIL import Image

    picture: Any = Image.fromarray(np.ascontiguousarray(image))
    if max(picture.size) > LARGEST_PX:
        picture.thumbnail((LARGEST_PX, LARGEST_PX))
    if picture.mode == "RGB":
        # 64 colours of its own are enough for a grey face under a map, at a third of the bytes.
        picture = picture.quantize(64)
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
