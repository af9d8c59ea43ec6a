"""Boxes, detected faces, and the interface of a detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright image. It may extend beyond the image's border."""

    left: int
    top: int
    width: int
    height: int

    def to_dict(self) -> dict[str, int]:
        """JSON-ready: left, top, width and height."""
        return {"left": self.left, "top": self.top, "width": self.width, "height": self.height}


@dataclass(frozen=True)
class Face:
    """A detected face.

    Attributes:
        box: its bounding box.
        score: the detector's confidence; its meaning and range depend on the detector.
        landmarks: (x, y) in pixels of the image by name (``right_eye``, ``left_eye``, ``nose``,
            ``right_mouth_corner``, ``left_mouth_corner``; right and left are the person's own); empty if the
            detector has none.
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
    """Detects faces. Safe to call from several threads."""

    @property
    def name(self) -> str:
        """Its name in results, e.g. ``"Haar cascade"``."""

    @property
    def margin(self) -> Margin:
        """How its boxes become face crops."""

    @property
    def score_range(self) -> tuple[float, float]:
        """The lowest and the highest score that a face of it can have."""

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Detect the faces in an image uint8 (H, W, 3) RGB, 0..255; the largest first."""


def largest_first(faces: list[Face]) -> list[Face]:
    """Sort faces as every detector returns them: by area, then from left to right."""
    return sorted(faces, key=lambda face: (-face.box.width * face.box.height, face.box.left, face.box.top))
