"""The detector that comes with mien: a small network proposes faces, another checks each proposal.

    image ──looks at several sizes and tilts──► proposals ──merged──► squares ──checked twice──► faces

The first is face-api's tiny face detector (web/scripts/make_detector.py). The second are the last two stages of MTCNN
(web/scripts/make_face_check.py). `make web` writes both files; onnxruntime runs them. The browser page has them too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.artifact import stay_offline
from mien.errors import ModelError
from mien.faces.boxes import Boxes, Region, merge_agreeing, regions_around, suppress_overlaps
from mien.faces.crop import brightened
from mien.faces.face import Box, Face, Margin, largest_first
from mien.faces.yunet import LANDMARKS

if TYPE_CHECKING:
    from PIL.Image import Image

FOLDER: Path = Path(__file__).parent / "networks"
PROPOSALS, CHECK = "proposals.onnx", "check.onnx"

LOOKS: tuple[tuple[int, int], ...] = ((320, 0), (640, 0), (1280, 0), (416, 30), (416, -30))
"""Longer side in pixels, and degrees of rotation, of the copies of the image in which faces are proposed. Chosen on
the photographs of docs/lab-notebook.md."""

COARSE_PX = 640
MIN_HINT = 0.005
"""A copy that is larger than this is looked at where the copy before gives its smallest anchor at least this score: on
the same photographs, two fifths of it, and no face fewer."""

MAX_ENLARGED = 2.0
"""A small image is not enlarged more than this."""

CLOSE_UP = (224, 64)
"""Where nothing is found: the image's side with a border of so many pixels, so that a face that fills it fits in."""

MIN_PROPOSAL = 0.1
"""Score from which the first network proposes a face."""

MAX_PROPOSALS = 1000
"""The best proposals that are checked: of a photo of a crowd, or of nothing but texture."""

AGREEING_IOU = 0.4
NMS_IOU = 0.3
MAX_LOG_ODDS = 4.0
MIN_SCORE = 0.45
"""Chosen on 117 photographs of 262 faces: docs/lab-notebook.md."""

THREADS = 2

CELL_PX = 32
ANCHORS = ((1.603231, 2.094468), (6.041143, 7.080126), (2.882459, 3.518061), (4.266906, 5.178857), (9.041765, 10.66308))
"""As in web/src/faces/anchors.ts: width and height in cells of the five anchors of each cell."""

FRAMING = (0.76, 1.01, -0.112)
"""Width, height and shift down that turn a proposal into a box as the check expects it, in sides of the proposal: the
medians over matched boxes of the development photographs."""

CHECK_PX = 48
BATCH = 64


def network_files(folder: Path = FOLDER) -> tuple[Path, ...]:
    """Paths of the two networks, whether they are there or not."""
    return folder / PROPOSALS, folder / CHECK


class NetworkDetector:
    """Detects faces from the front and from the side, tilted, and in crowds. The score is 0..1, not calibrated.

    Args:
        folder: where :data:`PROPOSALS` and :data:`CHECK` are.

    Raises:
        ModelError: a file that is missing or damaged (``detector-damaged``).
    """

    name: str = "TinyFace + MTCNN"
    # The own margin of FER2013 images around the boxes found in them, median of 37: 1.055 and -0.010. The margin that a
    # model reads best: MIEN_DETECTOR=network python benchmarks/margin.py --data PATH.
    margin: Margin = Margin(size=1.05, down=0.0)
    score_range: tuple[float, float] = (MIN_SCORE, 1.0)

    def __init__(self, folder: Path = FOLDER) -> None:
        self._proposals, self._check = (_session(file) for file in network_files(folder))

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Faces in an image uint8 (H, W, 3), with five landmarks each, the largest first."""
        from PIL import Image

        height, width = rgb.shape[:2]
        scale = min(max(side for side, _ in LOOKS) / max(height, width), MAX_ENLARGED)
        image = Image.fromarray(brightened(rgb))
        if scale < 1:
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
        across, down = width / image.width, height / image.height
        found, landmarks = self.search(image)
        return largest_first([_face(row, points, across, down) for row, points in zip(found, landmarks, strict=True)])

    def search(self, image: Image) -> tuple[Boxes, npt.NDArray[np.float64]]:
        """Boxes and scores, float64 (N, 5), and landmarks (N, 5, 2), in pixels of an image."""
        limit = round(MAX_ENLARGED * max(image.size))
        upright = sorted({min(side, limit) for side, tilt in LOOKS if not tilt})
        tilted = sorted({(min(side, limit), tilt) for side, tilt in LOOKS if tilt})
        proposals = self._look_closer(image, upright)
        copies = {side: _resized(image, side) for side, _ in tilted}
        for side, degrees in tilted:
            boxes = self._look_tilted(copies[side], degrees)
            boxes[:, :4] *= max(image.size) / side
            proposals.append(boxes)
        found, landmarks = self._checked(image, proposals)
        return (found, landmarks) if len(found) else self._checked(image, [self._close_up(image)])

    def _look_closer(self, image: Image, sides: list[int]) -> list[Boxes]:
        """Proposals in upright copies of rising size, float64 (N, 5) of each, in pixels of the image.

        Above :data:`COARSE_PX` only the parts in which the copy before has a hint of a small face are looked at.
        """
        looks, hints, before = [], np.empty((0, 0)), 0
        for side in sides:
            copy = _resized(image, side)
            if side <= COARSE_PX:
                boxes, hints = self._propose(copy)
                before = side
            else:
                areas = regions_around(hints > MIN_HINT, around=1)
                boxes = self._propose_in(copy, [_in_pixels(area, CELL_PX * side / before) for area in areas])
            boxes[:, :4] *= max(image.size) / side
            looks.append(boxes)
        return looks

    def _look_tilted(self, copy: Image, degrees: float) -> Boxes:
        """Proposals in a copy after it is rotated counterclockwise, in pixels of the copy as it was."""
        from PIL import Image as Pillow

        turned = copy.rotate(degrees, Pillow.Resampling.BILINEAR, expand=True)
        boxes, _ = self._propose(turned)
        # Pillow turns around the middle; this turns the boxes' middles back.
        angle = np.deg2rad(degrees)
        middles = boxes[:, :2] + boxes[:, 2:4] / 2 - np.array(turned.size) / 2
        back = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        boxes[:, :2] = middles @ back + np.array(copy.size) / 2 - boxes[:, 2:4] / 2
        return boxes

    def _close_up(self, image: Image) -> Boxes:
        """Proposals in a small copy of the image with its border pixels repeated around it."""
        from PIL import Image as Pillow

        side, border = CLOSE_UP
        small = np.asarray(_resized(image, side - 2 * border))
        padded = np.pad(small, ((border, border), (border, border), (0, 0)), mode="edge")
        boxes, _ = self._propose(Pillow.fromarray(padded))
        boxes[:, :2] -= border
        boxes[:, :4] *= max(image.size) / (side - 2 * border)
        return boxes

    def _propose_in(self, image: Image, areas: Sequence[Region]) -> Boxes:
        """Run the first network on parts of an image: float64 (N, 5), in pixels of the image."""
        found = [np.empty((0, 5))]
        for left, top, right, bottom in areas:
            boxes, _ = self._propose(image.crop((left, top, min(right, image.width), min(bottom, image.height))))
            boxes[:, :2] += (left, top)
            found.append(boxes)
        return np.concatenate(found)

    def _propose(self, image: Image) -> tuple[Boxes, npt.NDArray[np.float64]]:
        """Run the first network on an RGB image.

        Returns:
            Left, top, width, height and score, float64 (N, 5); and the score of the smallest anchor in each cell,
            float64 (rows, columns).
        """
        pixels = np.asarray(image.convert("RGBA"))
        below, right = -image.height % CELL_PX, -image.width % CELL_PX
        if below or right:
            pixels = np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge")
        (cells,) = self._proposals.run(None, {"pixels": pixels})
        cells = cells.reshape(len(ANCHORS), 5, *cells.shape[2:]).astype(np.float64)
        scores = _sigmoid(cells[:, 4])
        anchor, row, column = np.nonzero(scores > MIN_PROPOSAL)
        across, down, wide, high = cells[anchor, :4, row, column].T
        size = np.exp(np.stack([wide, high], axis=1)) * np.array(ANCHORS)[anchor] * CELL_PX
        middle = (np.stack([column, row], axis=1) + _sigmoid(np.stack([across, down], axis=1))) * CELL_PX
        boxes = np.concatenate([middle - size / 2, size, scores[anchor, row, column, np.newaxis]], axis=1)
        return boxes, scores[0]

    def _checked(self, image: Image, looks: list[Boxes]) -> tuple[Boxes, npt.NDArray[np.float64]]:
        """The proposals of all looks that the second network takes for faces, and their landmarks."""
        merged = merge_agreeing(looks, AGREEING_IOU)[:MAX_PROPOSALS]
        squares = _squares(_reframed(merged))
        boxes = _regressed(squares, self._run_check(image, squares))
        squares = _squares(boxes)
        checked = self._run_check(image, squares)
        found = np.concatenate([boxes, _score(merged[:, 4], checked)[:, np.newaxis]], axis=1)
        points = checked[:, 6:].reshape(-1, 2, 5).swapaxes(1, 2)
        landmarks = squares[:, np.newaxis, :2] + points * squares[:, np.newaxis, 2:]
        kept = suppress_overlaps(found, NMS_IOU)
        kept = kept[found[kept, 4] >= MIN_SCORE]
        return found[kept], landmarks[kept]

    def _run_check(self, image: Image, squares: Boxes) -> npt.NDArray[np.float64]:
        """Run the second network: (N, 4) squares -> float64 (N, 16), see web/scripts/make_face_check.py."""
        crops = [_crop(image, square) for square in squares]
        outputs = [
            self._check.run(None, {"pixels": np.stack(crops[start : start + BATCH])})[0]
            for start in range(0, len(crops), BATCH)
        ]
        return np.concatenate([np.empty((0, 16)), *outputs])


def _score(proposed: npt.NDArray[np.float64], checked: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """One score, 0..1, of what both networks say. The limits keep one stage from deciding alone."""
    odds = np.clip(checked[:, :2], -MAX_LOG_ODDS, MAX_LOG_ODDS).sum(axis=1) + 2 * np.log(proposed)
    return _sigmoid(odds / 2)


def _crop(image: Image, square: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """A square of an image in 48 x 48 pixels, black outside the image."""
    from PIL import Image as Pillow

    left, top, side = square[0], square[1], square[2]
    box = (round(left), round(top), max(round(left + side), round(left) + 1), max(round(top + side), round(top) + 1))
    return np.asarray(image.crop(box).resize((CHECK_PX, CHECK_PX), Pillow.Resampling.BILINEAR))


def _resized(image: Image, side: int) -> Image:
    """A copy with a longer side of ``side`` pixels."""
    from PIL import Image as Pillow

    scale = side / max(image.size)
    size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
    return image if size == image.size else image.resize(size, Pillow.Resampling.BILINEAR, reducing_gap=1.0)


def _in_pixels(area: Region, cell_px: float) -> Region:
    """A region in cells of a coarser look, in pixels; its sides are whole cells of this look."""
    left, top, right, bottom = (side * cell_px / CELL_PX for side in area)
    low, high = (math.floor(left), math.floor(top)), (math.ceil(right), math.ceil(bottom))
    return CELL_PX * low[0], CELL_PX * low[1], CELL_PX * high[0], CELL_PX * high[1]


def _reframed(proposals: Boxes) -> Boxes:
    width, height, down = FRAMING
    size = proposals[:, 2:4] * (width, height)
    middle = proposals[:, :2] + proposals[:, 2:4] * (0.5, 0.5 + down)
    return np.concatenate([middle - size / 2, size], axis=1)


def _squares(boxes: Boxes) -> Boxes:
    side = boxes[:, 2:4].max(axis=1, keepdims=True)
    return np.concatenate([boxes[:, :2] + boxes[:, 2:4] / 2 - side / 2, side, side], axis=1)


def _regressed(squares: Boxes, checked: npt.NDArray[np.float64]) -> Boxes:
    """Boxes from the check's output for these squares."""
    near, far = checked[:, 2:4] * squares[:, 2:4], checked[:, 4:6] * squares[:, 2:4]
    return np.concatenate([squares[:, :2] + near, np.maximum(squares[:, 2:4] + far - near, 1)], axis=1)


def _face(row: npt.NDArray[np.float64], points: npt.NDArray[np.float64], across: float, down: float) -> Face:
    left, top, width, height = row[:4] * (across, down, across, down)
    return Face(
        Box(round(left), round(top), max(round(width), 1), max(round(height), 1)),
        score=float(row[4]),
        landmarks={name: (float(x * across), float(y * down)) for name, (x, y) in zip(LANDMARKS, points, strict=True)},
    )


def _sigmoid(odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-odds)))


def _session(path: Path) -> Any:
    stay_offline()
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = THREADS
    # Threads that wait for work would take cores from the classifier.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), options, providers=["CPUExecutionProvider"])
    except OSError as error:
        reason = error.strerror or str(error)
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class below Exception
        reason = str(error).splitlines()[0][:120]
    raise ModelError(f"The face detector {path} cannot be read: {reason}. Install mien again.", code="detector-damaged")
