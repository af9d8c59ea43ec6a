"""Pictures as fer and deepface take them, and the one model that both read with."""

from __future__ import annotations

import base64
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.inference.classifier import Classifier, load
from mien.pictures import open_picture
from mien.preprocess import upright_rgb

_FROM_OPENCV = {3: [2, 1, 0], 4: [2, 1, 0, 3]}
"""BGR to RGB and BGRA to RGBA, by the number of channels."""


@cache
def classifier() -> Classifier:
    """The model that comes with mien, loaded once."""
    return load()


def rgb_of(picture: Any) -> npt.NDArray[np.uint8]:
    """A picture as mien reads it: upright RGB uint8 (H, W, 3).

    Args:
        picture: a path, a ``data:image/...;base64,`` string, an open binary file, or an array uint8 (H, W) grey or
            (H, W, 3) or (H, W, 4) in OpenCV's order BGR or BGRA.

    Raises:
        DataError: something else; a web address, since nothing here touches the network.
    """
    if isinstance(picture, np.ndarray):
        if picture.ndim == 3 and picture.shape[2] in _FROM_OPENCV:
            picture = picture[:, :, _FROM_OPENCV[picture.shape[2]]]
        return upright_rgb(picture)
    if isinstance(picture, str) and picture.startswith(("http://", "https://")):
        raise DataError(f"{picture} is a web address; mien works offline. Download the picture and give its path.")
    if isinstance(picture, str) and picture.startswith("data:image/"):
        try:
            picture = base64.b64decode(picture.partition(",")[2], validate=True)
        except ValueError as error:
            raise DataError(f"The picture's base64 text is damaged ({error}).") from None
    elif hasattr(picture, "read"):
        picture = picture.read()
    return upright_rgb(open_picture(picture))
