"""Decoded faces kept in the user's cache folder, so that data opens at once the second time.

    <cache>/faces/<key>/images.npy    uint8 (N, S, S[, 3]), reopened as a memory map
                        table.npz     labels, splits, sources, rows, columns
                        meta.json     classes, fingerprints, what to tell about the reading

The key is made of what the source looks like from outside (paths, sizes, modification times) and of the options, so
that nothing has to be read to find an entry. An entry is written beside its place and renamed: half an entry never
counts. The cache is a convenience: whatever goes wrong with it, reading goes on without.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
import zipfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.cache_folder import PART_PREFIX, cache_folder
from mien.data.dataset import Dataset
from mien.errors import DataError

KEPT_ENTRIES = 20
"""The most recently used entries stay, the others go."""

_PART_LIFETIME_SECONDS = 24 * 3600.0
_COLUMN_PREFIX = "column."

_logger = logging.getLogger("mien.data")


def load(key: str) -> tuple[Dataset, dict[str, Any]] | None:
    """Reopen the entry of ``key``: its faces (memory-mapped, fingerprints known) and its facts; None if there is none.

    A damaged entry counts as none.
    """
    folder = cache_folder() / key
    try:
        faces, facts = read_entry(folder)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError, zipfile.BadZipFile, DataError):
        return None
    with suppress(OSError):
        os.utime(folder)
    return faces, facts


def read_entry(folder: Path) -> tuple[Dataset, dict[str, Any]]:
    """What :func:`write_entry` wrote into a folder, memory-mapped. A damaged one raises whatever numpy raises."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
    # np.load leaves a damaged file open where it opened it itself
    with (folder / "table.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as table:
        columns = {name: table[_COLUMN_PREFIX + name] for name in meta["columns"]}
        faces = Dataset(
            images=images,
            labels=table["labels"],
            classes=tuple(meta["classes"]),
            split=table["split"],
            source=table["source"],
            rows=table["rows"],
            columns=columns,
            vote_classes=tuple(meta.get("vote_classes", ())),
            group_column=str(meta.get("group_column", "")),
        )
    return faces.with_fingerprints(str(meta["fingerprint"]), str(meta["fingerprint_without_test"])), dict(meta["facts"])


def write_entry(folder: Path, faces: Dataset, facts: dict[str, Any]) -> None:
    """Write faces and facts into an empty folder. Raises :class:`OSError`."""
    np.save(folder / "images.npy", faces.images, allow_pickle=False)
    columns = {_COLUMN_PREFIX + name: values for name, values in faces.columns.items()}
    np.savez(
        folder / "table.npz",
        allow_pickle=False,
        labels=faces.labels,
        split=faces.split,
        source=faces.source,
        rows=faces.rows,
        **columns,
    )
    meta = {
        "classes": faces.classes,
        "columns": list(faces.columns),
        "vote_classes": faces.vote_classes,
        "group_column": faces.group_column,
        "fingerprint": faces.fingerprint,
        "fingerprint_without_test": faces.fingerprint_without_test,
        "facts": facts,
    }
    (folder / "meta.json").write_text(json.dumps(meta), encoding="utf-8")


def store(key: str, faces: Dataset, facts: dict[str, Any]) -> None:
    """Keep ``faces`` and ``facts`` (plain JSON values) under ``key``; warn once, in one line, where that fails."""
    parent = cache_folder()
    part: Path | None = None
    try:
        parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=PART_PREFIX, dir=parent))
        write_entry(part, faces, facts)
        _put_in_place(part, parent / key)
        _remove_old(parent)
    except OSError as error:
        # NumPy only says how many numbers it wrote, where a disk is full or a quota used up.
        reason = error.strerror or "a file could not be written whole; is the disk full?"
        _warn_once(f"{parent} cannot keep decoded images ({reason}); going on without a cache.")
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)


def _put_in_place(part: Path, entry: Path) -> None:
    try:
        part.rename(entry)
    except OSError:
        # There is an entry already: that of another process which read the same data, or a damaged one.
        if load(entry.name) is None:
            shutil.rmtree(entry, ignore_errors=True)
            part.rename(entry)


def _remove_old(parent: Path) -> None:
    """Remove the least recently used entries, and what killed processes left behind."""
    entries = []
    for entry in os.scandir(parent):
        with suppress(OSError):  # another process may have removed it
            used = entry.stat().st_mtime
            if not entry.name.startswith(PART_PREFIX):
                entries.append((used, entry.path))
            elif time.time() - used > _PART_LIFETIME_SECONDS:
                shutil.rmtree(entry.path, ignore_errors=True)
    for _, path in sorted(entries, reverse=True)[KEPT_ENTRIES:]:
        shutil.rmtree(path, ignore_errors=True)


@cache
def _warn_once(message: str) -> None:
    _logger.warning(message)
