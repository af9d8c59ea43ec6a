"""Ratings of images: columns of numbers, such as ``valence`` and ``arousal``; blank for an image without a rating."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError
from mien.data.dataset import Dataset


def read_ratings(dataset: Dataset, names: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Return the ratings in E columns of N images: float64 (N, E), -1..1, NaN if blank; None without the columns.

    Raises:
        DataError: a value is not a number from -1 to 1 (``ratings-range``).
    """
    if not set(names) <= set(dataset.columns):
        return None
    cells = np.stack([dataset.columns[name].astype(np.str_) for name in names], axis=1)
    ratings = np.vectorize(_rating, otypes=[np.float64])(cells)
    for row, at in np.argwhere(np.abs(ratings) > 1):
        found = f"{cells[row, at]!s:.80} of {dataset.source[row]}"
        raise DataError(f"{names[at]} must be a number from -1 to 1, or blank; found {found}.", code="ratings-range")
    return np.asarray(ratings)


def _rating(cell: str) -> float:
    try:
        return float("nan" if cell.strip() in {"", "None"} else cell)
    except ValueError:
        return np.inf


def ratings_fingerprint(dataset: Dataset, names: Sequence[str]) -> str:
    """SHA-256 of ratings and their rows, as ``"sha256:..."``; the test split is ignored."""
    learned = dataset.subset(dataset.split != "test")
    digest = hashlib.sha256(np.ascontiguousarray(read_ratings(learned, names), dtype="<f8").data)
    digest.update(np.ascontiguousarray(learned.rows, dtype="<i8").data)
    return f"sha256:{digest.hexdigest()}"
