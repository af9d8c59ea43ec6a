"""Find the detector to use; :func:`detect` detects faces with it."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import ModelError
from mien.base.images import open_image_source
from mien.base.preprocess import upright_rgb
from mien.faces.crop import EYES, MOUTH, between
from mien.faces.face import Box, Detector, Face, LimitedDetector, Margin
from mien.faces.yunet import YuNet

if TYPE_CHECKING:
    from mien.base.images import ImageSource


_own_detector = cache(YuNet)

MAX_BOX = 4
"""Longest side of a user's box, as a multiple of the image's longer side."""


class OwnDetector:
    """Wrapper of a user's own detector that checks its faces, so that mistakes give a clear error.

    ``detect`` raises ModelError (``detector-faces``): not a list of faces; a box without pixels of the image, or much
    larger than it; a score that is no number of ``score_range``; or landmarks that do not fit the box, such as
    fractions of the image.
    """

    def __init__(self, detector: Detector) -> None:
        self.name: str = detector.name
        self.margin: Margin = detector.margin
        self.score_range: tuple[float, float] = detector.score_range
        self._detector = detector

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Run the user's detector and check its faces."""
        faces = self._detector.detect(rgb)
        if not (isinstance(faces, list) and all(map(_is_face, faces))):
            words = f"The detector {self.name} must return a list of mien.faces.Face: a Box of whole numbers (int), a "
            raise ModelError(f"{words}score, and a dict of landmarks, each (x, y).", code="detector-faces")
        low, high = self.score_range
        for face in faces:
            if not (low <= face.score <= high and _is_in_image(face.box, rgb.shape) and _fits(face)):
                words = f"The detector {self.name} must give boxes and landmarks in pixels of the image, and scores "
                raise ModelError(f"{words}{low:g} to {high:g}; found {face}.", code="detector-faces")
        return faces


def _is_face(face: Any) -> bool:
    if not (isinstance(face, Face) and isinstance(face.box, Box) and isinstance(face.landmarks, dict)):
        return False
    points = list(face.landmarks.values())
    if not all(isinstance(point, tuple) and len(point) == 2 for point in points):
        return False
    numbers = [face.score, *(number for point in points for number in point)]
    return all(isinstance(number, int) for number in face.box) and all(isinstance(x, int | float) for x in numbers)


def _is_in_image(box: Box, shape: tuple[int, ...]) -> bool:
    height, width = shape[:2]
    left, top, right, bottom = box.xyxy
    return (
        min(box.width, box.height, right, bottom, width - left, height - top) > 0
        and max(box.width, box.height) <= MAX_BOX * max(width, height)
    )  # fmt: skip


def _fits(face: Face) -> bool:
    """Return whether eyes and mouth, if known, fit the box. On 859 faces, both sizes differ by at most a third."""
    if not face.landmarks.keys() >= {*EYES, *MOUTH}:
        return True
    box, (x, y, own) = face.box, between(face.landmarks)
    side = max(box.width, box.height)
    apart = math.dist((x, y), (box.left + box.width / 2, box.top + box.height / 2))
    return side / 4 < own < 4 * side and apart < 0.75 * max(side, own)


def find_detector(wanted: Detector | None = None) -> Detector:
    """Return a user's detector with its faces checked; mien's own if None.

    Raises ModelError: not a detector (``detector-type``), or a file of mien's detector is missing or damaged
    (``detector-damaged``).
    """
    if wanted is None:
        return _own_detector()
    if isinstance(wanted, YuNet | LimitedDetector | OwnDetector):
        return wanted
    scores = getattr(wanted, "score_range", None)
    paired = isinstance(scores, tuple | list) and [isinstance(score, int | float) for score in scores] == [True, True]
    named = hasattr(wanted, "detect") and hasattr(wanted, "name")
    if isinstance(wanted, type) or not (paired and named and isinstance(getattr(wanted, "margin", None), Margin)):
        words = "A detector has detect(rgb), name, score_range (two numbers) and margin, a mien.faces.Margin; "
        raise ModelError(f"{words}found {type(wanted).__name__}.", code="detector-type")
    return OwnDetector(wanted)


def detect(image: ImageSource) -> list[Face]:
    """Detect the faces in one image, the largest first.

    Args:
        image: a path, the bytes of an image file, a PIL image, or an array uint8 (H, W) grey or (H, W, 3) RGB.

    Returns:
        Faces with boxes inside the upright image, in pixels (EXIF orientation applied); empty if there is none.

    Raises:
        DataError: ``image`` is not an image.
        ModelError: see :func:`find_detector`.
    """
    rgb = upright_rgb(open_image_source(image))
    height, width = rgb.shape[:2]
    return [face.clipped(width, height) for face in find_detector().detect(rgb)]
