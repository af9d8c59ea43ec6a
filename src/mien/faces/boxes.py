"""Operations on boxes: merge those of several passes, suppress overlaps, find regions around True cells of a mask."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[np.float64]
"""Left, top, width and height of N boxes, optionally with a score: (N, 4 or 5)."""

NESTED = 0.7
"""Boxes are of one face if their overlap covers more than this fraction of the smaller box, even if their IoU is low.
"""


def merge_agreeing(looks: Sequence[Boxes], min_iou: float) -> Boxes:
    """Merge boxes that overlap between detection passes; the best score comes first.

    A merged box is the mean of its boxes, weighted by their squared scores. Its score is the sum of the best score in
    each pass. A real face is found in several passes, a false one usually in only one.

    Args:
        looks: boxes of each pass over one image: left, top, width, height and score, float64 (N, 5).
        min_iou: a box joins the best remaining box if their IoU is higher than this.
    """
    boxes = np.concatenate([np.empty((0, 5)), *looks])
    look = np.repeat(np.arange(len(looks)), [len(each) for each in looks])
    order = np.argsort(-boxes[:, 4], kind="stable")
    boxes, look = boxes[order], look[order]
    merged = []
    while len(boxes):
        near = iou(boxes[0], boxes) > min_iou
        near[0] = True
        group, weights = boxes[near], boxes[near, 4] ** 2
        # The first box of a pass is its best one.
        first = np.unique(look[near], return_index=True)[1]
        merged.append([*(group[:, :4] * weights[:, np.newaxis]).sum(axis=0) / weights.sum(), group[first, 4].sum()])
        boxes, look = boxes[~near], look[~near]
    result = np.array(merged).reshape(-1, 5)
    return result[np.argsort(-result[:, 4], kind="stable")]


def suppress_overlaps(boxes: Boxes, max_iou: float) -> npt.NDArray[np.intp]:
    """Non-maximum suppression: return indices of the boxes (N, 5) to keep, best score first.

    A box also overlaps another if more than :data:`NESTED` of one lies in the other.
    """
    order, kept = np.argsort(-boxes[:, 4], kind="stable"), []
    while len(order):
        best, others = boxes[order[0]], boxes[order[1:]]
        kept.append(order[0])
        smaller = np.minimum(best[2:4].prod(), others[:, 2:4].prod(axis=1))
        order = order[1:][(iou(best, others) <= max_iou) & (_shared(best, others) <= NESTED * smaller)]
    return np.array(kept, dtype=np.intp)


def iou(box: npt.NDArray[np.float64], boxes: Boxes) -> npt.NDArray[np.float64]:
    """Compute the intersection over union of one box with each of (N, 4 or more): float64 (N,)."""
    shared = _shared(box, boxes)
    return np.asarray(shared / (box[2:4].prod() + boxes[:, 2:4].prod(axis=1) - shared))


def _shared(box: npt.NDArray[np.float64], boxes: Boxes) -> npt.NDArray[np.float64]:
    """Compute the area that one box shares with each of the others: float64 (N,)."""
    low = np.maximum(box[:2], boxes[:, :2])
    high = np.minimum(box[:2] + box[2:4], boxes[:, :2] + boxes[:, 2:4])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=1))


Region = tuple[int, int, int, int]
"""Left, top, right and bottom in cells; right and bottom are exclusive."""

MOSTLY = 0.8
"""If the regions cover more of the image than this, they become one, because the border of each region also costs time.
"""


def regions_around(mask: npt.NDArray[np.bool_], around: int) -> list[Region]:
    """Return disjoint rectangles around the True cells of a mask (rows, columns), enlarged by ``around`` cells.

    They lie inside the mask. If they cover most of it, one rectangle covers the whole mask; an empty mask has none.
    """
    rows, columns = mask.shape
    merged = np.empty((0, 4), dtype=np.int64)
    for row, column in np.argwhere(mask):
        new = np.array([column - around, row - around, column + around + 1, row + around + 1])
        while True:
            # A rectangle that has grown may touch further ones.
            touched = (merged[:, :2] <= new[2:]).all(axis=1) & (merged[:, 2:] >= new[:2]).all(axis=1)
            if not touched.any():
                break
            new[:2] = np.minimum(new[:2], merged[touched, :2].min(axis=0))
            new[2:] = np.maximum(new[2:], merged[touched, 2:].max(axis=0))
            merged = merged[~touched]
        merged = np.concatenate([merged, new[np.newaxis]])
    inside = np.clip(merged, 0, (columns, rows, columns, rows))
    if (inside[:, 2:] - inside[:, :2]).prod(axis=1).sum() > MOSTLY * mask.size:
        return [(0, 0, columns, rows)]
    return [(int(left), int(top), int(right), int(bottom)) for left, top, right, bottom in inside]
