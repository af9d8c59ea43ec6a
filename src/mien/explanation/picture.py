"""A face beside its map as one picture: with a title, and the scale of the colours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.explanation.overlay import full_scale, overlay, painted

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

FACE_PX = 288
"""The least side of each of the two faces: a title of 60 letters fits above them."""

MARGIN_PX, TEXT_PX, LINE_PX, SCALE_PX = 12, 15, 21, 14
_INK, _SOFT, _PAPER, _MIDDLE_GREY = (20, 20, 24), (95, 98, 104), (255, 255, 255), 128


def map_picture(
    face: npt.NDArray[np.uint8], face_map: npt.NDArray[np.floating[Any]], title: Sequence[str], explained: str
) -> Image:
    """Draw a face, the same face under its map, a title above and the scale of the colours below.

    Args:
        face: uint8 (S, S), in colour (S, S, 3).
        face_map: float (S, S).
        title: lines of text, the first one in black; lines that are too long are cut.
        explained: the class that the map is about.

    Returns:
        An RGB image. Each face is a whole multiple of S pixels wide, at least :data:`FACE_PX`, and
        :data:`MARGIN_PX` from the left border and from each other.

    Raises:
        DataError: as :func:`mien.explanation.overlay.overlay`.
    """
    from PIL import Image, ImageDraw

    enlarge = -(-FACE_PX // len(face))
    side = enlarge * len(face)
    top = MARGIN_PX + len(title) * LINE_PX + MARGIN_PX // 2
    size = (2 * side + 3 * MARGIN_PX, top + side + SCALE_PX + LINE_PX + 2 * MARGIN_PX)
    image = Image.new("RGB", size, _PAPER)
    for column, drawn in enumerate((np.zeros_like(face_map), face_map)):
        pixels = Image.fromarray(overlay(face, drawn, enlarge))
        image.paste(pixels, (MARGIN_PX + column * (side + MARGIN_PX), top))
    draw = ImageDraw.Draw(image)
    for number, line in enumerate(title):
        text = fitted(draw, line, size[0] - 2 * MARGIN_PX)
        place = (MARGIN_PX, MARGIN_PX + number * LINE_PX)
        draw.text(place, text, font=_font(), fill=_SOFT if number else _INK)
    _draw_scale(image, draw, (2 * MARGIN_PX + side, top + side + MARGIN_PX // 2), side, full_scale(face_map), explained)
    return image


def fitted(draw: ImageDraw, text: str, width_px: float) -> str:
    """A text in one line; the beginning of one that is too long is left out, since a path's end tells most."""
    text = " ".join(text.split())
    if draw.textlength(text, font=_font()) <= width_px:
        return text
    while text and draw.textlength(f"...{text}", font=_font()) > width_px:
        text = text[1:]
    return f"...{text}"


def _draw_scale(
    image: Image, draw: ImageDraw, place: tuple[int, int], width: int, largest: float, explained: str
) -> None:
    """The colours from 0 to the largest value, as they look over middle grey, with both numbers."""
    from PIL import Image

    left, top = place
    below = top + SCALE_PX + 4
    if not largest:
        draw.text((left, top), f"no pixel favours {explained}", font=_font(), fill=_SOFT)
        return
    ramp = np.tile(np.linspace(0, 1, width), (SCALE_PX, 1))
    image.paste(Image.fromarray(painted(np.full(ramp.shape, _MIDDLE_GREY, dtype=np.uint8), ramp)), place)
    draw.text((left, below), "0", font=_font(), fill=_INK)
    draw.text((left + width, below), f"{largest:.2g} or more", font=_font(), fill=_INK, anchor="ra")
    draw.text((left + 2 * TEXT_PX, below), f"favours {explained}", font=_font(), fill=_SOFT)


@cache
def _font() -> FreeTypeFont | BitmapFont:
    from PIL import ImageFont

    return ImageFont.load_default(TEXT_PX)
