"""Images of a data set: decoded to squares, and stored in memory or, if there are many, in a memory-mapped file.

In both cases, they are a NumPy array. A mapped file uses no memory of the process: the system caches its pages as
space allows. The system removes the file when the process ends, however it ends.
"""

import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO

import numpy as np

from mien.base.arrays import Array, Ints, Pixels
from mien.base.errors import DataError
from mien.base.files import cache_folder
from mien.base.images import open_image
from mien.base.preprocess import face_shape, face_square
from mien.base.processes import available_cores, ordered_map
from mien.base.progress import slices, track

LARGE_BYTES = 1 << 28
"""Size from which images go into a mapped file. FER2013 is a third as large."""

FINGERPRINT_PX = 48
"""Side in pixels of the grey squares that fingerprints are computed from. Models of any input size, grey or colour, can
therefore recognise the same data."""

Content = str | os.PathLike[str] | bytes | Pixels
"""A path, the bytes of an image file, or pixels."""
Item = tuple[str, Content]
"""A name for messages, and the content of the image."""

_BLOCK = 1024
_DECODE_BLOCK = 16


def new_images(count: int, shape: tuple[int, ...]) -> Pixels:
    """Create uint8 (count, *shape) to fill with images: in memory, or in a mapped file if it is large.

    Raises DataError if the disk is full (``file-unwritable``).
    """
    size = count * math.prod(shape)
    if size < LARGE_BYTES:
        return np.empty((count, *shape), dtype=np.uint8)
    file, folder = _temporary_file()
    with file:  # the map keeps the file open
        try:
            if hasattr(os, "posix_fallocate"):  # macOS and Windows have no posix_fallocate
                # Allocate all space now; if the disk were full later, the process would crash.
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            words = f"{folder} lacks room for images ({error.strerror or error}). Give another folder: MIEN_CACHE."
            raise DataError(words, code="file-unwritable") from None
        return np.memmap(file, dtype=np.uint8, shape=(count, *shape))


def is_mapped(images: Pixels) -> bool:
    """Return whether images lie in a mapped file."""
    # A copy of a map is also a numpy.memmap, but has no file.
    return getattr(images, "_mmap", None) is not None


def expect_random(images: Pixels) -> Pixels:
    """Tell the system not to read ahead: single images of a mapped file will be read in random order."""
    # numpy.memmap has no public attribute for its map. Windows has no madvise.
    if is_mapped(images) and hasattr(mmap, "MADV_RANDOM"):
        images._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]
    return images


def take(images: Pixels, chosen: Array) -> Pixels:
    """Return the images that ``chosen`` (bool (N,) or indices) selects, in order, in another file if they are many."""
    chosen = np.asarray(chosen)
    if not is_mapped(images):
        return np.asarray(images[chosen])
    indices = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
    if len(indices) * math.prod(images.shape[1:]) < LARGE_BYTES:
        return np.asarray(images[indices])
    if indices[0] >= 0 and (np.diff(indices) == 1).all():
        return images[indices[0] : indices[-1] + 1]
    taken = new_images(len(indices), images.shape[1:])
    for block in slices(len(indices), _BLOCK):
        taken[block] = images[indices[block]]
    return taken


def convert(images: Pixels, work: Callable[[Pixels], Pixels], shape: tuple[int, ...]) -> Pixels:
    """Apply ``work``, which maps (K, H, W[, 3]) to (K, *shape), to all images in blocks."""
    converted = new_images(len(images), shape)
    for block in slices(len(images), _BLOCK):
        converted[block] = work(np.asarray(images[block]))
    return converted


def _temporary_file() -> tuple[IO[bytes], Path]:
    """Open an unnamed file in the cache folder, or else in the system's temporary folder; return it and the folder."""
    folder = cache_folder("faces")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder), folder
    except OSError:
        return tempfile.TemporaryFile(), Path(tempfile.gettempdir())


def check_form(size_px: object, channels: object) -> None:
    """Raise :class:`DataError` unless ``size_px`` is 8..1024 and ``channels`` 1 or 3."""
    if not isinstance(size_px, int | np.integer) or not 8 <= size_px <= 1024:
        raise DataError(f"size_px must be a whole number, 8..1024; found {size_px!r}.", code="image-size")
    if not isinstance(channels, int | np.integer) or channels not in {1, 3}:
        raise DataError(f"Images have 1 channel (grey) or 3 (RGB); found channels={channels!r}.", code="options")


def only_grey(name: str = "") -> DataError:
    """Return the error for grey data that should be read in colour."""
    such = f", such as {name}," if name else ""
    words = f"All images{such} are grey. Give images in colour, or a recipe with input.channels = 1."
    return DataError(words, code="image-size")


def decode_images(
    items: Iterable[Item], count: int, forms: Sequence[tuple[int, int]], what: str, *, skip_bad: bool = False
) -> tuple[list[Pixels], Ints, list[tuple[str, str]]]:
    """Decode ``count`` images to squares of each form (size in px, channels), in order, on all cores.

    Returns the squares of each form; the indices of the K images that could be decoded, int64 (K,); and the others, as
    (name, reason). Raises DataError that names an image that cannot be decoded, unless ``skip_bad``.
    """
    images = [new_images(count, face_shape(*form)) for form in forms]
    decoded: list[int] = []
    bad: list[tuple[str, str]] = []
    remaining = iter(items)
    blocks: Iterator[list[Item]] = iter(lambda: list(islice(remaining, _DECODE_BLOCK)), [])
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


def _open(item: Item, forms: Sequence[tuple[int, int]], skip_bad: bool) -> tuple[str, list[Pixels] | DataError]:
    """Return the name of an image, and its squares or an error that names it."""
    name, content = item
    try:
        if isinstance(content, str | os.PathLike) and Path(content).is_fifo():
            raise DataError(f"{name} is a pipe, not a file.", code="image-format")
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
