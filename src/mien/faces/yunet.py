"""mien's face detector: YuNet, one small network that finds boxes and five landmarks.

    image ──copy of at most 640 px──► faces ──doubtful ones enlarged──► faces; if there is none, a framed copy

Wu, Peng and Yu, "YuNet: A Tiny Millisecond-level Face Detector", Machine Intelligence Research 20 (2023). The file also
holds the steps before and after the network (release/wrap_detector.py). The browser page and the npm package use the
same file. The constants were chosen on the photographs of docs/lab-notebook.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.errors import ModelError
from mien.base.model_file import stay_offline
from mien.faces.crop import brightened
from mien.faces.face import Box, Face, Margin, iou, largest_first

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

Rows = npt.NDArray[np.float64]
"""N faces, (N, 15): left, top, width, height, score, then x and y of each landmark, in pixels of an image."""


class YuNet:
    """Detector for frontal, turned and tilted faces, also in crowds. The score is 0..1, not calibrated.

    Raises ModelError if :data:`FILE` is missing or damaged (``detector-damaged``).
    """

    name: str = "YuNet"
    # With this margin, boxes and landmarks give the same median size on photographs (docs/lab-notebook.md).
    margin: Margin = Margin(size=0.94, down=0.0)
    score_range: tuple[float, float] = (MIN_SCORE, 1.0)

    def __init__(self, file: Path = FILE) -> None:
        self._session = _session(file)

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Detect faces in an image uint8 (H, W, 3), with five landmarks each, the largest first."""
        image = Image.fromarray(brightened(rgb))
        longer = max(image.size)
        if longer > MAX_SOURCE_PX:
            image = _resized(image, MAX_SOURCE_PX)
        rows = self._search(image, min(MAX_PX, max(image.size)))
        if not len(rows):
            frame = round(FRAME * max(image.size))
            framed = image.crop((-frame, -frame, image.width + frame, image.height + frame))
            rows = _moved(self._search(framed, FRAMED_PX), -frame, -frame)
        rows[:, PIXELS] *= longer / max(image.size)
        return largest_first([_face(row) for row in rows])

    def _search(self, image: Image.Image, longer_px: int) -> Rows:
        """Find faces in a copy with this longer side, and check the doubtful ones."""
        rows = self._run(_resized(image, longer_px), max(image.size) / longer_px)
        doubtful = np.flatnonzero(rows[:, 4] < SURE)
        for index in doubtful[:MAX_DOUBTFUL]:
            again = self._score_again(image, rows[index])
            rows[index, 4] += AGAIN_WEIGHT * (again - rows[index, 4])
        return rows[rows[:, 4] >= MIN_SCORE]

    def _score_again(self, image: Image.Image, row: Rows) -> float:
        """Return the score of a face in an enlarged square around it; 0 if it is not found there."""
        left, top, width, height = row[:4]
        side = max(round(AGAIN_SIZE * max(width, height)), 1)
        left, top = round(left + width / 2 - side / 2), round(top + height / 2 - side / 2)
        square = _resized(image.crop((left, top, left + side, top + side)), AGAIN_PX)
        rows = _moved(self._run(square, side / AGAIN_PX), left, top)
        return float(rows[iou(row, rows) > AGAIN_IOU, 4].max(initial=0))

    def _run(self, image: Image.Image, scale: float) -> Rows:
        """Run the network on an RGB image, and multiply what is in pixels by ``scale``. The best score comes first."""
        rows: Rows = self._session.run(None, {"pixels": np.asarray(image.convert("RGBA"))})[0].astype(np.float64)
        rows[:, PIXELS] *= scale
        return rows


def _moved(rows: Rows, left: float, top: float) -> Rows:
    rows[:, [0, *PIXELS[4::2]]] += left
    rows[:, [1, *PIXELS[5::2]]] += top
    return rows


def _resized(image: Image.Image, longer_px: int) -> Image.Image:
    """Return a copy with this longer side: averaged over whole pixels, then with a triangle filter."""
    scale = longer_px / max(image.size)
    size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=1.0)


def _face(row: Rows) -> Face:
    left, top, width, height, score, *points = row.tolist()
    return Face(
        Box(round(left), round(top), max(round(width), 1), max(round(height), 1)),
        score=score,
        landmarks=dict(zip(LANDMARKS, zip(points[::2], points[1::2], strict=True), strict=True)),
    )


def _session(path: Path) -> Any:
    stay_offline()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = THREADS
    # Threads that spin while they wait would take cores from the classifier.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError as error:
        reason = error.strerror or str(error)
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class below Exception
        reason = str(error).splitlines()[0][:120]
    raise ModelError(f"The face detector {path} cannot be read: {reason}. Install mien again.", code="detector-damaged")
