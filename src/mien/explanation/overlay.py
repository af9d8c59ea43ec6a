"""Draw a saliency map in colour over its face, and a figure with face, map, title and colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

# Every 16th colour of matplotlib's magma (Smith & van der Walt, CC0), which is perceptually uniform, also for
# colour-blind people. Linear interpolation between them is off by at most 3 of 255.
_MAGMA_HEX = """
000004 0a0822 1d1146 36106a 50127c 691c81 822681 9c2e7f b63779
cf4170 e65163 f5695c fb8761 fea571 fec387 fde0a2 fcfdbf
"""
_MAGMA = np.array([list(bytes.fromhex(each)) for each in _MAGMA_HEX.split()], dtype=np.float64)

SCALED_BY = 0.99
"""Positive values above this quantile of a map all get the last colour."""


def colour(values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Map values (...), 0..1, to magma colours: RGB float64 (..., 3), 0..255."""
    stops = np.linspace(0, 1, len(_MAGMA))
    return np.stack([np.interp(values, stops, channel) for channel in _MAGMA.T], axis=-1)


STRENGTH = 0.6
"""Opacity of the colour where a map is largest, 0..1."""


def overlay(
    face: npt.NDArray[np.uint8], face_map: npt.NDArray[np.floating[Any]], enlarge: int = 4
) -> npt.NDArray[np.uint8]:
    """Colour a face, uint8 (S, S[, 3]), by a map, and enlarge it. Where the map is 0 or less, the face is unchanged.

    The top hundredth of the map's positive values gets the last colour (Smilkov et al., SmoothGrad, 2017, section 3.1).
    Scaled by its largest pixel, a gradient map would hardly be visible. Returns RGB uint8, ``enlarge`` times as large.
    """
    share = np.clip(face_map.astype(np.float64) / (full_scale(face_map) or 1.0), 0.0, 1.0)
    return painted(face, share).repeat(enlarge, axis=0).repeat(enlarge, axis=1)


def painted(face: npt.NDArray[np.uint8], share: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """Blend pixels uint8 (H, W[, 3]) with the colours of values (H, W), 0..1: RGB uint8 (H, W, 3)."""
    cover = STRENGTH * share[:, :, None]
    # magma's first colours are black, which would look like a dark face, so begin where it is violet.
    pixels_below = face[:, :, None] if face.ndim == 2 else face
    blend = (1 - cover) * pixels_below + cover * colour(0.35 + 0.65 * share)
    pixels: npt.NDArray[np.uint8] = np.rint(blend).astype(np.uint8)
    return pixels


def full_scale(face_map: npt.NDArray[np.floating[Any]]) -> float:
    """Return the value that :func:`overlay` shows in the last colour; 0.0 if no pixel favours the class."""
    positive = face_map[face_map > 0].astype(np.float64)
    return float(np.quantile(positive, SCALED_BY)) if len(positive) else 0.0


FACE_PX = 288
"""Smallest side of each of the two faces in a figure, so that a title of 60 letters fits above."""

MARGIN_PX, TEXT_PX, LINE_PX, SCALE_PX = 12, 15, 21, 14
_INK, _SOFT, _PAPER, _MIDDLE_GREY = (20, 20, 24), (95, 98, 104), (255, 255, 255), 128


def map_picture(
    face: npt.NDArray[np.uint8], face_map: npt.NDArray[np.floating[Any]], title: Sequence[str], explained: str
) -> Image.Image:
    """Draw a face, the same face with its map, a title above and the colour scale below.

    The title's first line is black; long lines are truncated. The width of each face in the RGB image is a multiple of
    S pixels, at least :data:`FACE_PX`; it lies :data:`MARGIN_PX` from the left border and from the other face.
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
    """Truncate a text to one line. The beginning is cut off, because the end of a path is more informative."""
    text = " ".join(text.split())
    if draw.textlength(text, font=_font()) <= width_px:
        return text
    while text and draw.textlength(f"...{text}", font=_font()) > width_px:
        text = text[1:]
    return f"...{text}"


def _draw_scale(
    image: Image.Image, draw: ImageDraw.ImageDraw, place: tuple[int, int], width: int, largest: float, explained: str
) -> None:
    """Draw the colours from 0 to the largest value, as they look over middle grey, with both numbers."""
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
