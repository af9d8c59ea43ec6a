"""Test-time augmentation: average probabilities over shifted and mirrored copies of each face crop."""

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.progress import slices
from mien.inference.onnx_classifier import BATCH

VIEWS: tuple[int, ...] = (1, 2, 10)
"""Numbers of views: 1, the crop; 2, also its mirror image; 10, centre and corners, also mirrored (Krizhevsky et al.
2012, 4.1)."""

SHIFT = 1 / 24
"""Shift of a corner view as a fraction of the side; 2 of 48 pixels. Border pixels are repeated."""

_SHIFTS = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


def check_tta(views: int) -> None:
    """Raise :class:`DataError` (``tta-views``) unless the number of views is in :data:`VIEWS`."""
    if views not in VIEWS:
        known = f"{', '.join(map(str, VIEWS[:-1]))} or {VIEWS[-1]}"
        raise DataError(f"Test-time augmentation has {known} views; found {views}.", code="tta-views")


_NOTE = "the mean over {} views of each face"


def views_note(views: int) -> str:
    """Return the note of predictions over several views; ``""`` for one."""
    return "" if views == 1 else _NOTE.format(views)


def noted_views(note: str) -> int:
    """Return the number of views that :func:`views_note` named; 1 for any other note."""
    return next((views for views in VIEWS[1:] if _NOTE.format(views) in note), 1)


def augmented_views(images: npt.NDArray[np.uint8], views: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the face crops in each view, the original first. uint8 (N, S, S[, 3]) -> ``views`` times the same shape."""
    side = images.shape[1]
    step = max(round(SHIFT * side), 1)
    padded = np.pad(images, [(0, 0), (step, step), (step, step), (0, 0)][: images.ndim], mode="edge")
    for down, right in _SHIFTS[: max(views // 2, 1)]:
        top, left = step * (1 + down), step * (1 + right)
        shifted = padded[:, top : top + side, left : left + side]
        yield shifted
        if views > 1:
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
