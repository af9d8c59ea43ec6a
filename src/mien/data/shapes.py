"""The shapes of data that mien reads, and the detection of the shape at a path."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mien.base.errors import DataError
from mien.base.files import expand_home, refuse_pointer
from mien.data.csv_table import read_csv, referenced_files
from mien.data.dataset import FaceTable
from mien.data.face_table import ReadOptions, file_state, read_header
from mien.data.folders import holds_class_folders, read_folders, subfolders, tree_state
from mien.data.parquet import parquet_files, read_parquet

_ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz")
_CSV_SUFFIXES = (".csv", ".tsv", ".txt")
_USUAL_CSVS = ("fer2013.csv", "icml_face_data.csv")
_EXPECTED = "Expected Kaggle's fer2013.csv, a CSV of path,label, a folder of class folders, or a parquet file"


@dataclass(frozen=True)
class DataShape:
    """A shape of data: its name, its reader, and a function that describes its files for the cache's key."""

    name: str
    read: Callable[[Path, ReadOptions], FaceTable]
    state: Callable[[Path], Iterable[str]]


_KAGGLE_CSV = DataShape("Kaggle CSV", read_csv, lambda path: [file_state(path)])
_PATH_CSV = DataShape("CSV of image paths", read_csv, lambda path: map(file_state, [path, *referenced_files(path)]))
_FOLDERS = DataShape("class folders", read_folders, tree_state)
_PARQUET = DataShape("parquet", read_parquet, lambda path: map(file_state, parquet_files(path)))


def describe_source(path: str | os.PathLike[str]) -> str:
    """Return the name of the shape of the data at ``path``, e.g. ``"Kaggle CSV"``. Raises DataError."""
    try:
        return detect_shape(expand_home(path))[1].name
    except OSError as error:
        raise unreadable(path, error) from None


def detect_shape(path: Path) -> tuple[Path, DataShape]:
    """Return the path to read and its shape. For a folder with a single table, this is the path of the table."""
    if path.is_dir():
        return _detect_folder(path)
    if not path.exists():
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, beside, n=1)
        raise DataError(
            f"There is no data at {path}." + (f" Did you mean '{close[0]}'?" if close else ""), code="data-missing"
        )
    suffix = path.suffix.lower()
    if suffix in _ARCHIVES:
        raise DataError(
            f"{path} is an archive. Unpack it and give the folder or file that comes out.", code="data-archive"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is an empty file. Check the path, or download the file again.", code="data-empty")
    refuse_pointer(path, DataError)
    if suffix == ".parquet":
        return path, _PARQUET
    if suffix in _CSV_SUFFIXES:
        return path, _KAGGLE_CSV if read_header(path).pixels is not None else _PATH_CSV
    raise DataError(
        f"{path} is not a data set that mien can read. {_EXPECTED}. The name of a table ends in .csv.",
        code="data-unknown",
    )


def _detect_folder(folder: Path) -> tuple[Path, DataShape]:
    inside = (each for pattern in ("*.parquet", "*/*.parquet") for each in folder.glob(pattern))
    if any(each.relative_to(folder).parts[0][0] != "." for each in inside):
        return folder, _PARQUET
    if all((folder / name).is_file() for name in ("recipe.toml", "environment.json")):
        raise DataError(
            f"{folder} is a run folder of mien train. Give the data that it was trained on.", code="data-is-a-run"
        )
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".csv" and file.name[0] != ".")
    usual = [file for file in tables if file.name.lower() in _USUAL_CSVS]
    # A single folder beside a table holds its images. Two or more folders are class or split folders.
    if len(subfolders(folder)) < 2 and (len(tables) == 1 or usual):
        return detect_shape((usual or tables)[0])
    if holds_class_folders(folder):
        return folder, _FOLDERS
    if tables:
        raise DataError(
            f"{folder} has several tables ({', '.join(each.name for each in tables)}). Name the one to read.",
            code="data-ambiguous",
        )
    return folder, _FOLDERS


def unreadable(path: str | os.PathLike[str], error: OSError) -> DataError:
    """Return the error for data that the file system cannot read."""
    return DataError(f"{error.filename or path} cannot be read: {error.strerror or error}.", code="data-unreadable")
