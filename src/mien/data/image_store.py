"""Storage of a data set's images: in memory, or in a memory-mapped file if there are many.

In both cases, the images are a NumPy array. A mapped file uses no memory of the process: the system caches its pages as
space allows. The system removes the file when the process ends, however it ends.
"""

import math
import mmap
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.files import cache_folder
from mien.base.progress import slices

LARGE_BYTES = 1 << 28
"""Size from which images go into a mapped file. FER2013 is a third as large."""

_BLOCK = 1024
Images = npt.NDArray[np.uint8]


def new_images(count: int, shape: tuple[int, ...]) -> Images:
    """Create uint8 (count, *shape) to fill with images: in memory, or in a mapped file if it is large.

    Raises DataError if the disk is full (``no-space``).
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
            raise DataError(words, code="no-space") from None
        return np.memmap(file, dtype=np.uint8, shape=(count, *shape))


def is_mapped(images: Images) -> bool:
    """Return whether images lie in a mapped file."""
    # A copy of a map is also a numpy.memmap, but has no file.
    return getattr(images, "_mmap", None) is not None


def expect_random(images: Images) -> Images:
    """Tell the system that single images of a mapped file will be read in random order.

    Otherwise the system would read ahead, and drop pages that are still needed.
    """
    # numpy.memmap has no public attribute for its map. Windows has no madvise.
    if is_mapped(images) and hasattr(mmap, "MADV_RANDOM"):
        images._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]
    return images


def take(images: Images, chosen: npt.NDArray[Any]) -> Images:
    """Return the images that ``chosen`` (bool (N,) or indices) selects, in that order.

    A large selection from a mapped file is copied to another file; a contiguous one is a view.
    """
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


def convert(images: Images, work: Callable[[Images], Images], shape: tuple[int, ...]) -> Images:
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
