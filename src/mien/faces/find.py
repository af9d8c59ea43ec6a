"""Which detector is in use, and the public :func:`detect`."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mien.faces.face import Detector, Face
from mien.faces.haar import HaarDetector
from mien.faces.install import cached_yunet
from mien.faces.yunet import YuNetDetector
from mien.pictures import open_picture
from mien.preprocess import upright_rgb

if TYPE_CHECKING:
    from mien.pictures import Picture

VARIABLE = "MIEN_DETECTOR"
"""Environment variable: the path of a YuNet file, or :data:`HAAR`."""

HAAR = "haar"


def find_detector() -> Detector:
    """The detector in use: what ``MIEN_DETECTOR`` names, else the installed YuNet, else the Haar cascade.

    Raises:
        ModelError: ``MIEN_DETECTOR`` names no YuNet file, or the installed one is damaged.
    """
    path = choose()[0]
    return _haar() if path is None else _yunet(path)


def choose() -> tuple[Path | None, str]:
    """The YuNet file in use, or None for the Haar cascade; and why. Raises :class:`ModelError`."""
    wanted = os.environ.get(VARIABLE, "")
    if wanted:
        return (None if wanted == HAAR else Path(wanted)), f"{VARIABLE} is {wanted}"
    path = cached_yunet()
    return path, "it is always there, and YuNet is not installed" if path is None else f"it is installed at {path}"


def detect(picture: Picture) -> list[Face]:
    """Find the faces in one picture with the detector in use, the largest first.

    Args:
        picture: a path, the bytes of an image file, a PIL image, or an array uint8 (H, W) grey or (H, W, 3) RGB.

    Returns:
        Faces, their boxes in pixels of the upright picture (EXIF orientation applied); none is an empty list.

    Raises:
        DataError: something that is not a picture.
        ModelError: as :func:`find_detector`.
    """
    return find_detector().detect(upright_rgb(open_picture(picture)))


@cache
def _haar() -> Detector:
    return HaarDetector()


@cache
def _yunet(path: Path) -> Detector:
    return YuNetDetector(path)
