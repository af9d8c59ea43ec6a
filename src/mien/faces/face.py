"""Boxes, detected faces, and the interface of a detector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias

import numpy as np

from mien.base.arrays import Array, Floats, Pixels
from mien.base.errors import DataError


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels of the upright image. A detector's box may extend beyond the image; see :meth:`clipped`.

    >>> box = Box(10, 20, 30, 40)
    >>> left, top, width, height = box
    >>> box.xyxy, box.clipped(25, 100)
    ((10, 20, 40, 60), Box(left=10, top=20, width=15, height=40))
    """

    left: int
    top: int
    width: int
    height: int

    def __iter__(self) -> Iterator[int]:
        """Yield left, top, width and height."""
        return iter((self.left, self.top, self.width, self.height))

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom; right and bottom are exclusive, as in slices and Pillow's ``crop``."""
        return self.left, self.top, self.left + self.width, self.top + self.height

    def crop(self, image: Array) -> Array:
        """Return the part of an image (H, W) or (H, W, C) inside the box, a view of at least one pixel."""
        left, top, right, bottom = self.clipped(image.shape[1], image.shape[0]).xyxy
        return image[top:bottom, left:right]

    def clipped(self, width: int, height: int) -> Box:
        """Return the part of the box inside an image, at least one pixel. Boxes in all results are clipped this way."""
        left, top = min(max(self.left, 0), width - 1), min(max(self.top, 0), height - 1)
        right, bottom = min(self.left + self.width, width), min(self.top + self.height, height)
        return Box(left, top, max(right - left, 1), max(bottom - top, 1))

    def to_dict(self) -> dict[str, int]:
        """Return left, top, width and height, JSON-ready."""
        return {"left": self.left, "top": self.top, "width": self.width, "height": self.height}


@dataclass(frozen=True)
class Face:
    """A detected face.

    Attributes:
        box: bounding box.
        score: the detector's confidence; its meaning and range depend on the detector.
        landmarks: (x, y) in pixels of the image by name (``right_eye``, ``left_eye``, ``nose``, ``right_mouth_corner``,
            ``left_mouth_corner``; right and left are the person's own); empty if the detector has none. If eyes and
            mouth corners are known, they determine the crop.
    """

    box: Box
    score: float
    landmarks: dict[str, tuple[float, float]] = field(hash=False)

    def clipped(self, width: int, height: int) -> Face:
        """Return the face with its box clipped to an image."""
        return replace(self, box=self.box.clipped(width, height))

    def moved(self, box: Box) -> Face:
        """Return the face moved and scaled to ``box``, with its landmarks."""
        across, down = box.width / max(self.box.width, 1), box.height / max(self.box.height, 1)
        landmarks = {
            name: (box.left + across * (x - self.box.left), box.top + down * (y - self.box.top))
            for name, (x, y) in self.landmarks.items()
        }
        return replace(self, box=box, landmarks=landmarks)


@dataclass(frozen=True)
class Margin:
    """How a detector's box becomes a crop framed like FER2013; see :func:`mien.faces.crop.square_around`.

    Attributes:
        size: side of the square crop, as a multiple of the box's longer side.
        down: how far the crop's centre lies below the box's, as a multiple of the box's longer side.
    """

    size: float
    down: float


class Detector(Protocol):
    """Interface of face detectors. ``detect`` must be thread-safe."""

    @property
    def name(self) -> str:
        """Name of the detector in results, e.g. ``"YuNet"``."""

    @property
    def margin(self) -> Margin:
        """Margin that turns the detector's boxes into face crops."""

    @property
    def score_range(self) -> tuple[float, float]:
        """Lowest and highest possible score of a face."""

    def detect(self, rgb: Pixels) -> list[Face]:
        """Detect the faces in an image uint8 (H, W, 3) RGB, 0..255; the largest first."""


def largest_first(faces: list[Face]) -> list[Face]:
    """Sort faces by area, the largest first, then from left to right. Every detector returns faces in this order."""
    return sorted(faces, key=lambda face: (-face.box.width * face.box.height, face.box.left, face.box.top))


class LimitedDetector:
    """A detector that filters the faces of another detector.

    Args:
        detector: detector to filter; its name, margin and range of scores are kept.
        min_score: lowest score to keep; its meaning and range depend on the detector.
        min_size_px: smallest longer side of a box to keep, in pixels of the image.
        max_faces: largest number of faces; the largest faces are kept.

    Attributes:
        limits: text of the limits; equal texts mean equal filters.

    Raises:
        DataError: a score outside the detector's range (``min-score-range``), or a size or number below one
            (``options``).
    """

    def __init__(
        self,
        detector: Detector,
        min_score: float | None = None,
        min_size_px: int | None = None,
        max_faces: int | None = None,
    ) -> None:
        self.name: str = detector.name
        self.margin: Margin = detector.margin
        self.score_range: tuple[float, float] = detector.score_range
        self.limits: str = f"min score {min_score}, min size {min_size_px}, max faces {max_faces}"
        self._detector, self._min_score = detector, min_score
        self._min_size_px, self._max_faces = min_size_px, max_faces
        highest = self.score_range[1]
        if min_score is not None and not 0 <= min_score <= highest:
            words = f"The lowest score of a face must be 0 to {highest:g} for {self.name}; found {min_score:g}."
            raise DataError(words, code="min-score-range")
        for value, named in ((min_size_px, "The smallest size of a face"), (max_faces, "The number of faces")):
            if value is not None and value < 1:
                raise DataError(f"{named} must be 1 or more; found {value}.", code="options")

    def detect(self, rgb: Pixels) -> list[Face]:
        """Detect the faces in an image uint8 (H, W, 3), the largest first."""
        least_px = self._min_size_px or 0
        large = (face for face in self._detector.detect(rgb) if max(face.box.width, face.box.height) >= least_px)
        return [face for face in large if self._min_score is None or face.score >= self._min_score][: self._max_faces]


Boxes: TypeAlias = Floats
"""Left, top, width and height of N boxes, optionally with a score: (N, 4 or 5)."""


def iou(box: Floats, boxes: Boxes) -> Floats:
    """Compute the intersection over union of one box with each of (N, 4 or more): float64 (N,)."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[:2] + box[2:4], boxes[:, :2] + boxes[:, 2:4])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    return np.asarray(shared / (box[2:4].prod() + boxes[:, 2:4].prod(axis=1) - shared))
