"""Votes: how many annotators chose each class for each image. Ratings: people's numbers for it, such as valence.

FER+ (Barsoum et al. 2016, "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
Distribution") asked ten annotators about every image of FER2013. In memory, votes of any file format are
:attr:`mien.data.dataset.Dataset.votes`, under the names :attr:`~mien.data.dataset.Dataset.vote_classes`.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.base.arrays import Array, Floats, Ints, Texts, missing, parse_number
from mien.base.errors import DataError, Notice
from mien.base.files import expand_home
from mien.base.heads import NAMES
from mien.base.labels import FERPLUS_CLASSES, canonical_class
from mien.data.csv_file import CsvFile, normalize_header
from mien.data.dataset import Dataset
from mien.data.splits import canonical_split

FERPLUS_COLUMN = "ferplus_votes"
"""Parquet column that holds FER+'s ten counts for each image."""

VOTE_PREFIX = "votes_"
"""Prefix of columns of votes: ``votes_happy`` holds the number of votes for happy."""

_FERPLUS_HEADER = (
    *("usage", "image name", "neutral", "happiness", "surprise", "sadness"),
    *("anger", "disgust", "fear", "contempt", "unknown", "nf"),
)
_MIN_AGREEMENT = 0.4
"""If majority and label agree less often than this, the rows do not match. They agree on about two thirds of FER2013,
and on a fifth of shuffled rows."""

_MAX_DIGITS = 9
"""Largest number of digits of a vote count, so that sums fit int64."""

AFFECTNET_MISSING = -2.0
"""Rating of an image that has none, in AffectNet."""

_TOTALS = ("", "total", "sum", "count", "n")
"""Columns ``votes_NAME`` with these names hold a sum, not a class."""


def check_votes(dataset: Dataset) -> Floats:
    """Return the votes to train or evaluate on: float64 (N, V), 0 for a face without; DataError without any."""
    if dataset.votes is None:
        raise DataError("The data has no votes. Give columns 'votes_<class>', or --votes FILE.", code="votes-missing")
    if not dataset.votes.any():
        splits = ", ".join(np.unique(dataset.split).tolist())
        raise DataError(f"None of the {len(dataset):,} images of {splits} has votes.", code="votes")
    return dataset.votes.astype(np.float64)


def vote_probabilities(counts: Array) -> Floats:
    """Divide each row of votes, (N, V), by its sum: float64 (N, V); rows without votes are all 0."""
    counts = np.asarray(counts, dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0))


def votes_fingerprint(dataset: Dataset) -> str:
    """SHA-256 of votes, their classes and rows, as ``"sha256:..."``; the test split is ignored."""
    learned = dataset.subset(dataset.split != "test")
    return _fingerprint(repr(learned.vote_classes), check_votes(learned), learned.rows)


def _fingerprint(words: str, values: Floats | None, rows: Ints) -> str:
    digest = hashlib.sha256(words.encode())
    digest.update(np.ascontiguousarray(values, dtype="<f8").data)
    digest.update(np.ascontiguousarray(rows, dtype="<i8").data)
    return f"sha256:{digest.hexdigest()}"


def vote_columns(names: Iterable[str]) -> list[str]:
    """Return the names of columns ``votes_<class>``, upper or lower case; none if there is only one."""
    found = [name for name in names if name.lower().startswith(VOTE_PREFIX)]
    return found if len(found) > 1 else []


def gather_votes(
    columns: Mapping[str, Array], locations: Sequence[str] | Texts
) -> tuple[dict[str, Array], Array | None, tuple[str, ...]]:
    """Separate the columns ``votes_<class>`` (two or more) from a table; ``locations`` name its rows in messages.

    Returns the other columns; the votes, int64 or float64 (N, V), zeros for a row without any, or None; the class
    names. Raises DataError for a value that is not a number, or a column that is a sum.
    """
    found = vote_columns(columns)
    if not found:
        return dict(columns), None, ()
    classes = tuple(canonical_class(name[len(VOTE_PREFIX) :]) for name in found)
    sums = [name for name, own in zip(found, classes, strict=True) if own.lower() in _TOTALS]
    if sums:
        raise DataError(f"Votes are for a class, not sums. Rename: {', '.join(sums)}.", code="votes")
    votes = np.stack([_numbers(columns[name]) for name in found], axis=1)
    for row, at in np.argwhere(np.isinf(votes)):
        where, cell = f"{locations[row]}: '{found[at]}'", f"{columns[found[at]][row]!s:.40}"
        raise DataError(f"{where} must be a number of votes, or blank; found '{cell}'.", code="votes")
    votes[np.isnan(votes).all(axis=1)] = 0
    return {name: values for name, values in columns.items() if name not in found}, votes, classes


def _numbers(values: Array) -> Array:
    """Return the numbers in a column, NaN for a missing one, inf for text; whole numbers stay whole. (N,) -> (N,)."""
    if values.dtype.kind in "iu" and values.ndim == 1:
        return values.astype(np.int64)
    numbers = np.full(len(values), np.inf)
    for at, value in enumerate(values.tolist()):
        with suppress(TypeError, ValueError):
            numbers[at] = parse_number(value) if isinstance(value, str) else float(value)
    return numbers


def ferplus_columns(rows: Iterable[Any], file: str) -> dict[str, Array]:
    """Return FER+'s lists in a parquet column as a column (N,) for each class; 0 for an empty row. Raises DataError."""
    counts: list[list[float]] = []
    for row, value in enumerate(rows):
        if value is None or (isinstance(value, list) and all(each is None for each in value)):
            counts.append([0] * len(FERPLUS_CLASSES))
            continue
        numbers = isinstance(value, list) and all(isinstance(each, int | float) for each in value)
        if not numbers or len(value) != len(FERPLUS_CLASSES):
            expected = f"{file} row {row}: '{FERPLUS_COLUMN}' must hold {len(FERPLUS_CLASSES)} numbers"
            raise DataError(f"{expected}; found {value!r:.60}.", code="votes")
        counts.append(value)
    return dict(zip([VOTE_PREFIX + name for name in FERPLUS_CLASSES], np.array(counts).T, strict=True))


def with_votes(dataset: Dataset, path: str | os.PathLike[str]) -> Dataset:
    """Add the votes in FER+'s official ``fer2013new.csv`` to FER2013, in place of any others.

    The file has a line for each image of Kaggle's ``fer2013.csv``, in its order. Raises DataError: no such file,
    another kind of file, a damaged line, or lines about other images.
    """
    usages, votes = read_ferplus(expand_home(path))
    beyond = np.flatnonzero((dataset.rows < 0) | (dataset.rows >= len(votes)))
    if len(beyond):
        raise _other_images(f"{path} has {len(votes):,} rows, but the data has row {dataset.rows[beyond[0]]}")
    differ = np.flatnonzero(usages[dataset.rows] != dataset.split)
    if len(differ):
        row, own = dataset.rows[differ[0]], dataset.split[differ[0]]
        raise _other_images(f"{path}: row {row} belongs to {usages[row]}; in the data it belongs to {own}")
    votes = votes[dataset.rows]
    names = np.array(FERPLUS_CLASSES)[votes.argmax(axis=1)]
    shared = np.isin(names, dataset.classes) & np.isin(dataset.classes, FERPLUS_CLASSES)[dataset.labels]
    agreement = float((names == np.array(dataset.classes)[dataset.labels])[shared].mean()) if shared.any() else 1.0
    if agreement < _MIN_AGREEMENT:
        raise _other_images(f"{path}: the votes and labels agree on only {agreement:.0%} of the images, not about 66%")
    fingerprints = dataset.fingerprint, dataset.fingerprint_without_test
    return replace(dataset, votes=votes, vote_classes=FERPLUS_CLASSES).with_fingerprints(*fingerprints)


def _other_images(what: str) -> DataError:
    return DataError(f"{what}. For images other than fer2013.csv's, give columns 'votes_<class>'.", code="data-differs")


def read_ferplus(path: Path) -> tuple[Texts, Ints]:
    """Read the split and ten counts of each row of ``fer2013new.csv``, int64 (N, 10). Raises as :func:`with_votes`."""
    file, splits, counts = CsvFile(path), [], []
    for line, (usage, _, *cells) in file.rows() if tuple(map(normalize_header, file.names)) == _FERPLUS_HEADER else ():
        split, numbers = canonical_split(usage), [cell.strip() for cell in cells]
        if split is None or not all(cell.isdecimal() and len(cell) <= _MAX_DIGITS for cell in numbers):
            words = (
                f"{path} line {line}: expected a split, a name and whole numbers; found {usage},..,{','.join(cells)}."
            )
            raise DataError(words[:200], code="votes")
        splits.append(split)
        counts.append([int(cell) for cell in numbers])
    if not splits:
        raise DataError(f"{path} is not FER+'s fer2013new.csv, or has no rows.", code="votes")
    return np.array(splits), np.array(counts, dtype=np.int64)


def read_ratings(dataset: Dataset, names: Sequence[str]) -> Floats | None:
    """Return the ratings in E columns of N images: float64 (N, E), -1..1, NaN if missing; None without the columns.

    AffectNet marks missing ratings by -2. Raises DataError for another value outside -1..1 (``ratings-range``).
    """
    if not set(names) <= set(dataset.columns):
        return None
    ratings = np.stack([_numbers(dataset.columns[name].astype(np.str_)) for name in names], axis=1)
    ratings[ratings == AFFECTNET_MISSING] = np.nan
    for row, at in np.argwhere(np.abs(ratings) > 1):
        found = f"{dataset.columns[names[at]][row]!s:.80} of {dataset.source[row]}"
        raise DataError(f"{names[at]} must be a number from -1 to 1, or blank; found {found}.", code="ratings-range")
    return ratings


def rating_notices(dataset: Dataset) -> Iterator[Notice]:
    """Return notices about ratings that are left out: AffectNet's -2, and columns that are no ratings from -1 to 1."""
    for name in (name for name in NAMES if name in dataset.columns and dataset.columns[name].ndim == 1):
        try:
            ratings = read_ratings(dataset, [name])
        except DataError as error:
            yield Notice(f"{error} Ratings will not be measured.", code=error.code)
            continue
        if ratings is not None and (marked := int((np.isnan(ratings[:, 0]) & ~missing(dataset.columns[name])).sum())):
            words = f"{name}: ratings of -2 left out, AffectNet's mark for a missing one: {marked:,}."
            yield Notice(words, code="values-missing")


def ratings_fingerprint(dataset: Dataset, names: Sequence[str]) -> str:
    """SHA-256 of ratings and their rows, as ``"sha256:..."``; the test split is ignored."""
    learned = dataset.subset(dataset.split != "test")
    return _fingerprint("", read_ratings(learned, names), learned.rows)
