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
    if not (found := list(walk_images(folder))):
        raise no_images(folder)
    return found


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


def count_unread(folder: str | os.PathLike[str]) -> int:
    """Count the photos below a folder in formats that mien cannot open, by suffix, without hidden files."""
    return sum(1 for _ in walk_images(folder, suffixes=UNREAD_SUFFIXES))


def no_images(folder: str | os.PathLike[str]) -> DataError:
    """Return the error for a folder without images."""
    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    unread = count_unread(folder)
    hint = f" Files of other formats: {unread:,}; {UNREAD_ADVICE}." if unread else ""
    return DataError(f"{os.fspath(folder)} contains no images ({suffixes}).{hint}", code="folder-without-images")


def walk_sources(sources: Sequence[str], *, missing_too: bool = False) -> Iterator[Path]:
    """Yield all images in files and folders, sorted within each folder; a source that is given twice counts once.

    Raises DataError if a source is missing or contains no image.
    """
    for source in map(Path, dict.fromkeys(sources)):
        if source.is_dir():
            images = walk_images(source)
            if (first := next(images, None)) is None:
                raise no_images(source)
            yield first
            yield from images
        elif missing_too or source.exists():
            yield source
        else:
            raise missing_file(source)
