"""The image files below a folder, and one of them as a model sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.pictures import IMAGE_SUFFIXES, open_image
from mien.preprocess import grey_square


def read_square(file: Path, size_px: int) -> npt.NDArray[np.uint8]:
    """A face that is cut out already: :func:`mien.preprocess.grey_square` of an image file.

    Raises:
        DataError: as :func:`mien.pictures.open_image`, or pixels that cannot be used; it names the file.
    """
    image = open_image(file)
    try:
        return grey_square(image, size_px)
    except DataError as error:
        raise DataError(f"{file}: {error}") from None


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """All image files below a folder, by suffix, sorted; hidden ones are left out.

    Raises:
        DataError: there is none, or a folder that may not be read.
    """
    found = list(walk_images(folder))
    if not found:
        raise no_images(folder)
    return found


def walk_images(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """The files of :func:`image_files` in the same order, holding the names in one folder a level at a time.

    Raises:
        DataError: a folder that may not be read.
    """
    names, folders = [], set()
    try:
        with os.scandir(folder) as entries:
            # Names alone: an entry is three times as large, and a folder may hold a million.
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                # A linked folder could lead back to where we are.
                if entry.is_dir(follow_symlinks=False):
                    folders.add(entry.name)
                elif not (entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file()):
                    continue
                names.append(entry.name)
    except OSError as error:
        raise DataError(f"{os.fspath(folder)} cannot be read: {error.strerror or error}.") from None
    names.sort()
    for name in names:
        if name in folders:
            yield from walk_images(Path(folder) / name)
        else:
            yield Path(folder) / name


def no_images(folder: str | os.PathLike[str]) -> DataError:
    """What is said of a folder without images."""
    return DataError(f"{os.fspath(folder)} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
