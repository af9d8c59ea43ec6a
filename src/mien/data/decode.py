"""Decode many images into one array, the same way for every reader."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mien.data.face_table import ReadOptions
from mien.errors import DataError, Notice
from mien.images import open_image
from mien.preprocess import face_shape, face_square
from mien.progress import track


@dataclass(frozen=True)
class Decoded:
    """Images uint8 (K, S, S[, 3]); ``kept`` int64 (K,), which items they were; ``skipped``, (source, reason) of the
    rest; ``notes``, what a person should know of them.
    """

    images: npt.NDArray[np.uint8]
    kept: npt.NDArray[np.int64]
    skipped: list[tuple[str, str]]
    notes: list[Notice]


def decode_images(
    items: Iterable[tuple[str, str | os.PathLike[str] | bytes]],
    count: int,
    options: ReadOptions,
    what: str,
) -> Decoded:
    """Decode ``count`` images to squares, in order, into memory that is taken once.

    Args:
        items: a name for messages, and a path or the bytes of an image file, each.
        count: how many items there are.
        options: size and channels of the squares. ``skip_bad`` lists an image that cannot be used and goes on, instead
            of raising: one that cannot be decoded; of squares in colour one that is grey.
        what: the work in a few words, for the progress bar.

    Raises:
        DataError: an image cannot be decoded; the message names it. Squares in colour of grey images (``data-grey``),
            or of images of which some are grey (``images-mixed``).
    """
    size_px, channels = options.size_px, options.channels
    images = np.empty((count, *face_shape(size_px, channels)), dtype=np.uint8)
    colours = _Colours(options.skip_bad)
    kept: list[int] = []
    skipped: list[tuple[str, str]] = []
    sizes: set[tuple[int, int]] = set()
    for index, (name, content) in enumerate(track(items, count, what, "images")):
        try:
            image = open_image(content)
            if channels == 3:
                colours.check(name, image.mode)
            images[len(kept)] = face_square(image, size_px, channels)
        except DataError as error:
            reason = str(error)
            if isinstance(content, bytes):
                reason = reason.replace("the image", name, 1)
            elif name not in reason:
                reason = f"{name}: {reason}"
            if error.code == "images-mixed" and not options.skip_bad:
                raise
            if not options.skip_bad:
                raise DataError(
                    f"{reason} Replace it, or leave such images out with --skip-bad.", code="image-unreadable"
                ) from None
            skipped.append((name, reason))
            continue
        kept.append(index)
        sizes.add(image.size)
    if channels == 3 and (kept or colours.first_grey) and not _any_colour(images[: len(kept)]):
        raise only_grey(colours.first_grey)
    return Decoded(images[: len(kept)], np.array(kept, dtype=np.int64), skipped, _notes(sizes, options))


@dataclass
class _Colours:
    """Keeps grey image files apart from those in colour: which of the two a picture is would tell its source."""

    skip_grey: bool
    first_grey: str = ""
    first_colour: str = field(default="", init=False)

    def check(self, name: str, mode: str) -> None:
        """Note an image by its mode in Pillow. Raises :class:`DataError` where both kinds have been seen."""
        if mode in {"1", "L", "LA", "La"} or mode.startswith(("I", "F")):
            self.first_grey = self.first_grey or name
            if self.skip_grey:
                raise DataError(f"{name} is grey; the data is read in colour.", code="images-mixed")
        else:
            self.first_colour = self.first_colour or name
        if self.first_grey and self.first_colour and not self.skip_grey:
            raise DataError(
                f"{self.first_grey} is grey and {self.first_colour} is in colour. Leave grey images out with "
                f"--skip-bad, or read all in grey with input.channels = 1.",
                code="images-mixed",
            )


def _any_colour(images: npt.NDArray[np.uint8]) -> bool:
    """Whether any pixel of RGB images is not grey; a thousand images in hand at a time."""
    parts = (images[at : at + 1000] for at in range(0, len(images), 1000))
    return any(bool((part[..., :1] != part[..., 1:]).any()) for part in parts)


def only_grey(name: str = "") -> DataError:
    """The error of data without colour that is to be read in colour."""
    such = f", such as {name}," if name else ""
    return DataError(
        f"All images{such} are grey, but the recipe or model has 3 channels. Set input.channels = 1.", code="data-grey"
    )


def _notes(sizes: set[tuple[int, int]], options: ReadOptions) -> list[Notice]:
    if len(sizes) < 2:
        return []
    least, most = (f"{width} x {height}" for width, height in (pick(sizes, key=math.prod) for pick in (min, max)))
    words = (
        f"The pictures have {len(sizes):,} different sizes, from {least} to {most} pixels; each becomes "
        f"{'a grey' if options.channels == 1 else 'an RGB'} square of {options.size_px}."
    )
    return [Notice(words, code="image-sizes")]
