"""Drawing of predictions: boxes and labels on a photo, a face crop with a bar for each class, annotated copies."""

import os
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from mien.base.arrays import Pixels
from mien.base.errors import DataError, share_text
from mien.base.files import whole_file
from mien.base.images import StandardInput, open_image_header
from mien.base.labels import class_colours

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont
    from PIL.ImageFont import ImageFont as BitmapFont


_INK, _PAPER = (255, 255, 255), (20, 20, 24)
"""White and nearly black; lines in both are visible on any background."""

_GREY = (150, 150, 155)

_MIN_TEXT_PX = 7


Labelled: TypeAlias = Any
"""A :class:`mien.inference.prediction.Prediction`, whose module imports this one."""
Colour: TypeAlias = str | tuple[int, int, int]


class Look(TypedDict, total=False):
    """Options for drawing: keyword arguments of :func:`draw_predictions`."""

    line_px: int
    text_px: int
    colours: Mapping[str, Colour]


def draw_predictions(
    rgb: Pixels,
    predictions: Sequence[Labelled],
    numbers: Sequence[int] | None = None,
    *,
    line_px: int | None = None,
    text_px: int | None = None,
    colours: Mapping[str, Colour] | None = None,
) -> "Image":
    """Draw box and label of each prediction on an upright image, uint8 (H, W, 3), numbered if there are several.

    A box is dashed if the prediction is in doubt. ``numbers`` are shown even for one prediction. ``line_px`` is the
    width of a single line for the box; by default the box has three lines, visible on any background. ``text_px`` is
    the height of the text; 0 draws no labels. ``colours`` are Pillow colours by answer, such as ``{"happy": "gold",
    "unsure": (0, 0, 0)}``; others keep mien's. Returns a new RGB image.

    Raises DataError for an impossible width or height, or an unknown colour (``options``).
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
        raise DataError(f"Predictions cannot be drawn: {error}.", code="options") from None

    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    # Draw all boxes first, so that no line crosses a label.
    for prediction in predictions:
        _draw_box(draw, image.size, prediction, _colour(prediction, colours), line_px)
    numbered = numbers is not None or len(predictions) > 1
    for number, prediction in zip(numbers or range(1, len(predictions) + 1), predictions, strict=True):
        if text_px != 0:
            text = f"{number}  {prediction.text}" if numbered else prediction.text
            _draw_label(draw, image.size, prediction, text, text_px, _colour(prediction, colours))
    return image


def draw_face(crop: Pixels, probabilities: Mapping[str, float], top: str) -> "Image":
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
        draw.text((left, above + row / 2), name[:11], font=font, fill=_PAPER, anchor="lm")
        draw.text((left + 330, above + row / 2), share_text(probability), font=font, fill=_PAPER, anchor="rm")
    return image


def _draw_label(
    draw: "ImageDraw", size: tuple[int, int], prediction: Labelled, text: str, text_px: int | None, colour: Colour
) -> None:
    """Draw text on nearly black above the box, with a bar in its colour; below or over the box if there is no room."""
    width, height = size
    box = prediction.box
    # Small enough not to cover neighbours of a small face, nor a face that fills the image.
    own_px = min(max(box.width / 4, 9), max(min(max(box.width / 7, max(size) / 70), max(size) / 25), 11))
    text_px = max(min(text_px or round(own_px), height // 4, 400), _MIN_TEXT_PX)
    while text_px > _MIN_TEXT_PX and _text_length(text, _font(text_px)) + text_px > width:
        text_px -= 1
    wide, high, bar = round(_text_length(text, _font(text_px))) + text_px, round(1.4 * text_px), max(text_px // 3, 1)
    below = box.top + box.height
    top = box.top - high if box.top >= high else below if below + high <= height else max(box.top, 0)
    left = max(min(box.left, width - wide), 0)
    draw.rectangle((left, top, left + wide - 1, top + high - 1), fill=_PAPER)
    draw.rectangle((left, top, left + bar - 1, top + high - 1), fill=colour)
    middle = (left + (wide + bar) / 2, top + high / 2)
    draw.text(middle, text, font=_font(text_px), fill=_GREY if prediction.not_a_face else _INK, anchor="mm")


def _colour(prediction: Labelled, colours: Mapping[str, Colour]) -> Colour:
    """Return the colour of the predicted class; white for "unsure" and grey for "not-a-face"."""
    if prediction.answer in colours:
        return colours[prediction.answer]
    if prediction.not_a_face:
        return _GREY
    return _INK if prediction.unsure else class_colours(prediction.classes)[prediction.answer]


def _draw_box(
    draw: "ImageDraw", size: tuple[int, int], prediction: Labelled, colour: Colour, one_line_px: int | None
) -> None:
    box = prediction.box
    # Inclusive, as Pillow draws rectangles.
    left, top, right, bottom = box.left, box.top, box.left + box.width - 1, box.top + box.height - 1
    if one_line_px is not None:
        _draw_outline(draw, (left, top, right, bottom), one_line_px, colour, dashed=prediction.in_doubt)
        return
    line_px = max(1, round(min(*size, 10 * box.width, 10 * box.height) / 400))
    draw.rectangle((left, top, right, bottom), outline=_PAPER, width=4 * line_px)
    if right - left < 6 * line_px or bottom - top < 6 * line_px:
        return
    inner = (left + line_px, top + line_px, right - line_px, bottom - line_px)
    if not prediction.in_doubt:
        draw.rectangle(inner, outline=_GREY if prediction.not_a_face else _INK, width=3 * line_px)
    _draw_outline(draw, inner, 2 * line_px, colour, dashed=prediction.in_doubt)


def _draw_outline(
    draw: "ImageDraw", corners: tuple[int, int, int, int], line_px: int, colour: Colour, *, dashed: bool
) -> None:
    """Draw a rectangle, or its dashes from each corner, three line widths long and two apart."""
    if not dashed:
        draw.rectangle(corners, outline=colour, width=line_px)
        return
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


@lru_cache(maxsize=1024)
def _text_length(text: str, font: "FreeTypeFont | BitmapFont") -> float:
    """Return the width of a text in pixels. The width is cached, because labels of a video repeat."""
    return font.getlength(text)


@cache
def _font(size_px: int) -> "FreeTypeFont | BitmapFont":
    from PIL import ImageFont

    return ImageFont.load_default(size_px)


MAX_JPEG_PX = 65_500
"""Largest side of a JPEG that libjpeg can write."""


class Annotator:
    """Writes annotated images to a folder, each at its path relative to the common folder ``shared`` of all arguments.

    Images are upright JPEGs in the source's size, with its colour profile. An animation gives its first frame.

    Raises:
        DataError: ``folder`` contains an argument, is inside one or is a file, or the arguments have no common folder
            (``out-path``).
    """

    def __init__(self, folder: Path, arguments: Sequence[Path | StandardInput]) -> None:
        self.folder: Path = folder
        real, files = Path(os.path.realpath(folder)), [each for each in arguments if isinstance(each, Path)]
        for argument in files:
            source = Path(os.path.realpath(argument))
            home = source if argument.is_dir() else source.parent
            if real in {home, *source.parents} or (argument.is_dir() and home in real.parents):
                raise DataError(f"--annotate {folder} and {argument} overlap. Give another.", code="out-path")
        if folder.exists() and not folder.is_dir():
            raise DataError(f"--annotate must be a folder; {folder} is a file.", code="out-path")
        homes = [_absolute(source if source.is_dir() else source.parent) for source in files]
        try:
            self.shared: str = os.path.commonpath(homes or [_absolute(".")])
        except ValueError:
            raise DataError("--annotate needs images that are all on one drive.", code="out-path") from None

    def path_of(self, source: str | os.PathLike[str] | StandardInput) -> Path:
        """Return the path of a file's copy: a.jpg, a.png.jpg for a.png; a.png.jpg gets another .jpg beside an a.png."""
        if isinstance(source, StandardInput):
            return self.folder / "stdin.jpg"
        given, path = Path(source), self.folder / os.path.relpath(_absolute(source), self.shared)
        keeps = given.suffix.lower() in {".jpg", ".jpeg"} and not given.with_suffix("").is_file()
        return path if keeps else path.with_name(f"{path.name}.jpg")

    def write(self, source: str | Path | StandardInput, rgb: Pixels, predictions: Sequence[Labelled]) -> Path:
        """Write an upright image, uint8 (H, W, 3), with the predictions of its faces, and return the path.

        Raises RunError if the folder cannot be written, DataError if the image is too large for a JPEG (``options``),
        the copy would replace its source (``out-path``), or the source no longer exists (``file-missing``).
        """
        with open_image_header(source) as original:
            # A profile for another colour space (CMYK, grey) would be wrong for RGB.
            profile = original.info.get("icc_profile") if original.mode in {"RGB", "RGBA", "P"} else None
        target = self.path_of(source)
        if not isinstance(source, bytes) and target.exists() and target.samefile(source):
            raise DataError(f"--annotate would overwrite {source}. Give another folder.", code="out-path")
        if max(rgb.shape) > MAX_JPEG_PX:
            words = f"{source} has a side of {max(rgb.shape):,} pixels; a JPEG has {MAX_JPEG_PX:,} at most."
            raise DataError(words, code="options")
        with whole_file(target) as temporary:
            draw_predictions(rgb, predictions).save(temporary, "JPEG", quality=95, icc_profile=profile)
        return target


def _absolute(path: str | os.PathLike[str]) -> str:
    """Make a path absolute, without ``..``. Links are not resolved: a linked image has the link's path."""
    return os.path.normpath(Path(path).absolute())
