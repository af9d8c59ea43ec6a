"""Storage of a data set's images: in memory, or in a memory-mapped file if there are many.

Both are NumPy arrays. A mapped file uses no memory of the process: the system caches its pages as space allows. The
system removes the file when the process ends.
ends, however it ends.
"""

from __future__ import annotations

import math
import mmap
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.base.files import cache_folder
from mien.base.progress import slices

LARGE_BYTES = 1 << 28
"""Size from which images go into a mapped file. FER2013 has a third of it."""

_BLOCK = 1024
Images = npt.NDArray[np.uint8]


class ImageWriter:
    """Collects at most ``most`` images of one shape, (H, W) or (H, W, 3), in blocks and makes one array of them.

    Raises:
        DataError: the disk is full (``no-space``).
    """

    def __init__(self, most: int, shape: tuple[int, ...]) -> None:
        self._file: IO[bytes] | None = None
        self._shape, self._count = shape, 0
        if is_large(most, shape):
            self._file, self._folder = _temporary_file()
        else:
            self._images = np.empty((most, *shape), dtype=np.uint8)

    def add(self, block: Images) -> None:
        """Append uint8 (K, H, W[, 3])."""
        if self._file is None:
            self._images[self._count : self._count + len(block)] = block
        else:
            with self._disk():
                self._file.write(np.ascontiguousarray(block).data)
        self._count += len(block)

    def finish(self) -> Images:
        """Return all images, uint8 (N, H, W[, 3]); read-only if they are mapped."""
        if self._file is None:
            return self._images[: self._count]
        if not self._count:  # an empty file cannot be mapped
            return np.empty((0, *self._shape), dtype=np.uint8)
        with self._disk():
            self._file.flush()
        images = np.memmap(self._file, dtype=np.uint8, mode="r", shape=(self._count, *self._shape))
        self._file.close()  # the map keeps it
        return images

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"{self._folder} lacks room for images ({error.strerror or error}). Free some space, or name another "
                f"folder with MIEN_CACHE.",
                code="no-space",
            ) from None


def is_large(count: int, shape: tuple[int, ...]) -> bool:
    """Return whether ``count`` images of this shape go into a mapped file."""
    return count * math.prod(shape) >= LARGE_BYTES


def is_mapped(images: Images) -> bool:
    """Return whether images lie in a mapped file."""
    # A copy of a map is also a numpy.memmap, but has no file.
    return getattr(images, "_mmap", None) is not None


def expect_random(images: Images) -> Images:
    """Tell the system that single images of a mapped file will be read in random order.

    It would otherwise read ahead and drop pages that are still needed.
    """
    # numpy.memmap offers no public name for its map. Windows has no such call.
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
    places = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
    if not is_large(len(places), images.shape[1:]):
        return np.asarray(images[places])
    if places[0] >= 0 and (np.diff(places) == 1).all():
        return images[places[0] : places[-1] + 1]
    writer = ImageWriter(len(places), images.shape[1:])
    for block in slices(len(places), _BLOCK):
        writer.add(images[places[block]])
    return writer.finish()


def convert(images: Images, work: Callable[[Images], Images], shape: tuple[int, ...]) -> Images:
    """Apply ``work``, which maps (K, H, W[, 3]) to (K, *shape), to all images in blocks."""
    writer = ImageWriter(len(images), shape)
    for block in slices(len(images), _BLOCK):
        writer.add(work(np.asarray(images[block])))
    return writer.finish()


def _temporary_file() -> tuple[IO[bytes], Path]:
    """Open a nameless file in the cache folder, or else in the system's temporary folder; return it and the folder."""
    folder = cache_folder("faces")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder), folder
    except OSError:
        return tempfile.TemporaryFile(), Path(tempfile.gettempdir())
