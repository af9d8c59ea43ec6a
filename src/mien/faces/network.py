"""mien's face detector: a small network proposes faces, a second network checks each proposal.

    image ──copies of several sizes and tilts──► proposals ──merged──► squares ──checked twice──► faces

The first network is face-api's tiny face detector, the second the last two stages of MTCNN (networks/licences.txt). The
browser page and the npm package use the same two files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.errors import ModelError
from mien.base.model_file import stay_offline
from mien.faces.crop import brightened
from mien.faces.face import (
    Box,
    Boxes,
    Face,
    Margin,
    Region,
    largest_first,
    merge_agreeing,
    regions_around,
    suppress_overlaps,
)

Pixels = npt.NDArray[np.uint8]
Area = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels of an image."""
FOLDER: Path = Path(__file__).parent / "networks"
PROPOSALS, CHECK = "proposals.onnx", "check.onnx"

FIRST_PX = 320
CLOSER = ((640, 0.005), (1280, 0.006))
"""Longer sides of further, larger copies, each with a hint: a score. A larger copy is searched only where the smallest
anchor of the previous copy had this score or more. The first copy is always searched everywhere. These constants were
chosen on the photographs of docs/lab-notebook.md; smaller searches miss faces."""

LARGEST_PX = CLOSER[-1][0]
MIN_STEP = 1.25
"""A larger copy is skipped unless it is at least this many times the size of the previous one."""

TILTED_PX, TILTS = 416, (30, -30)
"""Longer side in pixels, and rotations in degrees, of the copies in which tilted faces are proposed."""

SURE, LARGE = 0.6, 0.15
"""The second copy is searched everywhere, unless the first one has a face with this score and this fraction of the
image's longer side."""

SEEN = 0.5
"""Cells of a proposal with this score are not searched again in a larger copy."""

TILTED_HINT = 0.02
"""A tilted copy is searched where any anchor of the first copy scored more than this, except where an upright face with
the merged score :data:`KNOWN` was found."""

KNOWN = 0.9

MAX_ENLARGED = 2
"""A small image is enlarged at most this many times."""

CLOSE_UP_PX, CLOSE_UP_BORDER = (96, 128, 192, 256), 1 / 3
CLOSE_UP_SCORE = 0.7
"""If no face was found, a face that fills the image is searched. Copies of these longer sides are made, with the image
mirrored around it by CLOSE_UP_BORDER of its longer side. CLOSE_UP_SCORE is the lowest score."""

MIN_PROPOSAL = 0.06
"""Lowest score of a proposal by the first network."""

MAX_PROPOSALS = 1000
"""Largest number of proposals that are checked, the best first. This limits the time for crowds and textures."""

AGREEING_IOU = 0.4
NMS_IOU = 0.3
MAX_LOG_ODDS = 4.0
MIN_SCORE = 0.45
"""Lowest score of a face, chosen on 117 photographs with 262 faces: docs/lab-notebook.md."""

MIN_FIRST_SCORE = 0.02
"""Proposals with a lower score in the first check are not checked a second time."""

THREADS = 2

CELL_PX = 32
ANCHORS = ((1.603231, 2.094468), (6.041143, 7.080126), (2.882459, 3.518061), (4.266906, 5.178857), (9.041765, 10.66308))
"""Width and height in cells of the five anchors of each cell, as in web/src/faces/anchors.ts."""

FRAMING = (0.76, 1.01, -0.112)
"""Width, height and downward shift that turn a proposal into the box that the check expects, as fractions of the
proposal's side: medians over the development photographs."""

CHECK_PX = 48
BATCH = 64

LANDMARKS: tuple[str, ...] = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")


class NetworkDetector:
    """Detector for frontal, profile and tilted faces, also in crowds. The score is 0..1, not calibrated.

    Raises ModelError if :data:`PROPOSALS` or :data:`CHECK` is missing or damaged (``detector-damaged``).
    """

    name: str = "TinyFace + MTCNN"
    # With this margin, boxes and landmarks give the same median size on photographs (docs/lab-notebook.md).
    margin: Margin = Margin(size=0.975, down=0.0)
    score_range: tuple[float, float] = (MIN_SCORE, 1.0)

    def __init__(self, folder: Path = FOLDER) -> None:
        self._proposals, self._check = (_session(folder / file) for file in (PROPOSALS, CHECK))

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Detect faces in an image uint8 (H, W, 3), with five landmarks each, the largest first."""
        image = Image.fromarray(brightened(rgb))
        if max(image.size) > LARGEST_PX:
            image = _resized(image, _fitted(image, LARGEST_PX))
        scale = np.array(rgb.shape[1::-1]) / image.size
        found, landmarks = self.search(image)
        return largest_first([_face(row, points, scale) for row, points in zip(found, landmarks, strict=True)])

    def search(self, image: Image.Image) -> tuple[Boxes, npt.NDArray[np.float64]]:
        """Find boxes and scores, float64 (N, 5), and landmarks (N, 5, 2), in pixels of an RGB image."""
        longer = max(image.size)
        first = before = self._look(image, min(FIRST_PX, MAX_ENLARGED * longer))
        sure = first.boxes[first.boxes[:, 4] >= SURE]
        large = sure[np.sqrt(sure[:, 2] * sure[:, 3]) >= LARGE * longer]
        looks = [first]
        for side, hint in CLOSER:
            if MIN_STEP * before.side >= MAX_ENLARGED * longer:
                break
            areas = None
            if len(large) or before is not first:
                seen = np.concatenate([large, before.boxes[before.boxes[:, 4] >= SEEN]])
                areas = before.areas((before.scores[0] > hint) & ~before.covered(seen))
            before = self._look(image, min(side, MAX_ENLARGED * longer), areas)
            looks.append(before)
        upright = merge_agreeing([look.boxes for look in looks], AGREEING_IOU)
        known = np.concatenate([large, upright[upright[:, 4] >= KNOWN]])
        areas = first.areas((first.scores.max(axis=0) > TILTED_HINT) & ~first.covered(known))
        proposals = [look.boxes for look in looks] + [self._look_tilted(image, areas, degrees) for degrees in TILTS]
        found, landmarks = self._checked(image, proposals, MIN_SCORE)
        return (found, landmarks) if len(found) else self._close_up(image)

    def _look(self, image: Image.Image, side: int, areas: Sequence[Area] | None = None) -> _Look:
        """Propose faces in a copy with this longer side: everywhere, or in areas given in pixels of the image."""
        size = _fitted(image, side)
        columns, rows = (-(-length // CELL_PX) for length in size)
        cell_px = CELL_PX * max(image.size) / side
        cells = [(0, 0, columns, rows)] if areas is None else [_whole(area, cell_px, columns, rows) for area in areas]
        scores, boxes = np.zeros((len(ANCHORS), rows, columns)), [np.empty((0, 5))]
        for left, top, right, bottom in cells:
            edges = (left * CELL_PX, top * CELL_PX, min(right * CELL_PX, size[0]), min(bottom * CELL_PX, size[1]))
            found, scores[:, top:bottom, left:right] = self._propose(_part(image, size, edges))
            found[:, :2] += (left * CELL_PX, top * CELL_PX)
            found[:, :4] *= cell_px / CELL_PX
            boxes.append(found)
        return _Look(side, cell_px, np.concatenate(boxes), scores)

    def _look_tilted(self, image: Image.Image, areas: Sequence[Area], degrees: float) -> Boxes:
        """Propose faces in areas of the image after rotating them; the boxes are in pixels of the upright image."""
        side = min(TILTED_PX, MAX_ENLARGED * max(image.size))
        copy, scale = _fitted(image, side), side / max(image.size)
        angle = np.deg2rad(degrees)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        found = [np.empty((0, 5))]
        for area in areas:
            left, top, right, bottom = (round(edge * scale) for edge in area)
            part = _part(image, copy, (left, top, min(right, copy[0]), min(bottom, copy[1])))
            turned = np.ceil(np.abs(turn) @ part.size).astype(int)
            # Map positions in the rotated part back to the part.
            back = np.column_stack([turn.T, np.array(part.size) / 2 - turn.T @ turned / 2])
            rotated = part.transform(
                tuple(turned.tolist()), Image.Transform.AFFINE, back.ravel().tolist(), Image.Resampling.BILINEAR
            )
            boxes, _ = self._propose(rotated)
            middles = (boxes[:, :2] + boxes[:, 2:4] / 2 - turned / 2) @ turn + np.array(part.size) / 2
            boxes[:, :2] = middles - boxes[:, 2:4] / 2 + (left, top)
            boxes[:, :4] /= scale
            found.append(boxes)
        return np.concatenate(found)

    def _close_up(self, image: Image.Image) -> tuple[Boxes, npt.NDArray[np.float64]]:
        """Find faces that fill the image, in small copies with mirrored borders. Returns the same as :meth:`search`."""
        longer = max(image.size)
        small = _resized(image, _fitted(image, min(FIRST_PX, MAX_ENLARGED * longer)))
        border = round(CLOSE_UP_BORDER * max(small.size))
        around = ((border, border), (border, border), (0, 0))
        padded = Image.fromarray(np.pad(np.asarray(small), around, mode="symmetric"))
        looks = [self._look(padded, side).boxes for side in CLOSE_UP_PX]
        found, landmarks = self._checked(padded, looks, CLOSE_UP_SCORE)
        scale = longer / max(small.size)
        found[:, :2] -= border
        found[:, :4] *= scale
        return found, (landmarks - border) * scale

    def _propose(self, image: Image.Image) -> tuple[Boxes, npt.NDArray[np.float64]]:
        """Run the first network on an RGB image.

        Returns left, top, width, height and score, float64 (N, 5); and the score of each anchor in each cell, float64
        (anchors, rows, columns).
        """
        right, below = (-length % CELL_PX for length in image.size)
        pixels = np.pad(np.asarray(image.convert("RGBA")), ((0, below), (0, right), (0, 0)), mode="edge")
        (cells,) = self._proposals.run(None, {"pixels": pixels})
        cells = cells.reshape(len(ANCHORS), 5, *cells.shape[2:]).astype(np.float64)
        scores = _sigmoid(cells[:, 4])
        anchor, row, column = np.nonzero(scores > MIN_PROPOSAL)
        across, down, wide, high = cells[anchor, :4, row, column].T
        size = np.exp(np.stack([wide, high], axis=1)) * np.array(ANCHORS)[anchor] * CELL_PX
        middle = (np.stack([column, row], axis=1) + _sigmoid(np.stack([across, down], axis=1))) * CELL_PX
        return np.concatenate([middle - size / 2, size, scores[anchor, row, column, np.newaxis]], axis=1), scores

    def _checked(
        self, image: Image.Image, looks: list[Boxes], min_score: float
    ) -> tuple[Boxes, npt.NDArray[np.float64]]:
        """Check the proposals of all passes with the second network; return the accepted boxes and their landmarks."""
        merged = merge_agreeing(looks, AGREEING_IOU)[:MAX_PROPOSALS]
        width, height, down = FRAMING
        size = merged[:, 2:4] * (width, height)
        middle = merged[:, :2] + merged[:, 2:4] * (0.5, 0.5 + down)
        squares = _squares(np.concatenate([middle - size / 2, size], axis=1))
        checked = self._run_check(image, squares)
        likely = _score(merged[:, 4], checked) > MIN_FIRST_SCORE
        proposed, boxes = merged[likely, 4], _regressed(squares, checked)[likely]
        squares = _squares(boxes)
        checked = self._run_check(image, squares)
        # Crops from the mean of both boxes give better predictions than those from the second box (by 0.002 nats).
        boxes = (boxes + _regressed(squares, checked)) / 2
        found = np.concatenate([boxes, _score(proposed, checked)[:, np.newaxis]], axis=1)
        points = checked[:, 6:].reshape(-1, 2, 5).swapaxes(1, 2)
        landmarks = squares[:, np.newaxis, :2] + points * squares[:, np.newaxis, 2:]
        kept = suppress_overlaps(found, NMS_IOU)
        kept = kept[found[kept, 4] >= min_score]
        return found[kept], landmarks[kept]

    def _run_check(self, image: Image.Image, squares: Boxes) -> npt.NDArray[np.float64]:
        """Run the second network: (N, 4) squares -> float64 (N, 16), see networks/licences.txt."""
        crops = [_crop(image, square) for square in squares]
        outputs = [
            self._check.run(None, {"pixels": np.stack(crops[start : start + BATCH])})[0]
            for start in range(0, len(crops), BATCH)
        ]
        return np.concatenate([np.empty((0, 16)), *outputs])


@dataclass(frozen=True)
class _Look:
    """Proposals in one rescaled copy of an image.

    Attributes:
        side: longer side of the copy, in pixels.
        cell_px: side of a cell, in pixels of the image.
        boxes: proposals in pixels of the image, with scores: (N, 5).
        scores: score of each anchor in each cell, (anchors, rows, columns); 0 where the copy was not searched.
    """

    side: int
    cell_px: float
    boxes: Boxes
    scores: npt.NDArray[np.float64]

    def areas(self, hints: npt.NDArray[np.bool_]) -> list[Area]:
        """Return rectangles around cells (rows, columns), in pixels of the image."""
        px = self.cell_px
        return [(px * left, px * top, px * right, px * bottom) for left, top, right, bottom in regions_around(hints, 1)]

    def covered(self, boxes: Boxes) -> npt.NDArray[np.bool_]:
        """Return the mask of cells (rows, columns) that a box touches."""
        touched = np.zeros(self.scores.shape[1:], dtype=bool)
        low = np.maximum(np.floor(boxes[:, :2] / self.cell_px), 0).astype(int)
        high = np.maximum(np.ceil((boxes[:, :2] + boxes[:, 2:4]) / self.cell_px), 0).astype(int)
        for (left, top), (right, bottom) in zip(low, high, strict=True):
            touched[top:bottom, left:right] = True
        return touched


def _score(proposed: npt.NDArray[np.float64], checked: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Combine the scores of both networks into one score, 0..1. Clipping keeps a score from deciding alone."""
    return _sigmoid((np.clip(checked[:, :2], -MAX_LOG_ODDS, MAX_LOG_ODDS).sum(axis=1) + 2 * np.log(proposed)) / 2)


def _crop(image: Image.Image, square: npt.NDArray[np.float64]) -> Pixels:
    """Cut out a square and resize it to 48 x 48 pixels; black outside the image."""
    left, top = round(square[0]), round(square[1])
    side = max(round(square[2]), 1)
    return np.asarray(_resized(image.crop((left, top, left + side, top + side)), (CHECK_PX, CHECK_PX)))


def _fitted(image: Image.Image, side: int) -> tuple[int, int]:
    """Return width and height of a copy whose longer side is ``side`` pixels."""
    scale = side / max(image.size)
    return max(round(image.width * scale), 1), max(round(image.height * scale), 1)


def _part(image: Image.Image, size: tuple[int, int], edges: tuple[int, int, int, int]) -> Image.Image:
    """Compute the part of a rescaled copy between left, top, right and bottom, without the rest of the copy."""
    left, top, right, bottom = edges
    across, down = image.width / size[0], image.height / size[1]
    return _resized(image, (right - left, bottom - top), (left * across, top * down, right * across, bottom * down))


def _resized(image: Image.Image, size: tuple[int, int], box: Area | None = None) -> Image.Image:
    """Resize an image, or a box of it: averaged over whole pixels, then with a triangle filter."""
    return image.resize(size, Image.Resampling.BILINEAR, box, reducing_gap=1.0)


def _whole(area: Area, cell_px: float, columns: int, rows: int) -> Region:
    """Return the region of whole cells that an area in pixels of the image touches."""
    left, top, right, bottom = (edge / cell_px for edge in area)
    return math.floor(left), math.floor(top), min(math.ceil(right), columns), min(math.ceil(bottom), rows)


def _squares(boxes: Boxes) -> Boxes:
    side = boxes[:, 2:4].max(axis=1, keepdims=True)
    return np.concatenate([boxes[:, :2] + boxes[:, 2:4] / 2 - side / 2, side, side], axis=1)


def _regressed(squares: Boxes, checked: npt.NDArray[np.float64]) -> Boxes:
    """Compute boxes from the check's output for these squares."""
    near, far = checked[:, 2:4] * squares[:, 2:4], checked[:, 4:6] * squares[:, 2:4]
    return np.concatenate([squares[:, :2] + near, np.maximum(squares[:, 2:4] + far - near, 1)], axis=1)


def _face(row: npt.NDArray[np.float64], points: npt.NDArray[np.float64], scale: npt.NDArray[np.float64]) -> Face:
    left, top, width, height = row[:4] * (*scale, *scale)
    return Face(
        Box(round(left), round(top), max(round(width), 1), max(round(height), 1)),
        score=float(row[4]),
        landmarks={name: (float(x), float(y)) for name, (x, y) in zip(LANDMARKS, points * scale, strict=True)},
    )


def _sigmoid(odds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-odds)))


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
