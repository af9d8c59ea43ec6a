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
    for file in _walk(Path(folder)):
        if file.name.lower().endswith(IMAGE_SUFFIXES):
            images.append(str(file))
        else:
            unread += 1
    if not images:
        suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
        hint = f" Files of other formats: {unread:,}; {UNREAD_ADVICE}." if unread else ""
        raise DataError(f"{os.fspath(folder)} contains no images ({suffixes}).{hint}", code="folder-without-images")
    return images, unread


def _walk(folder: Path, above: Sequence[Path] = ()) -> Iterator[Path]:
    """Yield the images and unread photos below a folder, sorted. ``above`` are the resolved folders around it."""
    within = (*above, folder.resolve())
    try:
        with os.scandir(folder) as entries:
            found = sorted((each for each in entries if not each.name.startswith(".")), key=lambda each: each.name)
    except NotADirectoryError:
        raise DataError(f"{folder} is a file; give its folder.", code="folder-is-a-file") from None
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}.", code="folder-unreadable") from None
    for entry in found:
        if is_folder(entry):
            if not is_left_out(entry, within):
                yield from _walk(folder / entry.name, within)
        # A link without a target is an image that cannot be read. Opening a pipe could wait forever.
        elif entry.name.lower().endswith(IMAGE_SUFFIXES + UNREAD_SUFFIXES) and (
            entry.is_file(follow_symlinks=False) or os.path.isfile(entry) or not os.path.exists(entry)  # noqa: PTH110, PTH113 - Path's may raise
        ):
            yield folder / entry.name
