"""Decode many images into arrays, the same way for every reader."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.images import open_image
from mien.base.preprocess import face_shape, face_square
from mien.base.processes import available_cores, ordered_map
from mien.base.progress import track
from mien.data.image_store import new_images

FINGERPRINT_PX = 48
"""Side in pixels of the grey squares that fingerprints are computed from. Models of any input size, grey or colour, can
therefore recognise the same data."""

Content = str | os.PathLike[str] | bytes | npt.NDArray[np.uint8]
"""A path, the bytes of an image file, or pixels."""
Item = tuple[str, Content]
"""A name for messages, and the content of the image."""

_BLOCK = 16


def check_form(size_px: object, channels: object) -> None:
    """Raise :class:`DataError` unless ``size_px`` is 8..1024 and ``channels`` 1 or 3."""
    if not isinstance(size_px, int | np.integer) or not 8 <= size_px <= 1024:
        words = f"size_px, the size of the faces, must be a whole number, 8..1024; found {size_px!r}."
        raise DataError(words, code="image-size")
    if not isinstance(channels, int | np.integer) or channels not in {1, 3}:
        raise DataError(f"Images have 1 channel (grey) or 3 (RGB); found channels={channels!r}.", code="image-channels")


def only_grey(name: str = "") -> DataError:
    """Return the error for grey data that should be read in colour."""
    such = f", such as {name}," if name else ""
    words = f"All images{such} are grey. Give images in colour, a model of grey images, or a "
    return DataError(f"{words}recipe with input.channels = 1.", code="data-grey")


def decode_images(
    items: Iterable[Item], count: int, forms: Sequence[tuple[int, int]], what: str, *, skip_bad: bool = False
) -> tuple[list[npt.NDArray[np.uint8]], npt.NDArray[np.int64], list[tuple[str, str]]]:
    """Decode ``count`` images to squares of each form (size in px, channels), in order, on all cores.

    Returns the squares of each form; the indices of the K images that could be decoded, int64 (K,); and the others, as
    (name, reason). Large data goes into a mapped file. Raises DataError that names an image that cannot be decoded,
    unless ``skip_bad``.
    """
    images = [new_images(count, face_shape(*form)) for form in forms]
    decoded: list[int] = []
    bad: list[tuple[str, str]] = []
    remaining = iter(items)
    blocks: Iterator[list[Item]] = iter(lambda: list(islice(remaining, _BLOCK)), [])
    # Pillow releases Python's lock while it decodes and resizes.
    opened = ordered_map(lambda block: [_open(item, forms, skip_bad) for item in block], blocks, available_cores())
    for index, (name, squares) in enumerate(track(chain.from_iterable(opened), count, what, "images")):
        if isinstance(squares, DataError):
            if not skip_bad:
                raise squares
            bad.append((name, str(squares)))
            continue
        for stored, square in zip(images, squares, strict=True):
            stored[len(decoded)] = square
        decoded.append(index)
    return [stored[: len(decoded)] for stored in images], np.array(decoded, dtype=np.int64), bad


def _open(
    item: Item, forms: Sequence[tuple[int, int]], skip_bad: bool
) -> tuple[str, list[npt.NDArray[np.uint8]] | DataError]:
    """Return the name of an image, and its squares or an error that names it."""
    name, content = item
    try:
        if isinstance(content, str | os.PathLike) and Path(content).is_fifo():
            raise DataError(f"{name} is a pipe, not a file.", code="image-pipe")
        image = content if isinstance(content, np.ndarray) else open_image(content)
        return name, [face_square(image, *form) for form in forms]
    except DataError as error:
        reason = str(error)
        if isinstance(content, bytes):
            reason = reason.replace("the image", name, 1)
        elif name not in reason:
            reason = f"{name}: {reason}"
        advice = "" if skip_bad else " Replace it, or leave such images out with --skip-bad."
        return name, DataError(reason + advice, code="image-unreadable")
