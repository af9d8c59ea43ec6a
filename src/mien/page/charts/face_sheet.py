"""A sheet of faces. The files contain the pixels: check the terms of the data before you share them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.page.charts.svg import Chart, make_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACE_INCHES = 0.85
"""Size of a face with its gap; FER2013's 48 px are then enlarged by half."""

_GAP = 0.08
"""As a fraction of that size."""


def face_sheet(
    images: Sequence[npt.NDArray[Any]] | npt.NDArray[np.uint8],
    captions: Sequence[str] = (),
    *,
    columns: int = 8,
    name: str = "faces",
) -> Chart:
    """Faces in rows, for a notebook, each with a few captions below it.

    Args:
        images: N images, uint8 (H, W) grey or RGB (H, W, 3), 0..255; all are shown at one size.
        captions: N texts, of one line or more, or none at all.
        columns: faces in a row.
        name: unique within a page.

    Raises:
        DataError: no image, or another number of captions than images.
        MissingExtraError: matplotlib is not installed.
    """
    count = len(images)
    if not count or len(captions) not in {0, count}:
        raise DataError(
            f"A face sheet needs images, and one caption for each or none; found {count} images and {len(captions)} "
            f"captions.",
            code="face-sheet-captions",
        )
    columns = min(columns, count)
    rows = -(-count // columns)
    lines = max((text.count("\n") + 1 for text in captions), default=0)
    # The unit of the axes is the size of one face.
    row_height = 1 + 0.17 * lines

    def draw(axes: Axes) -> None:
        for index, image in enumerate(images):
            left, top = index % columns, -(index // columns) * row_height
            pixels = np.asarray(image)
            if pixels.ndim == 2:
                pixels = np.stack([pixels] * 3, axis=-1)
            # "none": the file holds these very pixels, and whatever shows it enlarges them.
            axes.imshow(pixels, extent=(left, left + 1 - _GAP, top - 1 + _GAP, top), interpolation="none")
            if captions:
                axes.text(left + (1 - _GAP) / 2, top - 1, captions[index], ha="center", va="top", fontsize=7)
        axes.set_xlim(0, columns - _GAP)
        axes.set_ylim(_GAP - rows * row_height, 0)
        axes.set_aspect("equal")
        axes.set_axis_off()

    return make_chart(name, draw, height_inches=FACE_INCHES * rows * row_height, width_inches=FACE_INCHES * columns)
