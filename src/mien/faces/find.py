"""Which detector is used, and the public :func:`detect`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mien.base.images import open_image_source
from mien.base.preprocess import upright_rgb
from mien.faces.face import Detector, Face
from mien.faces.haar import HaarDetector
from mien.faces.network import NetworkDetector, network_files
from mien.faces.yunet import YuNetDetector, cached_yunet

if TYPE_CHECKING:
    from mien.base.images import ImageSource

VARIABLE = "MIEN_DETECTOR"
"""Environment variable: the path of a YuNet file, :data:`NETWORK` or :data:`HAAR`."""

NETWORK, HAAR = "network", "haar"


@dataclass(frozen=True)
class Choice:
    """The detector in use.

    Attributes:
        kind: ``"yunet"``, :data:`NETWORK` or :data:`HAAR`.
        files: the files that it reads; none for the cascade.
        why: why it is in use.
    """

    kind: str
    files: tuple[Path, ...]
    why: str


def find_detector(wanted: Detector | str | os.PathLike[str] | None = None) -> Detector:
    """The detector in use: that of ``MIEN_DETECTOR``, else YuNet if it is installed, else mien's own, else the cascade.

    mien's own is missing only in a checkout where ``make web`` was not run.

    Args:
        wanted: instead of the variable: ``"network"``, ``"haar"`` or the path of a YuNet file; or a detector, which is
            returned as it is.

    Raises:
        ModelError: the variable or argument names no detector, or a detector's file is damaged.
    """
    if wanted is not None and not isinstance(wanted, str | os.PathLike):
        return wanted
    choice = choose(None if wanted is None else os.fspath(wanted))
    if choice.kind == NETWORK:
        return _network()
    return _haar() if choice.kind == HAAR else _yunet(choice.files[0])


def choose(wanted: str | None = None) -> Choice:
    """The detector in use, its files, and why; ``wanted`` as in :func:`find_detector`. Raises :class:`ModelError`."""
    wanted, own = wanted or os.environ.get(VARIABLE, ""), network_files()
    if wanted:
        files = {HAAR: (), NETWORK: own}.get(wanted, (Path(wanted),))
        return Choice(wanted if wanted in {HAAR, NETWORK} else "yunet", files, f"{VARIABLE} is {wanted}")
    installed = cached_yunet()
    if installed is not None:
        return Choice("yunet", (installed,), f"it is installed at {installed}")
    if all(file.is_file() for file in own):
        return Choice(NETWORK, own, "it comes with mien, and YuNet is not installed")
    why = "mien's own was not built (it takes Node 20.19+; in a checkout: make web), and YuNet is not installed"
    return Choice(HAAR, (), why)


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
def _haar() -> Detector:
    return HaarDetector()


@cache
def _network() -> Detector:
    return NetworkDetector()


@cache
def _yunet(path: Path) -> Detector:
    return YuNetDetector(path)
