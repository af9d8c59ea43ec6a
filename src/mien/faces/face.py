"""What a detector says, and what a detector is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright picture. It may reach beyond the picture's border."""

    left: int
    top: int
    width: int
    height: int

    def to_dict(self) -> dict[str, int]:
        """JSON-ready: left, top, width and height."""
        return {"left": self.left, "top": self.top, "width": self.width, "height": self.height}


@dataclass(frozen=True)
class Face:
    """A face in a picture.

    Attributes:
        box: where it is.
        score: how sure the detector is; comparable within one detector only, which says what it means.
        landmarks: (x, y) in pixels of the picture by name (``right_eye``, ``left_eye``, ``nose``,
            ``right_mouth_corner``, ``left_mouth_corner``; right and left are the person's own); empty where the
            detector gives none.
    """

    box: Box
    score: float
    landmarks: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Margin:
    """How a detector's box becomes a crop like FER2013's, found by ``benchmarks/margin.py``.

    Attributes:
        size: side of the square crop, in longer sides of the box.
        down: how far the crop's centre lies below the box's, in longer sides of the box.
    """

    size: float
    down: float


class Detector(Protocol):
    """Finds faces. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """What it is called where results are told, e.g. ``"Haar cascade"``."""

    @property
    def margin(self) -> Margin:
        """How its boxes become crops."""

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Faces in a picture uint8 (H, W, 3) RGB, the largest first."""


def largest_first(faces: list[Face]) -> list[Face]:
    """The order of every detector's answer: by area, then from left to right."""
    return sorted(faces, key=lambda face: (-face.box.width * face.box.height, face.box.left, face.box.top))
