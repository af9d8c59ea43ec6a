"""Images as fer and deepface take them, and the one model that both modules use."""

from __future__ import annotations

import base64
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, MienWarning
from mien.base.images import open_image_source
from mien.base.labels import EXPRESSIONS
from mien.base.preprocess import from_opencv, upright_rgb
from mien.inference.face_reader import FaceReader
from mien.inference.predictor import Predictor, load


@cache
def default_predictor() -> Predictor:
    """The model that comes with mien, loaded once."""
    return load()


SEVEN = ",".join(f"{name}={name}" for name in EXPRESSIONS)
"""A label scheme: mien's answer among the seven classes that both packages have."""


def to_rgb(image: Any) -> npt.NDArray[np.uint8]:
    """Convert an image as fer and deepface take it to upright RGB, uint8 (H, W, 3).

    Args:
        image: a path, a ``data:image/...;base64,`` string, an open binary file, or an array uint8 (H, W) grey or
            (H, W, 3) or (H, W, 4) in OpenCV's order BGR or BGRA.

    Raises:
        DataError: something else; a web address (``image-address``), since mien works offline.
    """
    if isinstance(image, np.ndarray):
        return upright_rgb(from_opencv(image))
    if isinstance(image, str) and image.startswith("data:image/"):
        try:
            image = base64.b64decode(image.partition(",")[2], validate=True)
        except ValueError as error:
            raise DataError(f"The image's base64 text is damaged ({error}).", code="image-base64") from None
    return upright_rgb(open_image_source(image))


def warn_ignored(module: str, names: Sequence[str], reader: FaceReader | None = None) -> None:
    """Warn of arguments that have no effect (``arguments-ignored``), on behalf of a caller's caller."""
    if names:
        why = "" if reader is None else f": faces are detected by {reader.detector.name} and cropped as in training"
        text = f"mien.compat.{module} ignores {', '.join(names)}{why}."
        warnings.warn(MienWarning(text, code="arguments-ignored"), stacklevel=3)
