"""Cache of decoded faces in the user's cache folder, so that data opens quickly the second time.

    <cache>/faces/<key>/images.npy    uint8 (N, S, S[, 3]), reopened as a memory map
                        table.npz     labels, splits, sources, rows, votes, columns
                        meta.json     classes and other plain values, fingerprints, notes on how the data was read

The key is made from the paths, sizes and modification times of the source, and from the options. An entry is therefore
found without reading the source. An entry is written to a temporary folder and renamed, so half an entry never counts.
If the cache cannot be used, data is read without it.
"""

import json
import logging
import os
import shutil
import tempfile
import time
import zipfile
from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.files import cache_folder
from mien.data.dataset import Dataset

KEPT_ENTRIES = 20
"""Number of most recently used entries to keep."""

_PART_PREFIX = ".part-"
_PART_LIFETIME_SECONDS = 24 * 3600.0
_COLUMN_PREFIX = "column."

_logger = logging.getLogger("mien.data")


def load(key: str) -> tuple[Dataset, dict[str, Any]] | None:
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


def store(key: str, dataset: Dataset, facts: dict[str, Any]) -> None:
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
        _remove_old(parent)
    except OSError as error:
        # NumPy's error on a full disk says only how many items were written.
        reason = error.strerror or "a file could not be written whole; is the disk full?"
        _warn_once(f"{parent} cannot store decoded images ({reason}); continuing without a cache.")


def _remove_old(parent: Path) -> None:
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


@cache
def _warn_once(message: str) -> None:
    _logger.warning(message)
