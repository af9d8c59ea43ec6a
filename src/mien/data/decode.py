"""Decode many images into one array, the same way for every reader."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, arg
from mien.base.images import open_image
from mien.base.preprocess import face_shape, face_square, upright_rgb
from mien.base.processes import available_cores, ordered_map
from mien.base.progress import track
from mien.data.face_table import ReadOptions
from mien.data.image_store import ImageWriter

if TYPE_CHECKING:
    from PIL.Image import Image

Item = tuple[str, str | os.PathLike[str] | bytes]
"""A name for messages, and a path or the bytes of an image file."""

_BLOCK = 16
_SMALL_PIXELS = 80 * 80
_LOOKED_AT = 24


@dataclass(frozen=True)
class Decoded:
    """Decoded images.

    Attributes:
        images: uint8 (K, S, S[, 3]) in each of :attr:`ReadOptions.forms`.
        kept: int64 (K,), which items they were.
        skipped: (source, reason) of the rest.
        files: sizes of the files and whether they have colours, in words.
    """

    images: list[npt.NDArray[np.uint8]]
    kept: npt.NDArray[np.int64]
    skipped: list[tuple[str, str]]
    files: str


def decode_images(
    items: Iterable[Item],
    count: int,
    options: ReadOptions,
    what: str,
) -> Decoded:
    """Decode ``count`` images to squares, in order, on all cores; many go into a mapped file.

    Args:
        items: a name for messages, and a path or the bytes of an image file, each.
        count: how many items there are.
        options: the squares to make. ``skip_bad`` lists an image that cannot be used and goes on, instead of raising:
            one that cannot be decoded; of squares in colour one that is grey.
        what: the work in a few words, for the progress bar.

    Raises:
        DataError: an image cannot be decoded; the message names it. Squares in colour of grey images (``data-grey``),
            or of images of which some are grey (``images-mixed``).
    """
    channels = options.channels
    writers = [ImageWriter(count, face_shape(*form)) for form in options.forms]
    first: dict[bool, str] = {}  # the first grey image, and the first in colour
    kept: list[int] = []
    skipped: list[tuple[str, str]] = []
    sizes: set[tuple[int, int]] = set()
    kinds: set[str] = set()
    coloured = False
    opened = _on_all_cores(items, lambda item: _open(item, options))
    for index, (name, image) in enumerate(track(opened, count, what, "images")):
        if channels == 3 and isinstance(image, _Opened):
            is_grey = _is_grey(image.mode)
            first.setdefault(is_grey, name)
            if len(first) == 2 and not options.skip_bad:
                raise DataError(
                    f"{first[True]} is grey and {first[False]} is in colour. Leave grey images out with "
                    f"{arg('skip_bad', True)}, or read all in grey with input.channels = 1.",
                    code="images-mixed",
                )
            if is_grey and options.skip_bad:
                skipped.append((name, f"{name} is grey; the data is read in colour."))
                continue
        if isinstance(image, DataError):
            if not options.skip_bad:
                raise DataError(
                    f"{image} Replace it, or leave such images out with {arg('skip_bad', True)}.",
                    code="image-unreadable",
                )
            skipped.append((name, str(image)))
            continue
        for writer, square in zip(writers, image.squares, strict=True):
            writer.add(square[np.newaxis])
        kept.append(index)
        sizes.add(image.size)
        kinds.add(image.kind)
        coloured = coloured or (channels == 3 and bool((image.squares[0][..., :1] != image.squares[0][..., 1:]).any()))
    if first and not coloured:
        raise only_grey(first.get(True, ""))
    images = [writer.finish() for writer in writers]
    return Decoded(images, np.array(kept, dtype=np.int64), skipped, _about_files(sizes, kinds))


@dataclass(frozen=True)
class _Opened:
    """A decoded image: its squares, and the size and mode of the file, and whether it has colours, in words."""

    squares: list[npt.NDArray[np.uint8]]
    size: tuple[int, int]
    mode: str
    kind: str


def _open(item: Item, options: ReadOptions) -> tuple[str, _Opened | DataError]:
    """The name of an image, and the image, or what is wrong with it, which names it."""
    name, content = item
    try:
        image = open_image(content)
        squares = [face_square(image, *form) for form in options.forms]
        return name, _Opened(squares, image.size, image.mode, _kind(image))
    except DataError as error:
        reason = str(error)
        if isinstance(content, bytes):
            reason = reason.replace("the image", name, 1)
        elif name not in reason:
            reason = f"{name}: {reason}"
        return name, DataError(reason, code=error.code)


def _on_all_cores(
    items: Iterable[Item], work: Callable[[Item], tuple[str, _Opened | DataError]]
) -> Iterator[tuple[str, _Opened | DataError]]:
    """``work`` of each item, in order, a few blocks ahead.

    Pillow decodes and resizes without Python's lock, but not what it does around that: for small images one thread is
    faster than two.
    """
    remaining = iter(items)
    first = [work(item) for item in islice(remaining, _BLOCK)]
    yield from first
    pixels = [math.prod(image.size) for _, image in first if isinstance(image, _Opened)]
    if not pixels or sum(pixels) < len(pixels) * _SMALL_PIXELS:
        yield from map(work, remaining)
        return
    blocks = iter(lambda: list(islice(remaining, _BLOCK)), [])
    for block in ordered_map(lambda block: [work(item) for item in block], blocks, available_cores()):
        yield from block


def _is_grey(mode: str) -> bool:
    """Whether images of this mode of Pillow have no colours."""
    return mode in {"1", "L", "LA", "La"} or mode.startswith(("I", "F"))


def only_grey(name: str = "") -> DataError:
    """The error of data without colour that is to be read in colour."""
    such = f", such as {name}," if name else ""
    return DataError(
        f"All images{such} are grey, but the recipe or model has 3 channels. Give images in colour, a model of grey "
        f"images, or a recipe with input.channels = 1.",
        code="data-grey",
    )


def _about_files(sizes: set[tuple[int, int]], kinds: set[str]) -> str:
    """``"96 x 96 px, in colour"``, ``"40 x 40 to 96 x 96 px, grey"``; empty without images."""
    if not sizes:
        return ""
    if "in colour" in kinds:
        kinds = kinds - {"grey stored as RGB"}
    # Of one area, 90 x 60 and 60 x 90 are two sizes.
    extremes = [pick(sizes, key=lambda size: (math.prod(size), size)) for pick in (min, max)]
    shown = dict.fromkeys(f"{width} x {height}" for width, height in extremes)
    return f"{' to '.join(shown)} px, {' and '.join(sorted(kinds))}"


def _kind(image: Image) -> str:
    """Whether an image has colours. Of a larger one, 24 x 24 of its pixels are looked at."""
    if _is_grey(image.mode):
        return "grey"
    if math.prod(image.size) > _LOOKED_AT**2:
        image = image.resize((_LOOKED_AT, _LOOKED_AT), resample=0)  # the nearest pixel
    pixels = image.tobytes() if image.mode == "RGB" else upright_rgb(image).tobytes()
    return "grey stored as RGB" if pixels[::3] == pixels[1::3] == pixels[2::3] else "in colour"
