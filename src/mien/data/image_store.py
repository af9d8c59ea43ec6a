"""Where a data set's images lie: in memory, or, where they are many, in a file that is mapped into memory.

Both are arrays to anyone who reads them. A mapped file takes no memory of the process: the system keeps as many of its
pages at hand as there is room for, and reads the others from disk. The file is removed by the system when the process
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
"""From here on images go into a mapped file. FER2013 has a third of that."""

_BLOCK = 1024
Images = npt.NDArray[np.uint8]


class ImageWriter:
    """Takes at most ``most`` images of one shape, (H, W) or (H, W, 3), block by block, and makes one array of them.

    Raises:
        DataError: there is no room on the disk (``no-space``).
    """

    def __init__(self, most: int, shape: tuple[int, ...]) -> None:
        self._file: IO[bytes] | None = None
        self._shape, self._count = shape, 0
        if is_large(most, shape):
            self._file, self._folder = _temporary_file()
        else:
            self._images = np.empty((most, *shape), dtype=np.uint8)

    def add(self, block: Images) -> None:
        """Take uint8 (K, H, W[, 3])."""
        if self._file is None:
            self._images[self._count : self._count + len(block)] = block
        else:
            with self._disk():
                self._file.write(np.ascontiguousarray(block).data)
        self._count += len(block)

    def finish(self) -> Images:
        """All images, uint8 (N, H, W[, 3]); read-only where they are mapped."""
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
                f"{self._folder} cannot take the images ({error.strerror or error}). Free some space, or name another "
                f"folder with MIEN_CACHE.",
                code="no-space",
            ) from None


def is_large(count: int, shape: tuple[int, ...]) -> bool:
    """Whether so many images of a shape go into a mapped file."""
    return count * math.prod(shape) >= LARGE_BYTES


def is_mapped(images: Images) -> bool:
    """Whether images lie in a mapped file."""
    # A copy of a map is a numpy.memmap too, but without a file.
    return getattr(images, "_mmap", None) is not None


def expect_random(images: Images) -> Images:
    """The same images, of which a mapped file gives single ones in any order from now on.

    A system reads ahead otherwise, and throws out of memory what is needed sooner.
    """
    # numpy.memmap names its map no other way. Windows has no such advice.
    if is_mapped(images) and hasattr(mmap, "MADV_RANDOM"):
        images._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]
    return images


def take(images: Images, chosen: npt.NDArray[Any]) -> Images:
    """The images that ``chosen`` (bool (N,) or indices) picks, in that order.

    Many images of a mapped file go into another one, or stay where they are if they stand one behind the other.
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
    """``work`` of all images, a block at a time. It makes (K, *shape) of (K, H, W[, 3])."""
    writer = ImageWriter(len(images), shape)
    for block in slices(len(images), _BLOCK):
        writer.add(work(np.asarray(images[block])))
    return writer.finish()


def _temporary_file() -> tuple[IO[bytes], Path]:
    """A file without a name, and the folder whose disk it is on: that of the cache, or else of the system."""
    folder = cache_folder("faces")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder), folder
    except OSError:
        return tempfile.TemporaryFile(), Path(tempfile.gettempdir())
