"""Scores: what a classifier said about each face of a split, and the truth. The file format is in docs/scores.md."""

from __future__ import annotations

import math
import os
import tokenize
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.files import whole_file
from mien.labels import LabelScheme

SUM_TOLERANCE = 1e-3
"""How far a row's probabilities may sum from 1: room for float16, too little for anything but probabilities."""

UNREADABLE = (
    *(OSError, ValueError, EOFError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
"""All that numpy raises for an ``.npz`` that is missing or damaged in one way or another."""

_ARRAYS = ("rows", "labels", "probabilities", "classes", "split", "data_fingerprint")
_OPTIONAL = ("note", "temperature")


@dataclass(frozen=True, eq=False)
class Scores:
    """The probabilities that a classifier gave each face of one split, beside the true labels.

    Whole numbers and floats of any width are taken; the fields hold int64 and float64.

    Attributes:
        rows: int64 (N,), the number that names each face in its data (``FaceSet.rows``); no number twice.
        labels: int64 (N,), the true class of each face, 0..C-1.
        probabilities: float64 (N, C) in 0..1, each row summing to 1 within :data:`SUM_TOLERANCE`.
        classes: C different class names, in the order of the labels and the columns.
        split: which split the faces are of, e.g. ``"test"``.
        data_fingerprint: ``FaceSet.fingerprint_for_scores`` of the data, or ``""`` where nobody knows it.
        note: how the answers came about, where they are not one model's about each face as it is; else ``""``.
        temperature: what logits were divided by; None where nobody knows, or where it is not one.

    Raises:
        DataError: any of the above does not hold, or there is no row.
    """

    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]
    classes: tuple[str, ...]
    split: str
    data_fingerprint: str
    note: str = ""
    temperature: float | None = None

    def __post_init__(self) -> None:
        rows = _whole_numbers("rows", self.rows)
        labels = _whole_numbers("labels", self.labels)
        _check_names(self.classes, self.split)
        probabilities = np.asarray(self.probabilities)
        shape = (len(rows), len(self.classes))
        if probabilities.dtype.kind != "f" or probabilities.shape != shape:
            raise DataError(
                f"'probabilities' must be floats of shape {shape}, one line per row and one column per class; "
                f"found {probabilities.dtype} {probabilities.shape}."
            )
        if len(labels) != len(rows):
            raise DataError(f"'labels' must have one entry per row; found {len(labels)} for {len(rows)} rows.")
        if not len(rows):
            raise DataError("There are no rows: scores need at least one face.")
        probabilities = probabilities.astype(np.float64)
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise DataError(f"'temperature' must be a positive number; found {self.temperature}.")
        _check_rows(rows)
        _check_labels(rows, labels, len(self.classes))
        _check_probabilities(rows, probabilities)
        # The class is frozen for its users; its own constructor settles the types.
        object.__setattr__(self, "rows", rows)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "probabilities", probabilities)
        object.__setattr__(self, "classes", tuple(self.classes))

    def __len__(self) -> int:
        return len(self.rows)

    def subset(self, chosen: npt.NDArray[Any]) -> Scores:
        """The rows that ``chosen`` (bool (N,) or indices) picks, in that order.

        Raises:
            DataError: it picks none.
        """
        return replace(
            self, rows=self.rows[chosen], labels=self.labels[chosen], probabilities=self.probabilities[chosen]
        )

    def with_scheme(self, scheme: LabelScheme | None) -> Scores:
        """The same answers under another label scheme: probabilities are summed over each group and rescaled.

        Rows of dropped classes are left out, as by ``FaceSet.with_scheme``, so that a model trained on more classes
        meets one trained on the merged ones. None changes nothing.

        Raises:
            DataError: the scheme names a class that these scores do not have, or leaves no row.
        """
        if scheme is None:
            return self
        merged = scheme.mapping(self.classes, "the model")[self.labels]
        kept = merged >= 0
        if not kept.any():
            raise DataError(f"The label scheme '{scheme.name}' leaves none of the {len(self)} rows of '{self.split}'.")
        return replace(
            self,
            rows=self.rows[kept],
            labels=merged[kept],
            probabilities=scheme.merge_probabilities(self.probabilities[kept], self.classes),
            classes=scheme.classes,
        )


def write_scores(path: str | os.PathLike[str], scores: Scores, precision: type[np.floating[Any]] = np.float64) -> None:
    """Write ``scores`` as a compressed ``.npz``, whole or not at all; the same scores give the same bytes.

    Probabilities in float32, which is what networks compute in, take half the room; in float16 a quarter, with three
    digits, and those under 6e-8 become 0.

    Raises:
        RunError: the file system refused.
    """
    more: dict[str, Any] = {"note": np.array(scores.note, dtype=np.str_)} if scores.note else {}
    more |= {} if scores.temperature is None else {"temperature": np.array(scores.temperature, dtype=np.float64)}
    # A stream, because numpy adds ".npz" to a name that ends otherwise, as the temporary one does. There is no
    # allow_pickle here: numpy 1.26 would store an array of that name. No array below is of dtype object.
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            rows=scores.rows,
            labels=scores.labels,
            probabilities=scores.probabilities.astype(precision),
            classes=np.array(scores.classes, dtype=np.str_),
            split=np.array(scores.split, dtype=np.str_),
            data_fingerprint=np.array(scores.data_fingerprint, dtype=np.str_),
            **more,
        )


def read_scores(path: str | os.PathLike[str]) -> Scores:
    """Read a scores file, by whomever it was written.

    Raises:
        DataError: the file is missing, is no ``.npz`` of plain arrays, or breaks a rule of :class:`Scores`.
    """
    path = Path(path)
    try:
        arrays = _read_arrays(path)
        texts = {name: _text(name, arrays[name]) for name in ("split", "data_fingerprint", "note") if name in arrays}
        classes = arrays["classes"]
        if classes.dtype.kind != "U" or classes.ndim != 1:
            raise DataError(f"'classes' must be strings of shape (C,); found {classes.dtype} {classes.shape}.")
        return Scores(
            rows=arrays["rows"],
            labels=arrays["labels"],
            probabilities=arrays["probabilities"],
            classes=tuple(classes.tolist()),
            temperature=_number("temperature", arrays["temperature"]) if "temperature" in arrays else None,
            **texts,
        )
    except DataError as error:
        raise DataError(f"{path}: {error} The format is specified in docs/scores.md.") from None


def _read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        # numpy leaves a file that it opened itself open when it turns out to be no zip.
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            # A .npy file comes back as a bare array.
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError("This is a single array; expected an .npz with several.")
            missing = [name for name in _ARRAYS if name not in archive.files]
            if missing:
                raise DataError(f"Missing: {', '.join(missing)}; found: {', '.join(archive.files) or 'nothing'}.")
            return {name: archive[name] for name in (*_ARRAYS, *_OPTIONAL) if name in archive.files}
    except FileNotFoundError:
        raise DataError("There is no such file.") from None
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        # What numpy says of any file that is neither a zip nor an array of its own.
        if "pickle" in reason:
            reason = "it is none"
        raise DataError(f"The file cannot be read as an .npz of plain arrays ({reason}).") from None


def _text(name: str, array: npt.NDArray[Any]) -> str:
    if array.dtype.kind != "U" or array.ndim != 0:
        raise DataError(f"'{name}' must be a single string; found {array.dtype} {array.shape}.")
    return str(array)


def _number(name: str, array: npt.NDArray[Any]) -> float:
    if array.dtype.kind not in "iuf" or array.ndim != 0:
        raise DataError(f"'{name}' must be a single number; found {array.dtype} {array.shape}.")
    return float(array)


def _whole_numbers(name: str, values: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    values = np.asarray(values)
    if values.dtype.kind not in "iu" or values.ndim != 1:
        raise DataError(f"'{name}' must be whole numbers of shape (N,); found {values.dtype} {values.shape}.")
    return values.astype(np.int64)


def _check_names(classes: tuple[str, ...], split: str) -> None:
    if len(classes) < 2:
        raise DataError(f"'classes' must name at least two classes; found {len(classes)}.")
    for name in classes:
        if not name or classes.count(name) > 1:
            raise DataError(f"'classes' must be different, non-empty names; found {', '.join(map(repr, classes))}.")
    if not split:
        raise DataError("'split' must say which split the rows are of, e.g. 'test'; found an empty string.")


def _check_rows(rows: npt.NDArray[np.int64]) -> None:
    numbers, counts = np.unique(rows, return_counts=True)
    if len(numbers) < len(rows):
        repeated = numbers[counts > 1]
        raise DataError(f"'rows' must name each face once; row {repeated[0]} stands there {counts.max()} times.")


def _check_labels(rows: npt.NDArray[np.int64], labels: npt.NDArray[np.int64], class_count: int) -> None:
    wrong = np.flatnonzero((labels < 0) | (labels >= class_count))
    if len(wrong):
        first = wrong[0]
        raise DataError(
            f"'labels' must be 0..{class_count - 1} for {class_count} classes; row {rows[first]} (entry {first}) "
            f"has {labels[first]}, and {len(wrong)} entries in all are outside."
        )


def _check_probabilities(rows: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> None:
    # In this order: NaN is neither inside nor a sum, and deserves its own words.
    outside = (probabilities < 0) | (probabilities > 1)
    with np.errstate(invalid="ignore"):  # infinity minus infinity, reported by the first check
        off_sum = np.abs(probabilities.sum(axis=1) - 1) > SUM_TOLERANCE
    for bad, expected, found in (
        (~np.isfinite(probabilities).all(axis=1), "must be numbers", "holds NaN or infinity"),
        (outside.any(axis=1), "must lie in 0..1", "does not (logits need a softmax first)"),
        (off_sum, f"must sum to 1 within {SUM_TOLERANCE} in each row", "does not"),
    ):
        wrong = np.flatnonzero(bad)
        if len(wrong):
            first = wrong[0]
            values = ", ".join(f"{value:.6g}" for value in probabilities[first, :10])
            raise DataError(
                f"'probabilities' {expected}; row {rows[first]} (entry {first}) {found}: [{values}]; "
                f"{len(wrong)} of {len(rows)} rows are wrong."
            )
