"""Test-time views: a face is shown several times, moved a little and mirrored, and the answers are averaged."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.inference.classifier import BATCH, Classifier

VIEWS = (1, 2, 10)
"""As it is; with its mirror image; the centre and four corners, each mirrored too (Krizhevsky et al. 2012, 4.1)."""

SHIFT = 1 / 24
"""How far a corner's view is moved, as a share of the side: 2 of 48 pixels. Beyond the border its pixels repeat."""

_MOVES = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


def check_views(views: int) -> None:
    """Raise :class:`DataError` for a number of views that is not one of :data:`VIEWS`."""
    if views not in VIEWS:
        raise DataError(f"A face is shown in {', '.join(map(str, VIEWS[:-1]))} or {VIEWS[-1]} views; found {views}.")


def views_in_words(views: int) -> str:
    """How scores over views note them; one view needs no words."""
    return "" if views == 1 else f"the mean over {views} views of each face"


def views_of(images: npt.NDArray[np.uint8], views: int) -> Iterator[npt.NDArray[np.uint8]]:
    """The same faces in each view, the plain one first. uint8 (N, S, S) -> ``views`` times uint8 (N, S, S).

    Raises:
        DataError: ``views`` is not one of :data:`VIEWS`.
    """
    check_views(views)
    side = images.shape[1]
    step = max(round(SHIFT * side), 1)
    padded = np.pad(images, ((0, 0), (step, step), (step, step)), mode="edge")
    for down, right in _MOVES[: max(views // 2, 1)]:
        top, left = step * (1 + down), step * (1 + right)
        moved = padded[:, top : top + side, left : left + side]
        yield moved
        if views > 1:
            yield moved[:, :, ::-1]


def probabilities_over_views(
    classifier: Classifier, images: npt.NDArray[np.uint8], views: int, temperature: float | None = None
) -> npt.NDArray[np.float64]:
    """Mean probabilities of each face over its views, a batch of faces at a time.

    Args:
        classifier: the model.
        images: uint8 (N, S, S), grey squares of the model's size.
        views: one of :data:`VIEWS`.
        temperature: as in :meth:`Classifier.probabilities`, of each view.

    Returns:
        float64 (N, C), each row sums to 1.

    Raises:
        DataError: images of another shape, or a number of views that there is not.
    """
    check_views(views)
    if views == 1:
        return classifier.probabilities(images, temperature)
    mean = np.zeros((len(images), len(classifier.classes)))
    for first in range(0, len(images), BATCH):
        some = slice(first, first + BATCH)
        for view in views_of(images[some], views):
            mean[some] += classifier.probabilities(view, temperature) / views
    return mean
