"""Drawing of predictions: boxes and labels on a photo, and a face crop with a bar for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Protocol, TypedDict

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.labels import class_colours
from mien.faces.face import Box

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont


_INK, _PAPER = (255, 255, 255), (20, 20, 24)
"""White and nearly black; lines in both are visible on any background."""

_GREY = (150, 150, 155)

_MIN_TEXT_PX = 7


class Labelled(Protocol):
    """The attributes of a :class:`mien.inference.prediction.Prediction` that are drawn."""

    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def box(self) -> Box: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102
    @property
    def answer(self) -> str: ...  # noqa: D102
    @property
    def unsure(self) -> bool | None: ...  # noqa: D102
    @property
    def not_a_face(self) -> bool | None: ...  # noqa: D102
    @property
    def in_doubt(self) -> bool: ...  # noqa: D102


Colour = str | tuple[int, int, int]


class Look(TypedDict, total=False):
    """Options for drawing: keyword arguments of :func:`draw_predictions`."""

    line_px: int
    text_px: int
    colours: Mapping[str, Colour]


def draw_predictions(
    rgb: npt.NDArray[np.uint8],
    predictions: Sequence[Labelled],
    numbers: Sequence[int] | None = None,
    *,
    line_px: int | None = None,
    text_px: int | None = None,
    colours: Mapping[str, Colour] | None = None,
) -> Image:
    """Draw box and label of each prediction on an upright image, uint8 (H, W, 3), numbered if there are several.

    A box has the colour of its class. The box is dashed if the prediction is in doubt. The text size depends on image
    and box. Labels stay inside the image and avoid faces and other labels. If there is little room, labels get shorter.
    ``numbers`` are shown even for one prediction. ``line_px`` is the width of a single line for the box; by default
    the box has three lines, visible on any background. ``text_px`` is the height of the text; 0 draws no labels.
    ``colours`` are Pillow colours by answer, such as ``{"happy": "gold", "unsure": (0, 0, 0)}``; others keep mien's.
    Returns a new RGB image.

    Raises DataError for an impossible width or height, or an unknown colour (``draw-look``).
    """
    from PIL import Image, ImageDraw

    colours = colours or {}
    try:
        for colour in colours.values():
            if not isinstance(colour, str):
                bytes(colour)  # raises for a channel above 255
            Image.new("RGB", (1, 1), colour)
        if (1 if line_px is None else line_px) < 1 or (text_px or 0) < 0:
            raise ValueError(f"line_px must be 1 or more and text_px 0 or more; found {line_px} and {text_px}")
    except (ValueError, TypeError) as error:
        raise DataError(f"Predictions cannot be drawn: {error}.", code="draw-look") from None

    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    # Draw all boxes first, so that no line crosses a label.
    for prediction in predictions:
        _draw_box(draw, image.size, prediction, _colour(prediction, colours), line_px)
    if text_px == 0:
        return image
    numbered = numbers is not None or len(predictions) > 1
    names = [f"{number}  " if numbered else "" for number in numbers or range(1, len(predictions) + 1)]
    boxes = [each.box for each in predictions]
    for small in (False, True):
        pairs = zip(predictions, names, strict=True)
        labels = [_Label(image.size, each, number, text_px, small=small) for each, number in pairs]
        placements = place_labels(image.size, boxes, [label.sizes for label in labels])
        if not any(place.covered_px for place in placements):
            break
    for label, prediction, place in zip(labels, predictions, placements, strict=True):
        label.draw(draw, place, _INK if not prediction.not_a_face else _GREY, _colour(prediction, colours))
    return image


def draw_face(crop: npt.NDArray[np.uint8], probabilities: Mapping[str, float], top: str) -> Image:
    """Draw an enlarged face crop, uint8 (S, S[, 3]), beside a bar for each class. Returns an RGB image."""
    from PIL import Image, ImageDraw

    side, text_px = 288, 18
    row = text_px + 12
    high = max(side, row * len(probabilities))
    image = Image.new("RGB", (side + 360, high), (255, 255, 255))
    image.paste(Image.fromarray(crop).resize((side, side), Image.Resampling.BICUBIC), (0, (high - side) // 2))
    draw, font = ImageDraw.Draw(image), _font(text_px)
    left, first = side + 16, (high - row * len(probabilities)) // 2
    for index, (name, probability) in enumerate(probabilities.items()):
        above = first + index * row
        colour = (20, 90, 160) if name == top else _GREY
        draw.rectangle((left + 110, above + 4, left + 110 + round(160 * probability), above + row - 5), fill=colour)
        draw.text((left, above + row / 2), _shortened(name, font, 104), font=font, fill=_PAPER, anchor="lm")
        draw.text((left + 330, above + row / 2), share_text(probability), font=font, fill=_PAPER, anchor="rm")
    return image


class _Label:
    """The forms of a label, from the longest to only the number, in a text size that suits image and box."""

    def __init__(
        self, size: tuple[int, int], labelled: Labelled, number: str, text_px: int | None, *, small: bool
    ) -> None:
        width, height = size
        full = number + labelled.text
        box_px = labelled.box.width
        # With this upper limit, a label does not cover a face that fills the image.
        large_px = max(round(min(max(box_px / 7, max(size) / 70), max(size) / 25)), 11)
        wanted_px = min(max(round(box_px / 4), 9), large_px) if small else large_px
        self.text_px = max(min(text_px or wanted_px, height // 4, 400), _MIN_TEXT_PX)
        while self.text_px > _MIN_TEXT_PX and _text_length(full, _font(self.text_px)) + self.text_px > width:
            self.text_px -= 1
        self.font = _font(self.text_px)
        forms = dict.fromkeys((full, number + labelled.answer, number.strip() or full))
        self.forms = [_shortened(form, self.font, width - self.text_px) for form in forms]
        self.sizes = [
            (min(round(_text_length(form, self.font)) + self.text_px, width), round(1.4 * self.text_px))
            for form in self.forms
        ]

    def draw(self, draw: ImageDraw, place: Place, ink: tuple[int, int, int], colour: Colour) -> None:
        """Draw one form of the label: text on nearly black, with a bar in the box's colour on the left."""
        left, top, right, bottom = _corners(place.box)
        bar = max(self.text_px // 3, 1)
        draw.rectangle((left, top, right, bottom), fill=_PAPER)
        draw.rectangle((left, top, left + bar - 1, bottom), fill=colour)
        middle = (left + (place.box.width + bar) / 2, top + place.box.height / 2)
        draw.text(middle, self.forms[place.form], font=self.font, fill=ink, anchor="mm")


def _corners(box: Box) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom, all inclusive, as Pillow draws rectangles."""
    return box.left, box.top, box.left + box.width - 1, box.top + box.height - 1


def _colour(labelled: Labelled, colours: Mapping[str, Colour]) -> Colour:
    """Return the colour of the predicted class; white for "unsure" and grey for "not-a-face"."""
    if labelled.answer in colours:
        return colours[labelled.answer]
    if labelled.not_a_face:
        return _GREY
    return _INK if labelled.unsure else class_colours(labelled.classes)[labelled.answer]


def _draw_box(
    draw: ImageDraw, size: tuple[int, int], labelled: Labelled, colour: Colour, one_line_px: int | None
) -> None:
    """Draw a box of three lines: nearly black, colour, white. The colour is dashed if in doubt."""
    box = labelled.box
    left, top, right, bottom = _corners(box)
    if one_line_px is not None:
        if labelled.in_doubt:
            _draw_dashes(draw, (left, top, right, bottom), one_line_px, colour)
        else:
            draw.rectangle((left, top, right, bottom), outline=colour, width=one_line_px)
        return
    line_px = max(1, round(min(*size, 10 * box.width, 10 * box.height) / 400))
    draw.rectangle((left, top, right, bottom), outline=_PAPER, width=4 * line_px)
    if right - left < 6 * line_px or bottom - top < 6 * line_px:
        return
    inner = (left + line_px, top + line_px, right - line_px, bottom - line_px)
    if labelled.in_doubt:
        _draw_dashes(draw, inner, 2 * line_px, colour)
        return
    draw.rectangle(inner, outline=_INK if not labelled.not_a_face else _GREY, width=3 * line_px)
    draw.rectangle(inner, outline=colour, width=2 * line_px)


def _draw_dashes(draw: ImageDraw, corners: tuple[int, int, int, int], line_px: int, colour: Colour) -> None:
    """Draw a rectangle of dashes from each corner, three line widths long and two apart."""
    left, top, right, bottom = corners
    dash, step = 3 * line_px, 5 * line_px
    for at in range(left, right, step):
        end = min(at + dash, right)
        draw.rectangle((at, top, end, top + line_px - 1), fill=colour)
        draw.rectangle((at, bottom - line_px + 1, end, bottom), fill=colour)
    for at in range(top, bottom, step):
        end = min(at + dash, bottom)
        draw.rectangle((left, at, left + line_px - 1, end), fill=colour)
        draw.rectangle((right - line_px + 1, at, right, end), fill=colour)


def _shortened(text: str, font: FreeTypeFont | BitmapFont, width: float) -> str:
    while len(text) > 1 and _text_length(text, font) > width:
        text = text[:-1]
    return text


@lru_cache(maxsize=1024)
def _text_length(text: str, font: FreeTypeFont | BitmapFont) -> float:
    """Return the width of a text in pixels. The width is cached, because labels of a video repeat."""
    return font.getlength(text)


@cache
def _font(size_px: int) -> FreeTypeFont | BitmapFont:
    from PIL import ImageFont

    return ImageFont.load_default(size_px)


@dataclass(frozen=True)
class Place:
    """Position and form of a label.

    Attributes:
        form: index of the form of the label.
        box: rectangle in pixels.
        covered_px: number of pixels of faces and other labels that it covers.
    """

    form: int
    box: Box
    covered_px: int = 0


def place_labels(
    size: tuple[int, int], faces: Sequence[Box], forms: Sequence[Sequence[tuple[int, int]]]
) -> list[Place]:
    """Place a label beside each face, inside the image of ``size``, width and height.

    The longest form is used that fits beside its face without covering faces or other labels. If no form fits, the
    shortest form is placed where it covers fewest pixels. ``forms`` are the width and height of each form of each
    face's label, the longest first.
    """
    taken = np.array([(face.left, face.top, face.width, face.height) for face in faces]).reshape(-1, 4)
    placements = []
    for face, sizes in zip(faces, forms, strict=True):
        for form, each in enumerate(sizes):
            options = _beside(size, face, each)
            covered = _covered(options, taken)
            best = covered.argmin()
            left, top, width, height = options[best].tolist()
            place = Place(form, Box(left, top, width, height), int(covered[best]))
            if not place.covered_px:
                break
        placements.append(place)
        taken = np.concatenate([taken, [[left, top, width, height]]])
    return placements


def _beside(size: tuple[int, int], face: Box, label: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return candidate rectangles (K, 4) of a label beside a face, the best first, moved into the image."""
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
    """Count the pixels of N taken rectangles (N, 4) that each of K labels (K, 4) covers: int64 (K,)."""
    low = np.maximum(labels[:, np.newaxis, :2], taken[:, :2])
    high = np.minimum((labels[:, :2] + labels[:, 2:])[:, np.newaxis], taken[:, :2] + taken[:, 2:])
    return np.asarray(np.clip(high - low, 0, None).prod(axis=2).sum(axis=1))


def share_text(share: float) -> str:
    """Format a fraction or probability in whole percent; 0% and 100% are shown only if exact.

    >>> share_text(0.984), share_text(0.997), share_text(1), share_text(0.001)
    ('98%', '>99%', '100%', '<1%')
    """
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"
