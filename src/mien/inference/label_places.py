"""Where labels go, so that they cover neither faces nor one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.faces.face import Box


@dataclass(frozen=True)
class Place:
    """Where a label is drawn.

    Attributes:
        form: which of its forms, from 0.
        box: its rectangle, in pixels.
        covered_px: pixels of faces and other labels that it covers.
    """

    form: int
    box: Box
    covered_px: int = 0


def place_labels(
    size: tuple[int, int], faces: Sequence[Box], forms: Sequence[Sequence[tuple[int, int]]]
) -> list[Place]:
    """Place a label beside each face, inside the image.

    The first form that fits anywhere beside its face is taken: above, below or at a side, where it covers no face and
    no other label. Where no form fits, the last one is placed where it covers least.

    Args:
        size: width and height of the image.
        faces: N boxes.
        forms: for each face the width and height of its label, the longest form first; at least one.
    """
    taken = np.array([(face.left, face.top, face.width, face.height) for face in faces]).reshape(-1, 4)
    places = []
    for index, sizes in enumerate(forms):
        options = [_beside(size, faces[index], each) for each in sizes]
        covered = [_covered(each, taken) for each in options]
        form = next((number for number, each in enumerate(covered) if not each.min()), len(sizes) - 1)
        best = covered[form].argmin()
        left, top, width, height = options[form][best].tolist()
        places.append(Place(form, Box(left, top, width, height), int(covered[form][best])))
        taken = np.concatenate([taken, [[left, top, width, height]]])
    return places


def _beside(size: tuple[int, int], face: Box, label: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Rectangles (K, 4) of a label beside a face, the best first, moved into the image."""
    width, height = label
    right, below = face.left + face.width, face.top + face.height
    lefts = (face.left, right - width, face.left + (face.width - width) // 2)
    tops = (face.top, below - height, face.top + (face.height - height) // 2)
    corners = [
        *((left, face.top - height) for left in lefts),
        *((left, below) for left in lefts),
        *((right, top) for top in tops),
        *((face.left - width, top) for top in tops),
        (face.left, face.top),
    ]
    moved = np.clip(corners, 0, np.maximum(np.array(size) - label, 0))
    return np.concatenate([moved, np.broadcast_to(label, moved.shape)], axis=1)


def _covered(labels: npt.NDArray[np.int64], taken: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many pixels of the taken rectangles (N, 4) each label (K, 4) covers: int64 (K,)."""
    low = np.maximum(labels[:, np.newaxis, :2], taken[:, :2])
    high = np.minimum((labels[:, :2] + labels[:, 2:])[:, np.newaxis], taken[:, :2] + taken[:, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2).sum(axis=1))
