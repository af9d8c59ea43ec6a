"""mien's face detector YuNet, a user's own, and :func:`detect`, which detects faces with the one to use.

    image ──copy of at most 640 px──► faces ──doubtful ones enlarged──► faces; if there is none, a framed copy

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20 (2023). The file also
holds the steps before and after the network (release/wrap_detector.py). The browser page and the npm package use the
same file. The constants were chosen on the photographs of docs/lab-notebook.md.
"""

import math
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mien.base.arrays import Floats, Pixels
from mien.base.errors import ModelError
from mien.base.images import open_image_source
from mien.base.model_file import open_session
from mien.base.preprocess import upright_rgb
from mien.faces.face import MARKS, Box, Detector, Face, Margin, WrappedDetector, between, brightened, iou, largest_first

if TYPE_CHECKING:
    from mien.base.images import ImageSource

FILE: Path = Path(__file__).parent / "networks" / "detector.onnx"

MAX_PX = 640
"""Longer side of the copy in which faces are searched; a smaller image is searched as it is."""

MAX_SOURCE_PX = 2560
"""Longer side of the image from which enlarged squares are cut; a larger image is shrunk to it first."""

SURE = 0.87
"""A face with a lower score is doubtful. It is searched again in an enlarged square around it, and the second score
counts for AGAIN_WEIGHT. On 117 photographs this removes half of the false faces."""

AGAIN_WEIGHT = 0.35
AGAIN_PX, AGAIN_SIZE, AGAIN_IOU = 160, 3, 0.4
"""Side of the enlarged square in pixels, and as a multiple of the face's longer side; the overlap (intersection over
union) from which a face in it is the same one."""

MIN_SCORE = 0.56
"""Lowest score of a face. Chosen on 117 photographs with 262 faces and 866 with one: 249 and 857 are found, 3 are
false."""

FRAMED_PX, FRAME = 192, 1 / 3
"""If no face was found, a face may fill the image: a copy of this longer side has a black frame around it, FRAME of the
image's longer side wide."""

MAX_DOUBTFUL = 100
"""Largest number of doubtful faces that are searched again, the best first; others keep their first score. This limits
the time for crowds."""

THREADS = 2

LANDMARKS: tuple[str, ...] = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")

PIXELS = [0, 1, 2, 3, *range(5, 15)]
"""Columns of the output that are in pixels: all but the score."""


class YuNet:
    """Detector for frontal, turned and tilted faces, also in crowds. The score is 0..1, not calibrated."""

    name: str = "YuNet"
    # With this margin, boxes and landmarks give the same median size on photographs (docs/lab-notebook.md).
    margin: Margin = Margin(size=0.94, down=0.0)
    score_range: tuple[float, float] = (MIN_SCORE, 1.0)

    def __init__(self, file: Path = FILE) -> None:
        try:
            self._session = open_session(file, THREADS)
        except ModelError as error:
            raise ModelError(f"The face detector: {error} Install mien again.", code=error.code) from None

    def detect(self, rgb: Pixels) -> list[Face]:
        """Detect faces in an image uint8 (H, W, 3), with five landmarks each, the largest first."""
        image = Image.fromarray(brightened(rgb))
        longer = max(image.size)
        image = _resized(image, MAX_SOURCE_PX) if longer > MAX_SOURCE_PX else image
        rows = self._search(image, min(MAX_PX, max(image.size)))
        if not len(rows):
            frame = round(FRAME * max(image.size))
            framed = image.crop((-frame, -frame, image.width + frame, image.height + frame))
            rows = _moved(self._search(framed, FRAMED_PX), -frame, -frame)
        rows[:, PIXELS] *= longer / max(image.size)
        return largest_first([_face(row) for row in rows])

    def _search(self, image: Image.Image, longer_px: int) -> Floats:
        rows = self._run(_resized(image, longer_px), max(image.size) / longer_px)
        for index in np.flatnonzero(rows[:, 4] < SURE)[:MAX_DOUBTFUL]:
            again = self._score_again(image, rows[index])
            rows[index, 4] += AGAIN_WEIGHT * (again - rows[index, 4])
        return rows[rows[:, 4] >= MIN_SCORE]

    def _score_again(self, image: Image.Image, row: Floats) -> float:
        """Return the score of a face in an enlarged square around it; 0 if it is not found there."""
        left, top, width, height = row[:4]
        side = max(round(AGAIN_SIZE * max(width, height)), 1)
        left, top = round(left + width / 2 - side / 2), round(top + height / 2 - side / 2)
        square = _resized(image.crop((left, top, left + side, top + side)), AGAIN_PX)
        rows = _moved(self._run(square, side / AGAIN_PX), left, top)
        return float(rows[iou(row, rows) > AGAIN_IOU, 4].max(initial=0))

    def _run(self, image: Image.Image, scale: float) -> Floats:
        """Run the network on an RGB image, and multiply what is in pixels by ``scale``. The best score comes first."""
        rows: Floats = self._session.run(None, {"pixels": np.asarray(image.convert("RGBA"))})[0].astype(np.float64)
        rows[:, PIXELS] *= scale
        return rows


def _moved(rows: Floats, left: float, top: float) -> Floats:
    rows[:, [0, *PIXELS[4::2]]] += left
    rows[:, [1, *PIXELS[5::2]]] += top
    return rows


def _resized(image: Image.Image, longer_px: int) -> Image.Image:
    """Return a copy with this longer side: averaged over whole pixels, then with a triangle filter."""
    scale = longer_px / max(image.size)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _face(row: Floats) -> Face:
    left, top, width, height, score, *points = row.tolist()
    return Face(
        Box(round(left), round(top), max(round(width), 1), max(round(height), 1)),
        score=score,
        landmarks=dict(zip(LANDMARKS, zip(points[::2], points[1::2], strict=True), strict=True)),
    )


_own_detector = cache(YuNet)

MAX_BOX = 4
"""Longest side of a user's box, as a multiple of the image's longer side."""


class OwnDetector(WrappedDetector):
    """Wrapper of a user's own detector that checks its faces, so that mistakes give a clear error.

    ``detect`` raises ModelError (``detector``): not a list of faces; a box without pixels of the image, or much larger
    than it; a score that is no number of ``score_range``; or landmarks that do not fit the box.
    """

    def detect(self, rgb: Pixels) -> list[Face]:
        """Run the user's detector and check its faces."""
        faces = self._detector.detect(rgb)
        if not (isinstance(faces, list) and all(map(_is_face, faces))):
            words = f"The detector {self.name} must return a list of mien.faces.Face: a Box of whole numbers (int), a "
            raise ModelError(f"{words}score, and a dict of landmarks, each (x, y).", code="detector")
        low, high = self.score_range
        for face in faces:
            if not (low <= face.score <= high and _is_in_image(face.box, rgb.shape) and _fits(face)):
                words = f"The detector {self.name} must give boxes and landmarks in pixels of the image, and scores "
                raise ModelError(f"{words}{low:g} to {high:g}; found {face}.", code="detector")
        return faces


def _is_face(face: Any) -> bool:
    if not (isinstance(face, Face) and isinstance(face.box, Box) and isinstance(face.landmarks, dict)):
        return False
    points = list(face.landmarks.values())
    if not all(isinstance(point, tuple) and len(point) == 2 for point in points):
        return False
    numbers = [face.score, *(number for point in points for number in point)]
    is_box = all(isinstance(number, int) for number in face.box)
    return is_box and all(isinstance(x, int | float) and math.isfinite(x) for x in numbers)


def _is_in_image(box: Box, shape: tuple[int, ...]) -> bool:
    height, width = shape[:2]
    left, top, right, bottom = box.xyxy
    return (
        min(box.width, box.height, right, bottom, width - left, height - top) > 0
        and max(box.width, box.height) <= MAX_BOX * max(width, height)
    )  # fmt: skip


def _fits(face: Face) -> bool:
    """Return whether eyes and mouth, if known, fit the box. On 859 faces, both sizes differ by at most a third."""
    if not face.landmarks.keys() >= {*MARKS}:
        return True
    box, (x, y, own) = face.box, between(face.landmarks)
    side = max(box.width, box.height)
    apart = math.dist((x, y), (box.left + box.width / 2, box.top + box.height / 2))
    return side / 4 < own < 4 * side and apart < 0.75 * max(side, own)


def find_detector(wanted: Detector | None = None) -> Detector:
    """Return a user's detector with its faces checked; mien's own if None.

    Raises ModelError: not a detector (``detector``), or the file of mien's detector is missing or damaged.
    """
    if wanted is None:
        return _own_detector()
    if isinstance(wanted, YuNet | WrappedDetector):
        return wanted
    scores = getattr(wanted, "score_range", None)
    paired = isinstance(scores, tuple | list) and [isinstance(score, int | float) for score in scores] == [True, True]
    named = hasattr(wanted, "detect") and hasattr(wanted, "name")
    if isinstance(wanted, type) or not (paired and named and isinstance(getattr(wanted, "margin", None), Margin)):
        words = "A detector has detect(rgb), name, score_range (two numbers) and margin, a mien.faces.Margin; "
        raise ModelError(f"{words}found {type(wanted).__name__}.", code="detector")
    return OwnDetector(wanted)


def detect(image: "ImageSource") -> list[Face]:
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
