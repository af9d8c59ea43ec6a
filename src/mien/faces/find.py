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
from mien.faces.crop import EYES, MOUTH, Landmarks, between
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
    larger than it; a score that is no number of ``score_range``. Landmarks that do not fit the box, such as fractions
    of the image, are ``landmarks-outside``.
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
            words += "score, and a dict of landmarks, each (x, y)."
            raise ModelError(words, code="detector-faces")
        height, width = rgb.shape[:2]
        low, high = self.score_range
        for face in faces:
            left, top, right, bottom = face.box.xyxy
            inside = (
                left < width and top < height and min(right, bottom) > 0 and min(face.box.width, face.box.height) > 0
            )
            if not inside or max(face.box.width, face.box.height) > MAX_BOX * max(width, height):
                words = f"The detector {self.name} gives the box {tuple(face.box)} in an image of {width} x {height} "
                raise ModelError(
                    words + "pixels. Boxes are left, top, width and height in pixels.", code="detector-faces"
                )
            if not low <= face.score <= high:
                words = f"The detector {self.name} gives the score {face.score:g}, outside its score_range {low:g} to "
                raise ModelError(f"{words}{high:g}.", code="detector-faces")
            if face.landmarks.keys() >= {*EYES, *MOUTH} and not _fit(face.box, face.landmarks):
                raise ModelError(
                    f"The detector {self.name} gives landmarks that do not fit the face's box {tuple(face.box)}, such "
                    f"as {EYES[0]} at {face.landmarks[EYES[0]]}. Both are in pixels of the image.",
                    code="landmarks-outside",
                )
        return faces


def _is_face(face: Any) -> bool:
    if not (isinstance(face, Face) and isinstance(face.box, Box) and isinstance(face.landmarks, dict)):
        return False
    points = list(face.landmarks.values())
    if not all(isinstance(point, tuple) and len(point) == 2 for point in points):
        return False
    numbers = [face.score, *(number for point in points for number in point)]
    return all(isinstance(number, int) for number in face.box) and all(isinstance(x, int | float) for x in numbers)


def _fit(box: Box, landmarks: Landmarks) -> bool:
    """Return whether eyes and mouth fit the box. On 859 faces, both sizes differ by at most a third."""
    x, y, own = between(landmarks)
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
    paired = isinstance(scores, tuple | list) and [isinstance(each, int | float) for each in scores] == [True, True]
    whole = paired and hasattr(wanted, "detect") and hasattr(wanted, "name")
    if isinstance(wanted, type) or not (whole and isinstance(getattr(wanted, "margin", None), Margin)):
        words = "A detector is an object with detect(rgb), name, score_range (two numbers) and margin, a "
        words += f"mien.faces.Margin; found {type(wanted).__name__}."
        raise ModelError(words, code="detector-type")
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
