"""Boxes, detected faces, the interface of a detector; and a crop of a face: a square framed as in FER2013, level.

The notices at the end are about photos given as face crops, and face crops given as photos.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from mien.base.arrays import Array, Floats, Ints, Pixels
from mien.base.errors import DataError, Notice
from mien.base.preprocess import face_shape, face_square, grey_stack


class Box(NamedTuple):
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

    @property
    def xyxy(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom; right and bottom are exclusive, as in slices and Pillow's ``crop``."""
        return self.left, self.top, self.left + self.width, self.top + self.height

    def crop(self, image: Array) -> Array:
        """Return the part of an image (H, W) or (H, W, C) inside the box, a view of at least one pixel."""
        left, top, right, bottom = self.clipped(image.shape[1], image.shape[0]).xyxy
        return image[top:bottom, left:right]

    def clipped(self, width: int, height: int) -> "Box":
        """Return the part of the box inside an image, at least one pixel. Boxes in all results are clipped this way."""
        left, top = min(max(self.left, 0), width - 1), min(max(self.top, 0), height - 1)
        right, bottom = min(self.left + self.width, width), min(self.top + self.height, height)
        return Box(left, top, max(right - left, 1), max(bottom - top, 1))

    def to_dict(self) -> dict[str, int]:
        """Return left, top, width and height, JSON-ready."""
        return self._asdict()


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

    def clipped(self, width: int, height: int) -> "Face":
        """Return the face with its box clipped to an image."""
        return replace(self, box=self.box.clipped(width, height))

    def moved(self, box: Box) -> "Face":
        """Return the face moved and scaled to ``box``, with its landmarks."""
        across, down = box.width / max(self.box.width, 1), box.height / max(self.box.height, 1)
        landmarks = {
            name: (box.left + across * (x - self.box.left), box.top + down * (y - self.box.top))
            for name, (x, y) in self.landmarks.items()
        }
        return replace(self, box=box, landmarks=landmarks)


@dataclass(frozen=True)
class Margin:
    """How a detector's box becomes a crop framed like FER2013; see :func:`mien.faces.face.square_around`.

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


class WrappedDetector:
    """A detector with name, margin and range of scores of another one, from whose faces it makes its own."""

    def __init__(self, detector: Detector) -> None:
        self.name: str = detector.name
        self.margin: Margin = detector.margin
        self.score_range: tuple[float, float] = detector.score_range
        self._detector = detector


class LimitedDetector(WrappedDetector):
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
        super().__init__(detector)
        self.limits: str = f"min score {min_score}, min size {min_size_px}, max faces {max_faces}"
        self._min_score, self._min_size_px, self._max_faces = min_score, min_size_px, max_faces
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
    shared = np.clip(np.minimum(box[:2] + box[2:4], boxes[:, :2] + boxes[:, 2:4]) - low, 0, None).prod(axis=1)
    return np.asarray(shared / (box[2:4].prod() + boxes[:, 2:4].prod(axis=1) - shared))


WHITE_SHARE = 0.995
"""A photo's brightest pixels are those above this quantile."""

DARK_BELOW = 128
"""A photo is dark if its brightest pixels are darker than this."""

BLACK_BELOW = 8
"""Crops darker than this are mostly noise. Such crops are brightened only as much as a crop of this level."""

STEP = 4
"""Only every so many-th row and column is used to measure how dark a photo is."""


def brightened(rgb: Pixels) -> Pixels:
    """Brighten a dark image, uint8 (H, W, 3), until its brightest pixels are white; return others unchanged."""
    # Compute the percentile by counting: numpy.percentile would load modules and delay the first prediction.
    below = np.cumsum(np.bincount(rgb[::STEP, ::STEP].ravel(), minlength=256))
    white = max(int(np.searchsorted(below, WHITE_SHARE * below[-1])), BLACK_BELOW)
    if white >= DARK_BELOW:
        return rgb
    return np.asarray(np.minimum(np.arange(256) * (255 / white), 255).astype(np.uint8)[rgb])


CROP_PX = 224
"""Largest side of face crops in common data sets: 48 (FER2013), 100 (RAF-DB), 224 (AffectNet)."""

MAX_FULL_PX = 4096
MAX_PADDING = 4
"""A square is subsampled if it is wider than MAX_FULL_PX and has MAX_PADDING times more pixels than its part of the
image. Otherwise the square around a long, thin image would take gigabytes."""


EYES = ("right_eye", "left_eye")
MARKS = (*EYES, "right_mouth_corner", "left_mouth_corner")

SPAN, DOWN = 0.406, 0.085
"""Position of eyes and mouth in FER2013, as fractions of the image's side: the distance from the eyes' midpoint to the
mouth's, and how far below the image's centre the point between them lies. Measured with an earlier detector. YuNet's
own medians are 0.356 and 0.065 (benchmarks/margin.py), but crops by them get no better answers on photographs."""

LEVEL_FROM = 15
"""A face with a larger tilt, in degrees, is turned level. docs/lab-notebook.md has the gain."""

MAX_LEVEL_PX = 384
"""Largest side of a crop that is turned level: eight times a model's 48 px input."""

Landmarks = Mapping[str, tuple[float, float]]
Tilt = tuple[float, float, float]
"""Clockwise angle in radians and the point (x, y) that a face is rotated about."""


def square_around(box: Box, margin: Margin, landmarks: Landmarks | None = None) -> Box:
    """Return a face's square in whole pixels, perhaps beyond the image. Known eyes and mouth set its centre; its side
    is the geometric mean of those from the landmarks and from the box.
    """
    longer = max(box.width, box.height)
    side = margin.size * longer
    x, y = box.left + box.width / 2, box.top + box.height / 2 + margin.down * longer
    if landmarks and landmarks.keys() >= {*MARKS}:
        x, y, own = between(landmarks)
        side = math.sqrt(side * own)
        y -= DOWN * side
    side = max(round(side), 1)
    return Box(round(x - side / 2), round(y - side / 2), side, side)


def between(landmarks: Landmarks) -> tuple[float, float, float]:
    """Return the point (x, y) between eyes and mouth, and the side of the square that these landmarks imply."""
    (a, b), (c, d), (e, f), (g, h) = (landmarks[name] for name in MARKS)
    eyes, mouth = ((a + c) / 2, (b + d) / 2), ((e + g) / 2, (f + h) / 2)
    return (eyes[0] + mouth[0]) / 2, (eyes[1] + mouth[1]) / 2, math.dist(eyes, mouth) / SPAN


def tilt_of(landmarks: Landmarks) -> Tilt | None:
    """Return a face's tilt from its eyes and mouth; None if these are unknown or it is below :data:`LEVEL_FROM`."""
    if not landmarks.keys() >= {*MARKS}:
        return None
    x, y, _ = between(landmarks)
    (a, b), (c, d) = (landmarks[name] for name in EYES)
    radians = math.atan2((a + c) / 2 - x, y - (b + d) / 2)
    return (radians, x, y) if abs(radians) >= math.radians(LEVEL_FROM) else None


def cut_out(rgb: Pixels, faces: Sequence[Face], margin: Margin, size_px: int, channels: int = 1) -> Pixels:
    """Crop N faces, brightened if the image is dark: uint8 (H, W, 3) -> uint8 (N, size_px, size_px[, 3])."""
    squares = [square_around(face.box, margin, face.landmarks) for face in faces]
    tilts = [tilt_of(face.landmarks) for face in faces]
    return crop_faces(brightened(rgb) if faces else rgb, squares, size_px, channels, tilts)


def crop_faces(
    rgb: Pixels, squares: Sequence[Box], size_px: int, channels: int = 1, tilts: Sequence[Tilt | None] | None = None
) -> Pixels:
    """Cut face crops for a model's input: uint8 (H, W, 3) and N squares, level by their tilts -> uint8 (N, ...)."""
    turned = zip(squares, tilts or [None] * len(squares), strict=True)
    crops = [face_square(_cut(rgb, square, tilt, channels), size_px, channels) for square, tilt in turned]
    return np.stack(crops) if crops else np.empty((0, *face_shape(size_px, channels)), dtype=np.uint8)


SHARP = 0.03
"""A crop with a lower :func:`sharpness` is blurred: 1% of 857 crops of photographs, none of FER2013's. With motion
over a tenth of the face's width most are, and so are most faces of less than 15 pixels."""


def sharpness(crop: Pixels) -> float:
    """Measure how sharp a face crop is, uint8 (S, S[, 3]), in its less sharp direction.

    Mean squared second difference along rows or columns, whichever is less, divided by the crop's variance, without an
    eighth of the side at each edge, where the background is.
    """
    edge = len(crop) // 8
    grey = (crop if crop.ndim == 2 else crop.mean(axis=2))[edge:-edge, edge:-edge].astype(np.float64)
    return float(min(np.square(np.diff(grey, n=2, axis=axis)).mean() for axis in (0, 1)) / max(grey.var(), 1e-6))


def _cut(rgb: Pixels, square: Box, tilt: Tilt | None, channels: int) -> Pixels:
    if tilt is not None:
        return _turned(rgb, square, tilt, channels)
    rows, columns = _indices(rgb, square)
    inside = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    if len(rows) > MAX_FULL_PX and len(rows) ** 2 > MAX_PADDING * inside:
        step = -(-len(rows) // MAX_FULL_PX)
        return rgb[rows[step // 2 :: step, np.newaxis], columns[step // 2 :: step]]
    return window(rgb, rows, columns)


def _turned(rgb: Pixels, square: Box, tilt: Tilt, channels: int) -> Pixels:
    """Cut out a rotated square with bilinear interpolation, at most :data:`MAX_LEVEL_PX` wide."""
    radians, x, y = tilt
    count = min(square.width, MAX_LEVEL_PX)
    steps = (np.arange(count) + 0.5) * square.width / count
    across, down = square.left + steps - x, (square.top + steps - y)[:, np.newaxis]
    cosine, sine = math.cos(radians), math.sin(radians)
    height, width = rgb.shape[:2]
    columns = np.clip(x + cosine * across - sine * down - 0.5, 0, width - 1)
    rows = np.clip(y + sine * across + cosine * down - 0.5, 0, height - 1)
    left, top = columns.astype(np.int64), rows.astype(np.int64)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    # Four neighbours of each point, (2, 2, n, n[, 3]). Convert to grey before interpolating, as the browser page does.
    near = rgb[np.array([[top, top], [below, below]]), np.array([[left, right], [left, right]])]
    if channels == 1:
        near = grey_stack(near.reshape(4, count, count, 3)).reshape(2, 2, count, count)
    to_right, downwards = columns - left, rows - top
    if near.ndim == 5:
        to_right, downwards = to_right[..., np.newaxis], downwards[..., np.newaxis]
    above, beneath = near[:, 0] * (1 - to_right) + near[:, 1] * to_right
    return np.asarray(above * (1 - downwards) + beneath * downwards + 0.5).astype(np.uint8)


def window(image: Pixels, rows: Ints, columns: Ints) -> Pixels:
    """Return these rows and columns of an image, contiguous but maybe repeating, as a slice if possible. Read-only."""
    if rows[-1] - rows[0] + 1 == len(rows) and columns[-1] - columns[0] + 1 == len(columns):
        return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return image[rows[:, np.newaxis], columns]


def _indices(rgb: Pixels, square: Box) -> tuple[Ints, Ints]:
    """Return row and column indices of the square in the image, clipped to its border."""
    left, top, right, bottom = square.xyxy
    height, width = rgb.shape[:2]
    return np.clip(np.arange(top, bottom), 0, height - 1), np.clip(np.arange(left, right), 0, width - 1)


def photo_as_crop(name: str, width: int, height: int, *, option: str) -> Notice | None:
    """Return a notice if an image given as a face crop, by ``option``, is large and as oblong as a photo."""
    longer, shorter = max(width, height), min(width, height)
    if longer <= CROP_PX or 5 * longer < 6 * shorter:
        return None
    message = f"{name} may be a photo and not a face crop: it has {width} x {height} pixels. Without {option}, faces "
    return Notice(f"{message}are detected.", code="photo-as-crop")


def may_be_crop(width: int, height: int, found: int) -> bool:
    """Return whether a photo without faces may be a crop: small and square, or half as small and nearly square."""
    longest, shortest = max(width, height), min(width, height)
    return not found and longest <= (CROP_PX if longest == shortest else CROP_PX // 2) and longest < 2 * shortest


def crop_as_photo(names: str, *, option: str) -> Notice:
    """Return the notice about images chosen by :func:`may_be_crop`; ``option`` says that images are face crops."""
    return Notice(
        f"no face was detected in {names}. For images that are face crops, use {option}.", code="crops-as-photos"
    )
