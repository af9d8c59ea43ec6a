"""Which detector is used, and the public :func:`detect`."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from mien.base.errors import ModelError
from mien.base.images import open_image_source
from mien.base.preprocess import upright_rgb
from mien.faces.face import Detector, Face, Margin
from mien.faces.haar import HaarDetector
from mien.faces.network import NetworkDetector, network_files

if TYPE_CHECKING:
    from mien.base.images import ImageSource

VARIABLE = "MIEN_DETECTOR"
"""Environment variable: :data:`NETWORK` or :data:`HAAR`."""

NETWORK, HAAR = "network", "haar"


def find_detector(wanted: Detector | str | None = None) -> Detector:
    """The detector in use: that of ``MIEN_DETECTOR``, else mien's own where it was built, else the cascade.

    Args:
        wanted: instead of the variable: ``"network"`` or ``"haar"``; or a detector, which is returned as it is.

    Raises:
        ModelError: the variable or argument names no detector (``detector-unknown``), or a file of mien's own is
            missing or damaged (``detector-damaged``).
    """
    if wanted is not None and not isinstance(wanted, str | os.PathLike):
        whole = all(hasattr(wanted, each) for each in ("detect", "name", "score_range"))
        if not (whole and isinstance(getattr(wanted, "margin", None), Margin)):
            raise ModelError(
                f"A detector is {NETWORK}, {HAAR} or an object with detect(rgb), name, score_range and margin, a "
                f"mien.faces.Margin; found {type(wanted).__name__}.",
                code="detector-type",
            )
        return wanted
    name = os.fspath(wanted or os.environ.get(VARIABLE) or (NETWORK if is_built() else HAAR))
    if name not in {NETWORK, HAAR}:
        raise ModelError(f"There is no face detector '{name}'. Choose {NETWORK} or {HAAR}.", code="detector-unknown")
    return _load(name)


def is_built() -> bool:
    """Whether mien's own detector is there: always, except in a checkout where ``make detector`` was not run."""
    return all(file.is_file() for file in network_files())


def detect(image: ImageSource) -> list[Face]:
    """Detect the faces in one image with the detector in use, the largest first.

    Args:
        image: a path, the bytes of an image file, a PIL image, or an array uint8 (H, W) grey or (H, W, 3) RGB.

    Returns:
        Faces with boxes inside the upright image, in pixels (EXIF orientation applied); empty without a face.

    Raises:
        DataError: something that is not an image.
        ModelError: as :func:`find_detector`.
    """
    rgb = upright_rgb(open_image_source(image))
    height, width = rgb.shape[:2]
    return [face.clipped(width, height) for face in find_detector().detect(rgb)]


def limit_opencv_threads(threads: int) -> None:
    """Let OpenCV use this many threads in each call: those of callers that run side by side compete for the cores."""
    import cv2

    cv2.setNumThreads(threads)


@cache
def _load(name: str) -> Detector:
    return NetworkDetector() if name == NETWORK else HaarDetector()
