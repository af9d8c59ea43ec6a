"""The image files below a folder, and an image file as a face crop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.images import IMAGE_SUFFIXES, UNREAD_SUFFIXES, open_image
from mien.preprocess import InputSpec, face_square


def read_crop(file: Path, spec: InputSpec) -> npt.NDArray[np.uint8]:
    """Read an image file that is a face crop: its :func:`mien.preprocess.face_square` for a model's input, uint8.

    Raises:
        DataError: as :func:`mien.images.open_image`, or pixels that cannot be used; it names the file.
    """
    image = open_image(file)
    try:
        return face_square(image, spec.size_px, spec.channels)
    except DataError as error:
        raise DataError(f"{file}: {error}", code=error.code) from None


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """All image files below a folder, by suffix, sorted; hidden files are skipped.

    Raises:
        DataError: there is none (``folder-without-images``), or a folder cannot be read (``folder-unreadable``).
    """
    found = list(walk_images(folder))
    if not found:
        raise no_images(folder)
    return found


def walk_images(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """The files of :func:`image_files` in the same order. In memory: the names in one folder for each level.

    Raises:
        DataError: a folder cannot be read (``folder-unreadable``).
    """
    names, folders = [], set()
    try:
        with os.scandir(folder) as entries:
            # Names only: an entry is three times as large, and a folder may contain a million.
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                # A link could lead back to this folder.
                if entry.is_dir(follow_symlinks=False):
                    folders.add(entry.name)
                elif not (entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file()):
                    continue
                names.append(entry.name)
    except OSError as error:
        raise DataError(
            f"{os.fspath(folder)} cannot be read: {error.strerror or error}.", code="folder-unreadable"
        ) from None
    names.sort()
    for name in names:
        if name in folders:
            yield from walk_images(Path(folder) / name)
        else:
            yield Path(folder) / name


def count_unread(folder: str | os.PathLike[str]) -> int:
    """How many photos below a folder have a format that mien does not read, by suffix; hidden ones do not count."""
    names = (name for _, _, files in os.walk(folder) for name in files)
    return sum(name.lower().endswith(UNREAD_SUFFIXES) and not name.startswith(".") for name in names)


def no_images(folder: str | os.PathLike[str]) -> DataError:
    """The error for a folder without images."""
    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    unread = count_unread(folder)
    hint = f" It has {unread:,} of other formats, such as HEIC: convert them to JPEG first." if unread else ""
    return DataError(f"{os.fspath(folder)} contains no images ({suffixes}).{hint}", code="folder-without-images")
