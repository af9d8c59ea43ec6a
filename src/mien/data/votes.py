"""Votes: how many annotators chose each class for each image.

FER+ (Barsoum et al. 2016, "Training Deep Networks for Facial Expression Recognition with Crowd-Sourced Label
Distribution") asked ten annotators about every image of FER2013. Its votes are the column ``ferplus_votes``; the votes
of any other data set are the column ``votes``, with class names in :attr:`mien.data.dataset.Dataset.vote_classes`.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, arg
from mien.base.labels import FERPLUS_CLASSES, canonical_class
from mien.data.splits import canonical_split

if TYPE_CHECKING:
    from mien.data.dataset import Dataset

FERPLUS_COLUMN = "ferplus_votes"
"""The column with FER+'s votes; votes of other data are the column ``votes``."""

VOTE_PREFIX = "votes_"
"""A column ``votes_happy`` holds the number of votes for the class happy."""

_FERPLUS_HEADER = (
    *("usage", "image name", "neutral", "happiness", "surprise", "sadness"),
    *("anger", "disgust", "fear", "contempt", "unknown", "nf"),
)
_LEAST_AGREEMENT = 0.4
"""FER+'s majority equals FER2013's label for about two thirds of the images, and for a fifth of shuffled ones."""

_MOST_DIGITS = 9
"""Of a number of votes: sums of such counts fit int64."""


def check_votes(faces: Dataset) -> npt.NDArray[np.float64]:
    """Check the votes of faces that a recipe wants to learn from or to be measured by.

    Returns:
        float64 (N, V): votes for each of ``faces.vote_classes``; all 0 for a face that nobody was asked about.

    Raises:
        DataError: no votes, or none for any of these faces; another number of counts than classes; a row with a
            negative count, or with one that is not a number.
    """
    votes = faces.votes
    if votes is None:
        found = faces.columns.get(FERPLUS_COLUMN)
        if found is None:
            raise DataError(
                "The data has no votes. A data set has them as columns 'votes_<class>' in a CSV or parquet, as a list "
                f"column 'ferplus_votes' in parquet, or from FER+'s fer2013new.csv ({arg('votes', 'FILE')}).",
                code="votes-missing",
            )
        raise DataError(
            f"The column '{FERPLUS_COLUMN}' must hold {len(FERPLUS_CLASSES)} numbers for each image "
            f"({', '.join(FERPLUS_CLASSES)}); found {found.dtype} {found.shape}.",
            code="votes-shape",
        )
    counts = checked_counts(faces, votes)
    if not counts.any():
        splits = ", ".join(np.unique(faces.split).tolist())
        raise DataError(
            f"None of the {len(faces):,} images of {splits} has votes. What learns from votes needs some "
            f"in train and in validation.",
            code="votes-empty",
        )
    return counts


def checked_counts(faces: Dataset, votes: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The votes of faces as float64 (N, V). Raises :class:`DataError` for one that is negative or no number."""
    counts = votes.astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(counts) & (counts >= 0)).all(axis=1))
    if len(wrong):
        shown = ", ".join(f"{each:g}" for each in counts[wrong[0]])
        raise DataError(
            f"The votes of row {faces.rows[wrong[0]]} ({faces.source[wrong[0]]}) are {shown}. A number of votes is 0 "
            f"or more. Rows like this: {len(wrong):,} of {len(counts):,}.",
            code="votes-negative",
        )
    return counts


def usable_vote_classes(columns: Mapping[str, npt.NDArray[Any]], declared: tuple[str, ...]) -> tuple[str, ...]:
    """The classes of the votes among some columns: FER+'s, or those ``declared`` of the column ``votes``; () without.

    Raises:
        DataError: a class is named twice, or the column ``votes`` has another shape.
    """
    ferplus = columns.get(FERPLUS_COLUMN)
    if ferplus is not None:
        usable = ferplus.dtype.kind in "iuf" and ferplus.shape[1:] == (len(FERPLUS_CLASSES),)
        return FERPLUS_CLASSES if usable else ()
    votes = columns.get("votes")
    if votes is None or not declared:
        return ()
    if len(set(declared)) < len(declared):
        raise DataError(f"A class of the votes is named twice: {', '.join(declared)}.", code="votes-class-twice")
    if votes.dtype.kind not in "iuf" or votes.shape[1:] != (len(declared),):
        raise DataError(
            f"Votes must be numbers (N, {len(declared)}) for the classes {', '.join(declared)}; found {votes.dtype} "
            f"{votes.shape}.",
            code="votes-shape",
        )
    return declared


def vote_probabilities(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each row's votes as a distribution: float64 (N, V), all at least 0 -> float64 (N, V).

    Rows sum to 1, to 0 those without votes.
    """
    totals = counts.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0))


def votes_fingerprint(faces: Dataset) -> str:
    """SHA-256 of votes, their classes and the rows they belong to, as ``"sha256:..."``; the test split does not count.

    Raises:
        DataError: the faces have no usable votes.
    """
    learned = faces.subset(faces.split != "test")
    digest = hashlib.sha256(repr(learned.vote_classes).encode())
    digest.update(np.ascontiguousarray(check_votes(learned), dtype="<f8").data)
    digest.update(np.ascontiguousarray(learned.rows, dtype="<i8").data)
    return f"sha256:{digest.hexdigest()}"


_TOTALS = ("total", "sum", "count", "n")
"""Of ``votes_total`` and the like: no class."""


def vote_columns(names: Iterable[str]) -> list[str]:
    """The columns ``votes_<class>`` of a table, in any case; none if there is one alone, or FER+'s own votes."""
    names = list(names)
    found = [name for name in names if name.lower().startswith(VOTE_PREFIX)]
    return [] if len(found) < 2 or FERPLUS_COLUMN in names else found


def gather_votes(
    columns: Mapping[str, npt.NDArray[Any]], places: Sequence[str] | npt.NDArray[np.str_]
) -> tuple[dict[str, npt.NDArray[Any]], tuple[str, ...]]:
    """Join the columns ``votes_<class>`` of a table into one column ``votes``.

    Args:
        columns: by name, N entries each.
        places: where each row stands, such as ``faces.csv line 3``.

    Returns:
        The columns, and the class names in the table's order; the columns as they are and () without
        :func:`vote_columns`. A row with nothing in any of them has no votes: zeros.

    Raises:
        DataError: a value is not a number, or is missing beside others; two columns name one class, or one their sum.
    """
    found = vote_columns(columns)
    if not found:
        return dict(columns), ()
    classes = tuple(canonical_class(name[len(VOTE_PREFIX) :]) for name in found)
    wrong = [
        name
        for name, own in zip(found, classes, strict=True)
        if not own or own.lower() in _TOTALS or classes.count(own) > 1 or columns[name].ndim != 1
    ]
    if wrong or "votes" in columns:
        raise _not_votes([*wrong, *(["votes"] if "votes" in columns else [])])
    votes = np.stack([_numbers(name, columns[name], places) for name in found], axis=1)
    missing = np.isnan(votes)
    votes[missing.all(axis=1)] = 0
    partly = np.argwhere(missing & ~missing.all(axis=1, keepdims=True))
    if len(partly):
        at, column = partly[0]
        raise _no_number(places[at], found[column], "nothing, though others have one")
    kept = {name: values for name, values in columns.items() if name not in found}
    return {**kept, "votes": votes}, classes


def _numbers(name: str, values: npt.NDArray[Any], places: Sequence[str] | npt.NDArray[np.str_]) -> npt.NDArray[Any]:
    """A column of votes as numbers, NaN where nothing stands: whole numbers stay whole. (N,) -> (N,)."""
    if values.dtype.kind in "iub":
        return values.astype(np.int64)
    found = np.full(len(values), np.nan)
    for at, value in enumerate(map(str, values.tolist())):
        if value.strip().casefold() in {"", "nan"}:
            continue
        with contextlib.suppress(ValueError):
            found[at] = math.nan if "_" in value else float(value)
        if not math.isfinite(found[at]):
            raise _no_number(places[at], name, f"'{value[:40]}'")
    return found


def _not_votes(names: Sequence[str]) -> DataError:
    return DataError(
        f"Columns '{VOTE_PREFIX}<class>' are votes: a number each, one column for each class, no column with their "
        f"sum, and no other column 'votes'. Rename, or leave out: {', '.join(names)}.",
        code="votes-columns",
    )


def _no_number(where: str, name: str, found: str) -> DataError:
    return DataError(
        f"{where}: the column '{name}' must hold a number of votes; found {found}. Write 0 where nobody chose the "
        f"class; leave all columns of votes empty where nobody was asked.",
        code="votes-not-numbers",
    )


def ferplus_votes(rows: Iterable[Any], file: str) -> npt.NDArray[np.float64]:
    """FER+'s votes from the lists of a parquet column, float64 (N, 10): zeros for a row of nothing.

    Raises:
        DataError: a row of something else than ten numbers; ``file`` is named.
    """
    counts: list[list[float]] = []
    for row, value in enumerate(rows):
        if value is None or (isinstance(value, list) and all(each is None for each in value)):
            counts.append([0] * len(FERPLUS_CLASSES))
            continue
        numbers = isinstance(value, list) and all(isinstance(each, int | float) for each in value)
        if not numbers or len(value) != len(FERPLUS_CLASSES):
            raise DataError(
                f"{file} row {row}: the column '{FERPLUS_COLUMN}' must hold {len(FERPLUS_CLASSES)} numbers of votes; "
                f"found {value!r:.60}. Correct the row, or drop the column.",
                code="votes-shape",
            )
        counts.append(value)
    return np.array(counts, dtype=np.float64)


def with_votes(faces: Dataset, path: str | os.PathLike[str]) -> Dataset:
    """Add the votes of FER+'s official ``fer2013new.csv`` to FER2013.

    The file has a line for each image of Kaggle's ``fer2013.csv``, in its order:
    ``Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF``.

    Args:
        faces: FER2013, whose ``rows`` are those of ``fer2013.csv``.
        path: the file.

    Returns:
        The same faces with the column ``ferplus_votes``, int64 (N, 10).

    Raises:
        DataError: no such file or another one, a damaged line, lines that are about other images, or faces that have
            other votes already.
    """
    path = Path(path)
    usages, votes = read_ferplus(path)
    beyond = np.flatnonzero((faces.rows < 0) | (faces.rows >= len(votes)))
    if len(beyond):
        raise DataError(
            f"{path} has {len(votes):,} rows; the data has row {faces.rows[beyond[0]]}. {_OTHER_IMAGES}",
            code="votes-other-data",
        )
    splits = np.array([usages[row] for row in faces.rows.tolist()], dtype=np.str_)
    differ = np.flatnonzero(splits != faces.split)
    if len(differ):
        row = faces.rows[differ[0]]
        raise DataError(
            f"{path} line {row + 2}: row {row} belongs to {splits[differ[0]]}; in the data it belongs to "
            f"{faces.split[differ[0]]}. {_OTHER_IMAGES}",
            code="votes-other-data",
        )
    own = votes[faces.rows]
    names = np.array(FERPLUS_CLASSES)[own.argmax(axis=1)]
    shared = np.isin(names, faces.classes) & np.isin(faces.classes, FERPLUS_CLASSES)[faces.labels]
    agreement = float((names == np.array(faces.classes)[faces.labels])[shared].mean()) if shared.any() else 1.0
    if agreement < _LEAST_AGREEMENT:
        raise DataError(
            f"{path}: the class with most votes is the label of only {agreement:.0%} of the images; expected about "
            f"two thirds. {_OTHER_IMAGES}",
            code="votes-other-data",
        )
    if (
        faces.votes is not None
        and faces.votes.any()
        and not (faces.vote_classes == FERPLUS_CLASSES and np.array_equal(faces.votes, own))
    ):
        raise DataError(
            f"The data has votes of its own, which are not those of {path}. Leave out {arg('votes')}, or the data's "
            "votes.",
            code="votes-twice",
        )
    fingerprints = faces.fingerprint, faces.fingerprint_without_test
    voted = replace(faces, columns={**faces.columns, FERPLUS_COLUMN: own}, vote_classes=FERPLUS_CLASSES)
    return voted.with_fingerprints(*fingerprints)


_OTHER_IMAGES = (
    "Its rows must be those of fer2013.csv, in that order. Votes on other images are columns 'votes_<class>' of a CSV."
)


def read_ferplus(path: Path) -> tuple[list[str], npt.NDArray[np.int64]]:
    """The split of every row of ``fer2013new.csv``, and its ten counts, int64 (N, 10). Raises as :func:`with_votes`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = list(csv.reader(stream))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", code="votes-unreadable") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not readable as CSV ({error}).", code="votes-unreadable") from None
    header = tuple(name.strip().lower() for name in lines[0]) if lines else ()
    if header != _FERPLUS_HEADER:
        raise DataError(
            f"{path} is not FER+'s fer2013new.csv: expected the columns {', '.join(_FERPLUS_HEADER)}.",
            code="votes-file",
        )
    usages, counts = [], []
    for number, line in enumerate(lines[1:], start=2):
        if not line:
            continue
        usages.append(_usage(line, f"{path} line {number}"))
        counts.append(_counts(line, f"{path} line {number}"))
    if not counts:
        raise DataError(f"{path} has a header and no rows.", code="votes-file-empty")
    return usages, np.array(counts, dtype=np.int64)


def _usage(line: Sequence[str], where: str) -> str:
    if len(line) != len(_FERPLUS_HEADER):
        raise DataError(
            f"{where}: expected {len(_FERPLUS_HEADER)} columns, found {len(line)}.", code="csv-column-count"
        )
    split = canonical_split(line[0])
    if split is None:
        raise DataError(f"{where}: '{line[0]}' is not Training, PublicTest or PrivateTest.", code="split-unknown")
    return split


def _counts(line: Sequence[str], where: str) -> list[int]:
    values = [each.strip() for each in line[2:]]
    wrong = next((value for value in values if not value.isdecimal() or len(value) > _MOST_DIGITS), None)
    if wrong is not None:
        raise DataError(
            f"{where}: '{wrong[:40]}' is not a number of votes, which is a whole number of 0 or more.",
            code="votes-not-numbers",
        )
    return [int(value) for value in values]
