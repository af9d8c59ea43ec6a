"""A sheet of faces. It holds the pixels themselves: think before passing it on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.report.svg import Drawing, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACE_INCHES = 0.85
"""Room of a face with its gap; FER2013's 48 px are then enlarged by half."""

_GAP = 0.08
"""Share of that room."""


def face_sheet(
    images: Sequence[npt.NDArray[Any]] | npt.NDArray[np.uint8],
    words: Sequence[str] = (),
    *,
    columns: int = 8,
    name: str = "faces",
) -> Drawing:
    """Faces in rows, for a notebook, each with a few words below it.

    Args:
        images: N pictures, uint8 (H, W) grey or RGB (H, W, 3), 0..255; each is shown as large as the others.
        words: N texts, of one line or more, or none at all.
        columns: faces in a row.
        name: told apart from every other drawing's in a page.

    Raises:
        DataError: no picture, or some words but not one text for each picture.
        MissingExtraError: matplotlib is not installed.
    """
    count = len(images)
    if not count or len(words) not in {0, count}:
        raise DataError(f"A sheet of faces needs as many words as faces, or none; found {len(words)} for {count}.")
    columns = min(columns, count)
    rows = -(-count // columns)
    lines = max((text.count("\n") + 1 for text in words), default=0)
    # In the unit of the axes, which is the room of one face.
    row_height = 1 + 0.17 * lines

    def paint(axes: Axes) -> None:
        for index, image in enumerate(images):
            left, top = index % columns, -(index // columns) * row_height
            picture = np.asarray(image)
            if picture.ndim == 2:
                picture = np.stack([picture] * 3, axis=-1)
            # "none": the file holds these very pixels, and whatever shows it enlarges them.
            axes.imshow(picture, extent=(left, left + 1 - _GAP, top - 1 + _GAP, top), interpolation="none")
            if words:
                axes.text(left + (1 - _GAP) / 2, top - 1, words[index], ha="center", va="top", fontsize=7)
        axes.set_xlim(0, columns - _GAP)
        axes.set_ylim(_GAP - rows * row_height, 0)
        axes.set_aspect("equal")
        axes.set_axis_off()

    return draw(name, paint, height_inches=FACE_INCHES * rows * row_height, width_inches=FACE_INCHES * columns)
