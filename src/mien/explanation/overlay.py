"""A map in colour over its face, which stays visible; both side by side, with a title and the scale of the colours."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

# Matplotlib's magma (Smith & van der Walt, CC0), every 16th of its colours: perceptually even, for the colour-blind
# too. Between them linearly, which is off by 3 of 255 at most.
_MAGMA_HEX = """
000004 0a0822 1d1146 36106a 50127c 691c81 822681 9c2e7f b63779
cf4170 e65163 f5695c fb8761 fea571 fec387 fde0a2 fcfdbf
"""
_MAGMA = np.array([list(bytes.fromhex(each)) for each in _MAGMA_HEX.split()], dtype=np.float64)

SCALED_BY = 0.99
"""Quantile of the positive values of a map that gets the last colour."""


def colour(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Colours of magma: (...), 0..1 -> RGB float64 (..., 3), 0..255."""
    stops = np.linspace(0, 1, len(_MAGMA))
    return np.stack([np.interp(values, stops, channel) for channel in _MAGMA.T], axis=-1)


STRENGTH = 0.6
"""How much of the face the colour covers where a map is largest, 0..1."""


def overlay(
    face: npt.NDArray[np.uint8], face_map: npt.NDArray[np.floating[Any]], enlarge: int = 4
) -> npt.NDArray[np.uint8]:
    """Colour a face by a map. Where the map is 0 or below, the face is as it is.

    The greatest hundredth of the map's positive values share the last colour (Smilkov et al., SmoothGrad, 2017, section
    3.1): scaled by its largest pixel alone, a gradient's map would be hardly visible.

    Args:
        face: uint8 (S, S), in colour (S, S, 3).
        face_map: float (S, S). Evidence against the class (below 0) is not shown.
        enlarge: k, how many pixels a side each pixel becomes; none is made up between them.

    Returns:
        RGB uint8 (S * k, S * k, 3).
    """
    share = np.clip(face_map.astype(np.float64) / (full_scale(face_map) or 1.0), 0.0, 1.0)
    return painted(face, share).repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def painted(face: npt.NDArray[np.uint8], share: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Colour pixels uint8 (H, W[, 3]) by a share (H, W), 0..1, of the last colour: RGB uint8 (H, W, 3)."""
    cover = STRENGTH * share[:, :, None]
    # The lowest colours of magma are black, which would read as a dark face: begin where it has turned violet.
    pixels_below = face[:, :, None] if face.ndim == 2 else face
    blend = (1 - cover) * pixels_below + cover * colour(0.35 + 0.65 * share)
    pixels: npt.NDArray[np.uint8] = np.rint(blend).astype(np.uint8)
    return pixels


def full_scale(face_map: npt.NDArray[np.floating[Any]]) -> float:
    """The value that gets the last colour in :func:`overlay`; 0.0 where no pixel speaks for the class."""
    positive = face_map[face_map > 0].astype(np.float64)
    return float(np.quantile(positive, SCALED_BY)) if len(positive) else 0.0


FACE_PX = 288
"""The least side of each of the two faces: a title of 60 letters fits above them."""

MARGIN_PX, TEXT_PX, LINE_PX, SCALE_PX = 12, 15, 21, 14
_INK, _SOFT, _PAPER, _MIDDLE_GREY = (20, 20, 24), (95, 98, 104), (255, 255, 255), 128


def map_picture(
    face: npt.NDArray[np.uint8], face_map: npt.NDArray[np.floating[Any]], title: Sequence[str], explained: str
) -> Image.Image:
    """Draw a face, the same face under its map, a title above and the scale of the colours below.

    Args:
        face: uint8 (S, S), in colour (S, S, 3).
        face_map: float (S, S).
        title: lines of text, the first one in black; lines that are too long are cut.
        explained: the class that the map is about.

    Returns:
        An RGB image. Each face is a whole multiple of S pixels wide, at least :data:`FACE_PX`, and
        :data:`MARGIN_PX` from the left border and from each other.
    """
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


def fitted(draw: ImageDraw.ImageDraw, text: str, width_px: float) -> str:
    """A text in one line; the beginning of one that is too long is left out, since a path's end tells most."""
    text = " ".join(text.split())
    if draw.textlength(text, font=_font()) <= width_px:
        return text
    while text and draw.textlength(f"...{text}", font=_font()) > width_px:
        text = text[1:]
    return f"...{text}"


def _draw_scale(
    image: Image.Image, draw: ImageDraw.ImageDraw, place: tuple[int, int], width: int, largest: float, explained: str
) -> None:
    """The colours from 0 to the largest value, as they look over middle grey, with both numbers."""
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
def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(TEXT_PX)
