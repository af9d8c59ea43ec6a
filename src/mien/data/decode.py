"""Decode many images into one array, the same way for every reader."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.pictures import open_image
from mien.preprocess import grey_square
from mien.progress import track


@dataclass(frozen=True)
class Decoded:
    """Images uint8 (K, S, S); ``kept`` int64 (K,), which items they were; ``skipped``, (source, reason) of the rest;
    ``notes``, what a person should know of them.
    """

    images: npt.NDArray[np.uint8]
    kept: npt.NDArray[np.int64]
    skipped: list[tuple[str, str]]
    notes: list[str]


def decode_images(
    items: Iterable[tuple[str, str | os.PathLike[str] | bytes]],
    count: int,
    size_px: int,
    skip_bad: bool,
    what: str,
) -> Decoded:
    """Decode ``count`` images to grey squares, in order, into memory that is taken once.

    Args:
        items: a name for messages, and a path or the bytes of an image file, each.
        count: how many items there are.
        size_px: side of the squares.
        skip_bad: list an image that cannot be decoded and go on, instead of raising.
        what: the work in a few words, for the progress bar.

    Raises:
        DataError: an image cannot be decoded; the message names it.
    """
    images = np.empty((count, size_px, size_px), dtype=np.uint8)
    kept: list[int] = []
    skipped: list[tuple[str, str]] = []
    sizes: set[tuple[int, int]] = set()
    for index, (name, content) in enumerate(track(items, count, what, "images")):
        try:
            image = open_image(content)
            images[len(kept)] = grey_square(image, size_px)
        except DataError as error:
            reason = str(error)
            if isinstance(content, bytes):
                reason = reason.replace("the image", name, 1)
            elif name not in reason:
                reason = f"{name}: {reason}"
            if not skip_bad:
                raise DataError(f"{reason} Replace it, or leave such images out with --skip-bad.") from None
            skipped.append((name, reason))
            continue
        kept.append(index)
        sizes.add(image.size)
    return Decoded(images[: len(kept)], np.array(kept, dtype=np.int64), skipped, _notes(sizes, size_px))


def _notes(sizes: set[tuple[int, int]], size_px: int) -> list[str]:
    if len(sizes) < 2:
        return []
    least, most = (f"{width} x {height}" for width, height in (pick(sizes, key=math.prod) for pick in (min, max)))
    return [
        f"The pictures have {len(sizes):,} different sizes, from {least} to {most} pixels; each becomes a grey square "
        f"of {size_px}."
    ]
