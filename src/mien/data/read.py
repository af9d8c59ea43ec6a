"""The shapes of data that mien reads: which lies at a path, and reading it through a cache of decoded faces.

    <cache>/faces/<key>/images.npy    uint8 (N, S, S[, 3]), reopened as a memory map
                        table.npz     labels, splits, sources, rows, votes, columns
                        meta.json     classes and other plain values, fingerprints, notes on how the data was read

A key is made of paths, sizes and modification times of the source, and of the options, so an entry is found without
reading the source. It is written to a temporary folder and renamed, so half an entry never counts.
"""

import difflib
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.errors import DataError, Notice
from mien.base.files import cache_folder, expand_home, refuse_pointer
from mien.base.images import walk
from mien.data import folders
from mien.data.clean import Clean, apply_clean, read_clean
from mien.data.csv_file import CSV_SUFFIXES
from mien.data.csv_table import FaceCsv, read_metadata, read_paths, read_pixels
from mien.data.dataset import FINGERPRINT_PX, Dataset
from mien.data.image_store import is_mapped
from mien.data.parquet import parquet_files, read_parquet
from mien.data.table import ReadOptions as ReadOptions
from mien.data.table import ReadResult as ReadResult
from mien.data.table import Table, make_dataset
from mien.data.votes import with_votes

_ARCHIVES = (".zip", ".gz", ".tgz", ".tar", ".7z", ".rar", ".bz2", ".xz")
_USUAL_CSVS = ("fer2013.csv", "icml_face_data.csv")
_EXPECTED = "Expected Kaggle's fer2013.csv, a CSV of path,label, a folder of class folders, or a parquet file"


@dataclass(frozen=True)
class DataShape:
    """A shape of data: its name, its reader, and a function that describes its files for the cache's key."""

    name: str
    read: Callable[[Path, ReadOptions], Table]
    state: Callable[[Path], Iterable[str]]


_KAGGLE_CSV = DataShape("Kaggle CSV", read_pixels, lambda path: [folders.file_state(path)])
_PATH_CSV = DataShape(
    "CSV of image paths", read_paths, lambda path: map(folders.file_state, [path, *FaceCsv(path).images()])
)
_METADATA = DataShape(
    "folders with metadata.csv",
    read_metadata,
    lambda path: chain.from_iterable(_PATH_CSV.state(file) for _, file in folders.metadata_files(path)),
)
_FOLDERS = DataShape(
    "class folders", folders.read_folders, lambda path: (folders.file_state(entry.path) for entry in walk(path))
)
_PARQUET = DataShape("parquet", read_parquet, lambda path: map(folders.file_state, parquet_files(path)))


def check_source(path: str | os.PathLike[str]) -> None:
    """Raise DataError unless there is data of a known shape at ``path``."""
    try:
        detect_shape(expand_home(path))
    except OSError as error:
        raise unreadable(path, error) from None


def detect_shape(path: Path) -> tuple[Path, DataShape]:
    """Return the path to read and its shape. For a folder with a single table, this is the path of the table."""
    if path.is_dir():
        return _detect_folder(path)
    if not path.exists():
        beside = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, beside, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else ""
        raise DataError(f"There is no data at {path}.{hint}", code="data-missing")
    suffix = path.suffix.lower()
    if suffix in _ARCHIVES:
        raise DataError(f"{path} is an archive. Unpack it, and give what comes out.", code="data-unknown")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is an empty file. Check the path, or download the file again.", code="data-empty")
    refuse_pointer(path, DataError)
    if suffix == ".parquet":
        return path, _PARQUET
    if suffix in CSV_SUFFIXES:
        return path, _KAGGLE_CSV if FaceCsv(path).has_pixels else _PATH_CSV
    raise DataError(f"{path} is not a data set that mien can read. {_EXPECTED}.", code="data-unknown")


def _detect_folder(folder: Path) -> tuple[Path, DataShape]:
    root = folders.descend(folder)
    for part in dict.fromkeys((folder, root, *folders.subfolders(root))):
        with os.scandir(part) as entries:
            for name in (entry.name for entry in entries):
                if name.lower().endswith(".parquet") and name[0] != ".":
                    return folder, _PARQUET
                if part not in {folder, root} and folders.is_image_name(name):  # a folder of images may hold thousands
                    break
    if all((folder / name).is_file() for name in ("recipe.toml", "environment.json")):
        raise DataError(f"{folder} is a run folder. Give the data that it was trained on.", code="data-unknown")
    tables = sorted(file for file in folder.iterdir() if file.suffix.lower() == ".csv" and file.name[0] != ".")
    standard = [file for file in tables if file.name.lower() in _USUAL_CSVS]
    # A single folder beside a table holds its images. Two or more folders are class or split folders.
    if len(folders.subfolders(folder)) < 2 and (len(tables) == 1 or standard):
        return detect_shape((standard or tables)[0])
    if folders.metadata_files(folder):
        return folder, _METADATA
    if folders.holds_class_folders(folder):
        return folder, _FOLDERS
    if tables:
        names = ", ".join(table.name for table in tables)
        raise DataError(f"{folder} has several tables ({names}). Name the one to read.", code="data-unknown")
    return folder, _FOLDERS


def unreadable(path: str | os.PathLike[str], error: OSError) -> DataError:
    """Return the error for data that the file system cannot read."""
    return DataError(f"{error.filename or path} cannot be read: {error.strerror or error}.", code="file-unreadable")


READER_VERSION = 21
"""Version of the readers. Increase it when their results or the cache's files change; this invalidates old entries."""


def load_dataset(
    path: str | os.PathLike[str],
    *,
    size_px: int = 48,
    channels: int = 1,
    class_map: Mapping[str, str] | None = None,
    skip_bad: bool = False,
    cache: bool = True,
    votes: str | os.PathLike[str] | None = None,
    group: str | None = None,
    clean: str | os.PathLike[str] | None = None,
) -> Dataset:
    """Read labelled faces in any supported shape.

    Args:
        path: Kaggle's CSV, a CSV of image paths, a folder of class folders, a parquet file or a folder of them.
        size_px: side of the squares, 8..1024 pixels.
        channels: 1 makes grey squares, 3 RGB squares, which need colour images.
        class_map: maps names in the data to names to use; see :func:`mien.base.labels.parse_map`.
        skip_bad: leave out images that cannot be decoded instead of raising an error.
        cache: use the user's cache folder.
        votes: FER+'s ``fer2013new.csv``, to add its votes to FER2013; see :func:`mien.data.votes.with_votes`.
        group: column, or pattern of file names, that groups samples, such as images of one person; see
            :mod:`mien.data.splits`. None keeps near-copies together when a validation split is cut.
        clean: ``clean.toml`` from an audit of this data, which drops and relabels samples; see :mod:`mien.data.clean`.

    Returns:
        Faces uint8 (N, size_px, size_px), RGB (N, size_px, size_px, 3), with labels and splits. Fingerprint and splits
        are computed from the grey faces at :data:`FINGERPRINT_PX`, so they do not depend on the size.

    Raises:
        DataError: missing, empty, damaged or unknown data. The message says where, and how to mend it.
        MissingExtraError: the data is parquet and pyarrow is not installed.
    """
    names = {} if class_map is None else class_map
    return read_data(path, ReadOptions(size_px, channels, names, skip_bad, group, votes, clean), cache=cache).faces


def read_data(path: str | os.PathLike[str], options: ReadOptions | None = None, *, cache: bool = True) -> ReadResult:
    """Read data like :func:`load_dataset`, and return metadata too."""
    options = options or ReadOptions()
    if not isinstance(path, str | os.PathLike):
        raise DataError(f"The data must be a path or a Dataset; found {type(path).__name__}.", code="data-unknown")
    changes = None if options.clean is None else read_clean(options.clean)
    path = expand_home(path)
    result = _read(path, options, cache)
    if options.votes is not None:
        result = replace(result, faces=with_votes(result.faces, options.votes))
    result = _cleaned(path, result, changes, options, cache) if changes is not None else result
    return replace(result, notes=(*result.notes, *untrained_classes(result.faces)))


def untrained_classes(faces: Dataset) -> Iterator[Notice]:
    """Return a notice that names classes without training images, if train has any images."""
    counts = faces.counts("train")
    names = [name for name, count, all_ in zip(faces.classes, counts, faces.counts(), strict=True) if all_ > count == 0]
    if not names or not counts.any():
        return
    words = f"no training images for: {', '.join(names)}. A model trained on this data will almost never predict "
    words += "it." if len(names) == 1 else "them."
    if unlabelled := _NO_CLASSES & set(names):
        words += f" If '{min(unlabelled)}' has images without labels, run mien predict --crops on them."
    yield Notice(words, code="class-not-trained")


_NO_CLASSES = {"images", "unknown", "unlabeled", "unlabelled", "test"}


def _cleaned(path: Path, result: ReadResult, changes: Clean, options: ReadOptions, cache: bool) -> ReadResult:
    file, before = str(options.clean), result.faces
    standard = replace(options, size_px=FINGERPRINT_PX, channels=1)
    try:
        faces = apply_clean(before, changes, before if standard == options else _read(path, standard, cache).faces)
    except DataError as error:
        raise DataError(f"{file}: {error}", code=error.code) from None
    left = faces.counts_by_split()
    dropped = {split: sum(counts) - sum(left.get(split, ())) for split, counts in before.counts_by_split().items()}
    parts = ", ".join(f"{count:,} of {split}" for split, count in dropped.items() if count) or "no samples"
    relabelled = sum(each.to is not None for each in changes.changes)
    note = Notice(f"{file}: dropped {parts}; relabelled {relabelled:,}.", code="data-cleaned")
    return replace(result, faces=faces, uncleaned=before, notes=(*result.notes, note))


def _read(path: Path, options: ReadOptions, cache: bool) -> ReadResult:
    try:
        source, shape = detect_shape(path)
        key = _cache_key(source, shape, options) if cache else ""
        kept = load_entry(key) if cache else None
        if kept is not None:
            faces, facts = kept
            skipped = tuple((str(name), str(reason)) for name, reason in facts.get("skipped", ()))
            notes = tuple(Notice(words, code=code) for code, words in facts.get("notes", ()))
            return ReadResult(faces, shape.name, str(facts.get("split_origin")), skipped, notes, cached=True)
        result = make_dataset(shape.read(source, options), options, shape.name)
    except OSError as error:
        raise unreadable(path, error) from None
    if cache:
        said = [(each.code, each) for each in result.notes]
        facts = {"split_origin": result.split_origin, "skipped": result.skipped, "notes": said}
        store_entry(key, result.faces, facts)
        if is_mapped(result.faces.images) and (kept := load_entry(key)) is not None:
            # Keep only one copy of the images on disk.
            result = replace(result, faces=kept[0])
    return result


def _cache_key(source: Path, shape: DataShape, options: ReadOptions) -> str:
    digest = hashlib.sha256()
    how = [READER_VERSION, shape.name, int(options.size_px), sorted(options.class_map.items())]
    how += [options.skip_bad, options.group, int(options.channels)]
    digest.update(json.dumps([str(source.absolute()), *how]).encode())
    digest.update("\n".join(shape.state(source.absolute())).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:32]


def dataset_info(result: ReadResult) -> dict[str, Any]:
    """Summarise a data set for ``mien data info``, JSON-ready; ``groups`` is None if there are none."""
    faces, groups = result.faces, None
    if faces.groups is not None:
        sizes = np.bincount(faces.groups)
        groups = {"column": faces.group_column, "count": len(sizes)}
        groups |= {"smallest": int(sizes.min()), "largest": int(sizes.max())}
    counts = faces.counts_by_split()
    return {
        "shape": result.shape,
        "faces": len(faces),
        "size_px": list(faces.images.shape[1:]),
        "classes": list(faces.classes),
        "counts": {split: dict(zip(faces.classes, each, strict=True)) for split, each in counts.items()},
        "splits": result.split_origin,
        "columns": sorted(faces.columns),
        "groups": groups,
        "skipped": [list(each) for each in result.skipped],
        "notes": list(result.notes),
        "fingerprint": result.fingerprint,
        "fingerprint_without_test": faces.fingerprint_without_test,
    }


KEPT_ENTRIES = 20
"""Number of most recently used entries to keep."""

_PART_PREFIX = ".part-"
_PART_LIFETIME_SECONDS = 24 * 3600.0
_COLUMN_PREFIX = "column."

_logger = logging.getLogger("mien.data")


def load_entry(key: str) -> tuple[Dataset, dict[str, Any]] | None:
    """Open the entry of ``key``: its memory-mapped faces and its metadata; None without one. A damaged one goes."""
    folder = cache_folder("faces") / key
    try:
        faces, facts = read_entry(folder)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    with suppress(OSError):
        os.utime(folder)
    return faces, facts


def read_entry(folder: Path) -> tuple[Dataset, dict[str, Any]]:
    """Open the memory-mapped files that :func:`write_entry` wrote. A damaged entry may raise any exception of numpy."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    # np.load would leave a damaged file open if it had opened it itself
    with (folder / "table.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as table:
        arrays: dict[str, Any] = {name: table[name] for name in table.files}
    columns = {name: arrays.pop(_COLUMN_PREFIX + name) for name in meta["columns"]}
    plain: dict[str, Any] = meta["plain"]
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in plain.items()}
    faces = Dataset(images=images, columns=columns, **plain, **arrays)
    return faces.with_fingerprints(str(meta["fingerprint"]), str(meta["fingerprint_without_test"])), dict(meta["facts"])


def write_entry(folder: Path, dataset: Dataset, facts: dict[str, Any]) -> None:
    """Write faces and metadata into an empty folder. Raises :class:`OSError`."""
    np.save(folder / "images.npy", dataset.images, allow_pickle=False)
    values = {
        each.name: getattr(dataset, each.name) for each in fields(dataset) if each.name not in {"images", "columns"}
    }
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    columns = {_COLUMN_PREFIX + name: value for name, value in dataset.columns.items()}
    np.savez(folder / "table.npz", allow_pickle=False, **arrays, **columns)
    meta = {
        "plain": {name: value for name, value in values.items() if name not in arrays},
        "columns": list(dataset.columns),
        "fingerprint": dataset.fingerprint,
        "fingerprint_without_test": dataset.fingerprint_without_test,
        "facts": facts,
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def store_entry(key: str, dataset: Dataset, facts: dict[str, Any]) -> None:
    """Store ``dataset`` and ``facts`` (plain JSON values) under ``key``. If writing fails, warn once, in one line."""
    parent = cache_folder("faces")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=_PART_PREFIX, dir=parent, ignore_cleanup_errors=True) as part:
            entry = Path(part) / key
            entry.mkdir()
            write_entry(entry, dataset, facts)
            with suppress(OSError):  # another process may have stored the same data meanwhile
                entry.rename(parent / key)
        _remove_old_entries(parent)
    except OSError as error:
        # NumPy's error on a full disk says only how many items were written.
        reason = error.strerror or "a file could not be written whole; is the disk full?"
        _warn_once(f"{parent} cannot store decoded images ({reason}); continuing without a cache.")


def _remove_old_entries(parent: Path) -> None:
    """Remove the least recently used entries and leftovers of killed processes."""
    entries = []
    for entry in parent.iterdir():
        with suppress(OSError):  # another process may have removed it
            used = entry.stat().st_mtime
            if not entry.name.startswith(_PART_PREFIX):
                entries.append((used, entry))
            elif time.time() - used > _PART_LIFETIME_SECONDS:
                shutil.rmtree(entry, ignore_errors=True)
    for _, path in sorted(entries, reverse=True)[KEPT_ENTRIES:]:
        shutil.rmtree(path, ignore_errors=True)


@lru_cache
def _warn_once(message: str) -> None:
    _logger.warning(message)
