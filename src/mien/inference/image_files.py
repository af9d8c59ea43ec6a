"""Search of image files below a folder."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mien.base.errors import DataError
from mien.base.images import IMAGE_SUFFIXES, UNREAD_ADVICE, UNREAD_SUFFIXES, is_folder, is_left_out, missing_file


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """Return all image files below a folder, by suffix, sorted. Hidden files are skipped.

    Raises DataError: no image file (``folder-without-images``), or an unreadable folder (``folder-unreadable``).
    """
    return [Path(name) for name in _images_and_unread(folder)[0]]


def find_images(sources: Sequence[str], *, missing_too: bool = False) -> tuple[list[str], dict[str, int]]:
    """Return all images in files and folders, sorted within each folder; a source that is given twice counts once.

    Also returns the number of photos in formats that mien cannot open, by folder. ``missing_too`` keeps missing files.

    Raises DataError if a source is missing or contains no image.
    """
    images, unread = [], {}
    for source in dict.fromkeys(sources):
        if Path(source).is_dir():
            below, unread[source] = _images_and_unread(source)
            images += below
        elif missing_too or Path(source).exists():
            images.append(source)
        else:
            raise missing_file(source)
    return images, unread


def _images_and_unread(folder: str | os.PathLike[str]) -> tuple[list[str], int]:
    images, unread = [], 0
    for file in walk_images(folder, suffixes=IMAGE_SUFFIXES + UNREAD_SUFFIXES):
        if file.name.lower().endswith(IMAGE_SUFFIXES):
            images.append(str(file))
        else:
            unread += 1
    if not images:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        hint = f" Files of other formats: {unread:,}; {UNREAD_ADVICE}." if unread else ""
        raise DataError(f"{os.fspath(folder)} contains no images ({suffixes}).{hint}", code="folder-without-images")
    return images, unread


def walk_images(
    folder: str | os.PathLike[str], above: Sequence[Path] = (), suffixes: tuple[str, ...] = IMAGE_SUFFIXES
) -> Iterator[Path]:
    """Yield the files of :func:`image_files` in the same order. Only the names of one folder per level are in memory.

    Raises DataError if a folder cannot be read (``folder-unreadable``).
    """
    folder, names, folders = Path(folder), [], set()
    within = (*above, folder.resolve())
    try:
        with os.scandir(folder) as entries:
            # Keep only names: a directory entry is three times as large, and a folder may contain a million.
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if is_folder(entry):
                    if is_left_out(entry, within):
                        continue
                    folders.add(entry.name)
                # A link without a target is an image that cannot be read. Opening a pipe could wait forever.
                elif not entry.name.lower().endswith(suffixes) or not (
                    entry.is_file(follow_symlinks=False) or os.path.isfile(entry) or not os.path.exists(entry)  # noqa: PTH110, PTH113 - Path's may raise
                ):
                    continue
                names.append(entry.name)
    except NotADirectoryError:
        raise DataError(f"{folder} is a file; give its folder.", code="folder-is-a-file") from None
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}.", code="folder-unreadable") from None
    names.sort()
    for name in names:
        if name in folders:
            yield from walk_images(folder / name, within, suffixes)
        else:
            yield folder / name
