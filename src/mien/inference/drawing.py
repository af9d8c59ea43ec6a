"""Readings as pictures: boxes and words drawn into a photo, and one face with a bar for each class."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from mien.inference.readings import Reading

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont

_INK, _PAPER = (255, 255, 255), (20, 20, 24)
"""White on nearly black, and lines of both: one of them shows on any background."""

_LEAST_TEXT_PX = 7


def draw_readings(image: Image, readings: Sequence[Reading], numbers: Sequence[int] | None = None) -> None:
    """Draw each reading's box and words into an upright RGB picture, numbered where there are several.

    Words are as large as picture and box allow, and stay inside the picture.

    Args:
        image: is drawn into.
        readings: each with its box.
        numbers: one a reading, shown even of a single one; from 1 on by default.
    """
    from PIL import ImageDraw

    draw = ImageDraw.Draw(image)
    line_px = max(1, round(min(image.size) / 300))
    # All boxes first: no line crosses a word.
    for reading in readings:
        _draw_box(draw, image.size, reading, line_px)
    numbered = numbers is not None or len(readings) > 1
    for number, reading in zip(numbers or range(1, len(readings) + 1), readings, strict=True):
        words = f"{reading.top} {reading.confidence:.0%}"
        _draw_words(draw, image.size, reading, f"{number} {words}" if numbered else words, line_px)


def draw_face(face: npt.NDArray[np.uint8], reading: Reading) -> Image:
    """One face as the classifier saw it, enlarged, and a bar for each class. uint8 (S, S) -> an RGB picture."""
    from PIL import Image, ImageDraw

    side, text_px = 288, 18
    row = text_px + 12
    high = max(side, row * len(reading.classes))
    image = Image.new("RGB", (side + 360, high), (255, 255, 255))
    image.paste(Image.fromarray(face).resize((side, side), Image.Resampling.BICUBIC), (0, (high - side) // 2))
    draw, font = ImageDraw.Draw(image), _font(text_px)
    left, first = side + 16, (high - row * len(reading.classes)) // 2
    for index, (name, share) in enumerate(reading.probabilities.items()):
        top = first + index * row
        colour = (20, 90, 160) if name == reading.top else (150, 150, 155)
        draw.rectangle((left + 110, top + 4, left + 110 + round(160 * share), top + row - 5), fill=colour)
        draw.text((left, top + row / 2), _shortened(draw, name, font, 104), font=font, fill=_PAPER, anchor="lm")
        draw.text((left + 330, top + row / 2), f"{share:.0%}", font=font, fill=_PAPER, anchor="rm")
    return image


def _draw_box(draw: ImageDraw, size: tuple[int, int], reading: Reading, line_px: int) -> None:
    box = reading.box
    assert box is not None
    # What of the box lies outside is not drawn; its line then follows the picture's border.
    left, top = max(box.left, 0), max(box.top, 0)
    right, bottom = min(box.left + box.width, size[0]) - 1, min(box.top + box.height, size[1]) - 1
    if right < left or bottom < top:
        return
    draw.rectangle((left, top, right, bottom), outline=_PAPER, width=3 * line_px)
    if right - left >= 2 * line_px and bottom - top >= 2 * line_px:
        inner = (left + line_px, top + line_px, right - line_px, bottom - line_px)
        draw.rectangle(inner, outline=_INK, width=line_px)


def _draw_words(draw: ImageDraw, size: tuple[int, int], reading: Reading, words: str, line_px: int) -> None:
    box = reading.box
    assert box is not None
    width, height = size
    wanted_px = max(round(max(box.width / 7, max(size) / 70)), 11)
    text_px = max(min(wanted_px, height // 4, 400), _LEAST_TEXT_PX)
    while text_px > _LEAST_TEXT_PX and draw.textlength(words, font=_font(text_px)) + text_px > width:
        text_px -= 1
    font = _font(text_px)
    words = _shortened(draw, words, font, width)
    wide, high = round(draw.textlength(words, font=font)) + text_px // 2, round(1.4 * text_px)
    # Above the box; where there is no room, below it; else inside at its top.
    top = box.top - high
    if top < 0:
        top = box.top + box.height
    if top + high > height:
        top = max(box.top, 0) + 3 * line_px
    left = min(max(box.left, 0), max(width - wide, 0))
    top = min(max(top, 0), max(height - high, 0))
    draw.rectangle((left, top, left + wide - 1, top + high - 1), fill=_PAPER)
    draw.text((left + wide / 2, top + high / 2), words, font=font, fill=_INK, anchor="mm")


def _shortened(draw: ImageDraw, words: str, font: FreeTypeFont | BitmapFont, width: float) -> str:
    while len(words) > 1 and draw.textlength(words, font=font) > width:
        words = words[:-1]
    return words


@cache
def _font(size_px: int) -> FreeTypeFont | BitmapFont:
    from PIL import ImageFont

    return ImageFont.load_default(size_px)
