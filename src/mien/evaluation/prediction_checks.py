"""Checks of the arrays of a predictions file. Each raises :class:`DataError` that names the first wrong sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError

SUM_TOLERANCE = 1e-3
"""Largest distance of a sample's probability sum from 1. float16 needs this much."""

_MOST_BYTES = 1_000_000_000
"""Bytes of a file's arrays once unpacked: a million samples of a hundred classes. Packed zeros take a thousandth."""


def check_unpacked_size(archive: np.lib.npyio.NpzFile) -> None:
    """Refuse an open ``.npz`` whose arrays would fill the memory. Raises :class:`DataError`."""
    assert archive.zip is not None  # it is, until the file is closed
    unpacked = sum(entry.file_size for entry in archive.zip.infolist())
    if unpacked > _MOST_BYTES:
        raise DataError(
            f"Its arrays would take {unpacked:,} bytes; the limit is {_MOST_BYTES:,}.", code="predictions-too-large"
        )


def integers(name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Integers of any width as int64 (N,). Raises :class:`DataError`."""
    values = np.asarray(values)
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise DataError(
            f"'{name}' must be integers of shape (N,); found {values.dtype} {values.shape}.",
            code=f"{name.replace('_', '-')}-type",
        )
    return values.astype(np.int64)


def strings(name: str, array: npt.NDArray[Any]) -> tuple[str, ...]:
    """Strings (C,) as a tuple. Raises :class:`DataError`."""
    if array.dtype.kind != "U" or array.ndim != 1:
        raise DataError(
            f"'{name}' must be strings of shape (C,); found {array.dtype} {array.shape}.",
            code=f"{name.replace('_', '-')}-type",
        )
    return tuple(array.tolist())


def string(name: str, array: npt.NDArray[Any]) -> str:
    """A single string. Raises :class:`DataError`."""
    if array.dtype.kind != "U" or array.ndim != 0:
        raise DataError(
            f"'{name}' must be a single string; found {array.dtype} {array.shape}.",
            code=f"{name.replace('_', '-')}-type",
        )
    return str(array)


def number(name: str, array: npt.NDArray[Any]) -> float:
    """A single number. Raises :class:`DataError`."""
    if array.dtype.kind not in "iuf" or array.ndim != 0:
        raise DataError(f"'{name}' must be a single number; found {array.dtype} {array.shape}.", code=f"{name}-type")
    return float(array)


def check_names(classes: tuple[str, ...], split: str) -> None:
    """Refuse fewer than two classes, repeated or empty names, and an empty split."""
    if len(classes) < 2:
        raise DataError(f"'classes' must name at least two classes; found {len(classes)}.", code="too-few-classes")
    for name in classes:
        if not name or classes.count(name) > 1:
            raise DataError(
                f"'classes' must be unique, non-empty names; found {', '.join(map(repr, classes))}.",
                code="class-names",
            )
    if not split:
        raise DataError("'split' must name the split of the samples, e.g. 'test'; it is empty.", code="split-empty")


def check_ids(sample_ids: npt.NDArray[np.int64]) -> None:
    """Refuse repeated ids, int64 (N,)."""
    ids, counts = np.unique(sample_ids, return_counts=True)
    if len(ids) < len(sample_ids):
        repeated = ids[counts > 1]
        raise DataError(
            f"'sample_ids' must be unique; {repeated[0]} occurs {counts.max()} times.", code="sample-id-repeated"
        )


def check_labels(sample_ids: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], class_count: int) -> None:
    """Refuse labels, int64 (N,), outside 0..class_count-1."""
    wrong = np.flatnonzero((labels < 0) | (labels >= class_count))
    if len(wrong):
        first = wrong[0]
        raise DataError(
            f"'labels' must be 0..{class_count - 1} for {class_count} classes; sample {sample_ids[first]} "
            f"(entry {first}) has {labels[first]}. Entries out of range: {len(wrong)}.",
            code="label-range",
        )


def check_probabilities(
    sample_ids: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], name: str = "probabilities"
) -> None:
    """Refuse probabilities, float64 (N, C), that are no distributions; ``name`` is for the message."""
    # NaN comes first: it is neither in range nor a sum, and needs its own message.
    outside = (probabilities < 0) | (probabilities > 1)
    with np.errstate(invalid="ignore"):  # infinity minus infinity; the first check reports it
        off_sum = np.abs(probabilities.sum(axis=1) - 1) > SUM_TOLERANCE
    for bad, expected, code in (
        (~np.isfinite(probabilities).all(axis=1), "must be finite numbers", "probability-not-finite"),
        (outside.any(axis=1), "must be in 0..1 (logits need a softmax first)", "probability-range"),
        (off_sum, f"must sum to 1 within {SUM_TOLERANCE} for each sample", "probability-sum"),
    ):
        wrong = np.flatnonzero(bad)
        if len(wrong):
            first = wrong[0]
            values = ", ".join(f"{value:.6g}" for value in probabilities[first, :10])
            raise DataError(
                f"'{name}' {expected}; sample {sample_ids[first]} (entry {first}) has [{values}]. "
                f"Wrong samples: {len(wrong)} of {len(sample_ids)}.",
                code=code,
            )
