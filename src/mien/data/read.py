"""Read faces from any shape that people have them in, through the cache."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mien.data import cache as face_cache
from mien.data.csv_header import read_header
from mien.data.faceset import FINGERPRINT_PX, FaceSet
from mien.data.folders import holds_class_folders, is_image_name, read_folders, subfolders, tree_state
from mien.data.kaggle_csv import read_kaggle_csv
from mien.data.parquet import named_images, parquet_files, read_parquet
from mien.data.path_csv import read_path_csv, referenced_files
from mien.data.splits import settle_splits
from mien.data.table import FaceTable, ReadOptions
from mien.errors import DataError

READER_VERSION = 4
"""Counts up when the same files would be read differently: older cache entries are then not found."""

_ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz")
_CSV_SUFFIXES = (".csv", ".tsv", ".txt")
_USUAL_CSVS = ("fer2013.csv", "icml_face_data.csv")
_EXPECTED = "Expected Kaggle's fer2013.csv, a CSV of path,label, a folder of class folders, or parquet"


@dataclass(frozen=True)
class ReadResult:
    """Faces and how they were read.

    Attributes:
        faces: the faces; their ``images`` are read-only.
        shape: what the source is, e.g. ``"Kaggle CSV"``.
        split_origin: how the splits came about, in words.
        skipped: bad images that ``skip_bad`` left out, as (source, reason).
        notes: what else a person should know, one line each.
        cached: the faces came from the cache.
        uncleaned: the faces as the data has them, where a list of changes made ``faces`` of them; otherwise None.
    """

    faces: FaceSet
    shape: str
    split_origin: str
    skipped: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    cached: bool
    uncleaned: FaceSet | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content, whatever ``size_px``; known at once where the faces came from the cache."""
        return self.faces.fingerprint


@dataclass(frozen=True)
class _Shape:
    """A shape of data: its name, its reader, and the state of its files (``path size time`` each) for the cache."""

    name: str
    read: Callable[[Path, ReadOptions], FaceTable]
    state: Callable[[Path], Iterable[str]]


def _state_of(files: Iterable[Path]) -> Iterator[str]:
    for file in files:
        status = file.stat()
        yield f"{file}\t{status.st_size}\t{status.st_mtime_ns}"


def _state_of_path_csv(path: Path) -> Iterator[str]:
    yield from _state_of([path])
    for file in referenced_files(path):
        try:
            yield from _state_of([file])
        except (OSError, ValueError):  # ValueError: a name that no file can have
            yield f"{file}\tmissing"


def _state_of_parquet(path: Path) -> Iterator[str]:
    yield from _state_of(parquet_files(path))
    for file in parquet_files(path):
        yield from _state_of(Path(name) for name in named_images(file, path))


_KAGGLE_CSV = _Shape("Kaggle CSV", read_kaggle_csv, lambda path: _state_of([path]))
_PATH_CSV = _Shape("CSV of image paths", read_path_csv, _state_of_path_csv)
_FOLDERS = _Shape("class folders", read_folders, tree_state)
_PARQUET = _Shape("parquet", read_parquet, _state_of_parquet)


def read_faces(
    path: str | os.PathLike[str],
    *,
    size_px: int = 48,
    class_map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    cache: bool = True,
) -> FaceSet:
    """Read labelled faces: :func:`read_data` without the facts about the reading."""
    return read_data(path, size_px=size_px, class_map=class_map, skip_bad=skip_bad, cache=cache).faces


def read_data(
    path: str | os.PathLike[str],
    *,
    size_px: int = 48,
    class_map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    cache: bool = True,
) -> ReadResult:
    """Read labelled faces in whatever shape ``path`` has, and tell how.

    Args:
        path: Kaggle's CSV, a CSV of image paths, a folder of class folders, a parquet file or a folder of them.
        size_px: side of the grey squares, 8..1024 pixels.
        class_map: names as they stand in the data -> names to use; see :func:`mien.labels.parse_map`.
        skip_bad: leave out and list images that cannot be decoded, instead of raising.
        cache: look in the user's cache folder first, and keep what was read there.

    Returns:
        Faces uint8 (N, size_px, size_px) with their labels and splits, and facts about the reading. Fingerprint and
        splits are those of the faces at :data:`FINGERPRINT_PX`, so for another size the data is read at that one too.

    Raises:
        DataError: missing, empty, damaged or not understood; the one line says where and what to do.
        MissingExtraError: parquet without pyarrow.
    """
    if not 8 <= size_px <= 1024:
        raise DataError(f"The size of the faces must be 8..1024 px; found {size_px}.")
    options = ReadOptions(size_px, dict(class_map or {}), skip_bad)
    try:
        source, shape = _detect(Path(path))
        key = _cache_key(source, shape, options) if cache else ""
        kept = face_cache.load(key) if cache else None
        if kept is not None:
            faces, facts = kept
            skipped = tuple((str(name), str(reason)) for name, reason in facts.get("skipped", ()))
            return ReadResult(
                faces, shape.name, str(facts.get("split_origin")), skipped, tuple(facts.get("notes", ())), cached=True
            )
        result = _finish(shape.read(source, options), shape.name, source)
        if size_px != FINGERPRINT_PX:
            usual = read_data(path, size_px=FINGERPRINT_PX, class_map=class_map, skip_bad=skip_bad, cache=cache)
            faces = replace(result.faces, split=usual.faces.split).with_fingerprints(
                usual.fingerprint, usual.faces.fingerprint_without_test
            )
            result = replace(result, faces=faces, split_origin=usual.split_origin)
    except OSError as error:
        raise _unreadable(path, error) from None
    if cache:
        facts = {"split_origin": result.split_origin, "skipped": result.skipped, "notes": result.notes}
        face_cache.store(key, result.faces, facts)
    return result


def describe_source(path: str | os.PathLike[str]) -> str:
    """Name the shape of the data at ``path`` without reading it, e.g. ``"Kaggle CSV"``. Raises DataError."""
    try:
        return _detect(Path(path))[1].name
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: str | os.PathLike[str], error: OSError) -> DataError:
    return DataError(f"{error.filename or path} cannot be read: {error.strerror or error}.")


def _finish(table: FaceTable, shape: str, source: Path) -> ReadResult:
    present = np.unique(table.labels)
    if len(present) < 2:
        found = f"only '{table.classes[present[0]]}'" if len(present) else "none"
        raise DataError(f"{source} must have at least two classes; found {found}.")
    unsaid = np.flatnonzero(table.split == "")
    if 0 < len(unsaid) < len(table.split):
        raise DataError(
            f"{table.source[unsaid[0]]}: no split, though others have one. Give every row a split, or none."
        )
    split, origin = table.split, table.split_origin
    if not table.complete:
        split, origin = settle_splits(split, origin, table.images, table.labels)
    # From the cache they come read-only too: whoever writes into them should not notice on the second run only.
    table.images.setflags(write=False)
    faces = FaceSet(table.images, table.labels, table.classes, split, table.source, table.rows, dict(table.columns))
    return ReadResult(faces, shape, origin, tuple(table.skipped), tuple(table.notes), cached=False)


def _cache_key(source: Path, shape: _Shape, options: ReadOptions) -> str:
    digest = hashlib.sha256()
    how = [READER_VERSION, shape.name, options.size_px, sorted(options.class_map.items()), options.skip_bad]
    digest.update(json.dumps([str(source.absolute()), *how]).encode())
    digest.update("\n".join(shape.state(source.absolute())).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def _detect(path: Path) -> tuple[Path, _Shape]:
    """What to read and as which shape; for a folder that holds the data in one file, that file."""
    if path.is_dir():
        return _detect_folder(path)
    if not path.exists():
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, beside, n=1)
        raise DataError(f"{path} does not exist." + (f" Did you mean '{close[0]}'?" if close else ""))
    suffix = path.suffix.lower()
    if suffix in _ARCHIVES:
        raise DataError(f"{path} is an archive. Unpack it and give the folder or file that comes out.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty. Download it again.")
    if suffix == ".parquet":
        return path, _PARQUET
    if suffix in _CSV_SUFFIXES:
        return path, _KAGGLE_CSV if read_header(path).pixels is not None else _PATH_CSV
    raise DataError(f"{path} is no data that can be read. {_EXPECTED}.")


def _detect_folder(folder: Path) -> tuple[Path, _Shape]:
    if _holds_parquet(folder):
        return folder, _PARQUET
    if all((folder / name).is_file() for name in ("recipe.toml", "environment.json")):
        raise DataError(f"{folder} is a run folder, what mien train makes; give the data that it was trained on.")
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".csv" and file.name[0] != ".")
    usual = [file for file in tables if file.name.lower() in _USUAL_CSVS]
    # One folder beside the table holds its images, whatever folders are inside; two or more are classes or splits.
    if len(subfolders(folder)) < 2 and (len(tables) == 1 or usual):
        return _detect((usual or tables)[0])
    if holds_class_folders(folder):
        return folder, _FOLDERS
    if tables:
        raise DataError(
            f"{folder} has several tables ({', '.join(each.name for each in tables)}). Name the one to read."
        )
    return folder, _FOLDERS


def _holds_parquet(folder: Path) -> bool:
    """Whether parquet files lie in the folder or in one below it; a folder of images is not looked through."""
    with os.scandir(folder) as entries:
        inside = list(entries)
    if any(entry.name.endswith(".parquet") for entry in inside):
        return True
    for folder_below in (entry for entry in inside if entry.is_dir() and not entry.name.startswith(".")):
        with os.scandir(folder_below.path) as entries:
            for entry in entries:
                if entry.name.endswith(".parquet"):
                    return True
                if is_image_name(entry.name):
                    break
    return False
