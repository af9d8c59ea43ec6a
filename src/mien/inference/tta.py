"""Test-time augmentation: average probabilities over shifted and mirrored copies of each face crop."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.progress import slices
from mien.inference.onnx_classifier import BATCH

VIEWS: dict[int, tuple[int, bool]] = {1: (1, False), 2: (1, True), 5: (5, False), 10: (5, True)}
"""Positions, and whether each is mirrored too, by number of views: 1, the crop; 2, also its mirror image; 5, centre and
corners; 10, those also mirrored (Krizhevsky et al. 2012, 4.1)."""

SHIFT = 1 / 24
"""Shift of a corner view as a fraction of the side; 2 of 48 pixels. Border pixels are repeated."""

_SHIFTS = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


def check_tta(views: int, mirrored: bool = True) -> None:
    """Raise :class:`DataError` (``tta-views``) unless the number of views is in :data:`VIEWS`.

    Without ``mirrored``, the model was trained on faces as they are: views with mirror images are refused too.
    """
    if views not in VIEWS:
        *first, last = map(str, VIEWS)
        known = f"{', '.join(first)} or {last}"
        raise DataError(f"Test-time augmentation has {known} views; found {views}.", code="tta-views")
    if VIEWS[views][1] and not mirrored:
        words = "The model was trained without mirrored faces, which this test-time augmentation averages."
        raise DataError(f"{words} Use 1 or 5 views.", code="tta-views")


_NOTE = "the mean over {} views of each face"


def views_note(views: int) -> str:
    """Return the note of predictions over several views; ``""`` for one."""
    return "" if views == 1 else _NOTE.format(views)


def noted_views(note: str) -> int:
    """Return the number of views that :func:`views_note` named; 1 for any other note."""
    return next((views for views in VIEWS if _NOTE.format(views) in note), 1)


def augmented_views(images: npt.NDArray[np.uint8], views: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the face crops in each view, the original first. uint8 (N, S, S[, 3]) -> ``views`` times the same shape."""
    side = images.shape[1]
    step = max(round(SHIFT * side), 1)
    padded = np.pad(images, [(0, 0), (step, step), (step, step), (0, 0)][: images.ndim], mode="edge")
    positions, mirrored = VIEWS[views]
    for down, right in _SHIFTS[:positions]:
        top, left = step * (1 + down), step * (1 + right)
        shifted = padded[:, top : top + side, left : left + side]
        yield shifted
        if mirrored:
            yield shifted[:, :, ::-1]


def mean_over_views(
    predict: Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float64]], images: npt.NDArray[np.uint8], views: int
) -> npt.NDArray[np.float64]:
    """Average the results of ``predict``, float64 (N, K), over the views of each face crop, in batches.

    Raises as :func:`check_tta`.
    """
    check_tta(views)
    if views == 1 or not len(images):
        return predict(images)
    parts = [images[part] for part in slices(len(images), BATCH)]
    return np.concatenate([sum(predict(view) / views for view in augmented_views(part, views)) for part in parts])
