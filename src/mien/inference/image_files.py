"""Image files below a folder, and images by name wherever they are: at addresses such as ``s3://bucket/folder`` too.

Addresses are read by pyarrow's file systems: ``s3://``, ``gs://``, ``abfs://``, and all others of fsspec as
``fsspec+PROTOCOL://``. Keys, region and endpoint come from the environment or the address
(``s3://bucket/folder?region=eu-west-1&endpoint_override=http://...``), as pyarrow documents them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from mien.base.errors import DataError, needs_extra, without_password
from mien.base.images import IMAGE_SUFFIXES, UNREAD_ADVICE, UNREAD_SUFFIXES, is_system_folder, missing_file


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """All image files below a folder, by suffix, sorted; hidden files are skipped.

    Raises:
        DataError: there is none (``folder-without-images``), or a folder cannot be read (``folder-unreadable``).
    """
    if not (found := list(walk_images(folder))):
        raise no_images(folder)
    return found


def walk_images(folder: str | os.PathLike[str], base: Path = Path()) -> Iterator[Path]:
    """The files of :func:`image_files` in the same order. In memory: the names in one folder for each level.

    A relative folder is looked for in ``base``; the files are named as it is named.

    Raises:
        DataError: a folder cannot be read (``folder-unreadable``).
    """
    folder, names, folders = Path(folder), [], set()
    try:
        with os.scandir(base / folder) as entries:
            # Names only: an entry is three times as large, and a folder may contain a million.
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                # A link could lead back to this folder.
                if entry.is_dir(follow_symlinks=False):
                    if is_system_folder(entry.name):
                        continue
                    folders.add(entry.name)
                elif not (entry.name.lower().endswith(IMAGE_SUFFIXES) and entry.is_file()):
                    continue
                names.append(entry.name)
    except OSError as error:
        raise DataError(f"{folder} cannot be read: {error.strerror or error}.", code="folder-unreadable") from None
    names.sort()
    for name in names:
        if name in folders:
            yield from walk_images(folder / name, base)
        else:
            yield folder / name


def count_unread(folder: str | os.PathLike[str]) -> int:
    """How many photos below a folder have a format that mien does not read, by suffix; hidden ones do not count."""
    count = 0
    for _, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not is_system_folder(name)]
        count += sum(name.lower().endswith(UNREAD_SUFFIXES) and not name.startswith(".") for name in files)
    return count


def no_images(folder: str | os.PathLike[str]) -> DataError:
    """The error for a folder without images."""
    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    unread = count_unread(folder)
    hint = f" It has {unread:,} of other formats: {UNREAD_ADVICE}." if unread else ""
    return DataError(f"{os.fspath(folder)} contains no images ({suffixes}).{hint}", code="folder-without-images")


def is_address(name: str) -> bool:
    """Whether a name is an address of another file system than the system's own."""
    return "://" in name


def walk_sources(sources: Sequence[str], base: Path, *, missing_too: bool = False) -> Iterator[str]:
    """The names of all images of each source, a source once; sorted in each folder.

    Args:
        sources: files, folders and addresses of either.
        base: what relative paths are relative to.
        missing_too: name missing files like others.

    Raises:
        DataError: a source is missing or has no image, or an address cannot be read (``source-unreadable``).
    """
    for source in dict.fromkeys(sources):
        found = 0
        for name in _walk(source, base, missing_too):
            found += 1
            yield name
        if not found:
            raise no_images(source)


def _walk(source: str, base: Path, missing_too: bool) -> Iterator[str]:
    if is_address(source):
        yield from _walk_address(source)
    elif (base / source).is_dir():
        yield from map(str, walk_images(source, base))
    elif missing_too or (base / source).exists():
        yield source
    else:
        raise missing_file(Path(source))


def _walk_address(address: str) -> Iterator[str]:
    from pyarrow.fs import FileType

    system, path = _open_system(address)
    scheme = address.partition("://")[0]
    with _one_line(address):
        info = system.get_file_info(path)
    if info.type == FileType.File:
        yield f"{scheme}://{path}"
    elif info.type == FileType.Directory:
        yield from (f"{scheme}://{each}" for each in _below(system, path, address))
    else:
        name = without_password(address)
        raise DataError(f"{name} does not exist, or may not be listed.", code="source-unreadable")


def _below(system: Any, path: str, address: str) -> Iterator[str]:
    """Names of one folder at a time are in memory, not of all."""
    from pyarrow.fs import FileSelector, FileType

    with _one_line(address):
        infos = sorted(system.get_file_info(FileSelector(path)), key=lambda info: str(info.path))
    for info in infos:
        if info.base_name.startswith("."):
            continue
        if info.type == FileType.Directory:
            yield from _below(system, info.path, address)
        elif info.base_name.lower().endswith(IMAGE_SUFFIXES):
            yield info.path


@contextmanager
def local_copies(names: Sequence[str], sources: Sequence[str], base: Path) -> Iterator[list[Path | DataError]]:
    """A local file for each name, until the block ends: itself, or a copy of what lies at an address.

    Args:
        names: of :func:`walk_sources`.
        sources: from which the names came.
        base: as there.

    Yields:
        A path, or the error of an address that could not be read.
    """
    with TemporaryDirectory(prefix="mien-images-") as folder:
        found: list[Path | DataError] = []
        for number, name in enumerate(names):
            if not is_address(name):
                found.append(base / name)
                continue
            copy = Path(folder) / f"{number}{Path(name).suffix}"
            try:
                _copy(name, sources, copy)
                found.append(copy)
            except DataError as error:
                found.append(error)
        yield found


def _copy(name: str, sources: Sequence[str], copy: Path) -> None:
    scheme, _, path = name.partition("://")
    of_scheme = [_open_system(source) for source in sources if source.startswith(f"{scheme}://")]
    system = next(system for system, folder in of_scheme if PurePosixPath(path).is_relative_to(folder))
    with _one_line(name), system.open_input_stream(path) as stream, copy.open("wb") as file:
        while block := stream.read(1 << 20):
            file.write(block)


_systems: dict[str, tuple[Any, str]] = {}


def _open_system(address: str) -> tuple[Any, str]:
    """A file system and the path in it; opened once a process, since an S3 client takes a second."""
    if address not in _systems:
        with needs_extra("scale", "Reading from other file systems"):
            from pyarrow.fs import FileSystem
        with _one_line(address):
            _systems[address] = FileSystem.from_uri(address)
    return _systems[address]


@contextmanager
def _one_line(address: str) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException, ImportError) as error:
        reason = str(error).splitlines()[0]
        if "ACCESS_DENIED" in reason or "403" in reason:
            reason = "access denied; check the keys in the environment and the rights on the bucket"
        name, reason = without_password(address), without_password(reason.rstrip(".")[:200])
        raise DataError(f"{name} cannot be read: {reason}.", code="source-unreadable") from None
