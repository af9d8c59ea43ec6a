"""A model's predictions for the faces of one split, with their true labels. docs/predictions.md has the file format."""

import math
import os
import re
import tokenize
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from mien.base.arrays import Array, Bools, Floats, Ints, Texts
from mien.base.errors import DataError
from mien.base.files import expand_home, refuse_pointer, whole_file
from mien.base.labels import LabelScheme
from mien.data.votes import vote_probabilities

SUM_TOLERANCE = 1e-3
"""A sample's probabilities may sum to 1 with this error, which float16 needs."""

_MAX_BYTES = 1_000_000_000
"""Largest unpacked size of a file: a million samples of a hundred classes. Without a limit, a small file of compressed
zeros could fill the memory."""


_KINDS = {"iu": "integers", "f": "floats", "iuf": "numbers", "b": "booleans", "U": "strings"}
_STORED_AS: dict[str, Any] = {"iu": np.int64, "f": np.float64, "iuf": np.float64}


def _array(name: str, given: Any, kinds: str, *shape: int | None) -> Array:
    """Convert to an array, numbers to 64 bits. Raises DataError for other ``kinds`` or another shape (None: any)."""
    values: Array = np.asarray(given)
    fits = values.ndim == len(shape) and all(side in {None, own} for side, own in zip(shape, values.shape, strict=True))
    if values.dtype.kind not in kinds or not fits:
        sides = ", ".join("any" if side is None else str(side) for side in shape)
        words = f"'{name}' must be {_KINDS[kinds]} of shape ({sides}); found {values.dtype} {values.shape}."
        raise DataError(words, code="predictions")
    return values.astype(_STORED_AS.get(kinds, values.dtype))


def _refuse(bad: npt.ArrayLike, rule: str, values: Array, sample_ids: Ints) -> None:
    """Raise a DataError if any sample is bad, bool (N,), with the values of the first."""
    wrong = np.flatnonzero(bad)
    if len(wrong):
        shown = ", ".join(f"{value:.6g}" for value in np.atleast_1d(values[wrong[0]])[:10])
        words = f"{rule}; sample {sample_ids[wrong[0]]} (entry {wrong[0]}) has [{shown}]. Wrong samples: {len(wrong)}."
        raise DataError(words, code="predictions")


def check_probabilities(sample_ids: Ints, probabilities: Floats, name: str = "probabilities") -> None:
    """Raise an error if probabilities, float64 (N, C), are not distributions; ``name`` is for the message."""
    # Check NaN first: it fails the other checks too, and needs its own message.
    outside = (probabilities < 0) | (probabilities > 1)
    with np.errstate(invalid="ignore"):  # ignore warnings of infinity minus infinity, which the first check reports
        off_sum = np.abs(probabilities.sum(axis=1) - 1) > SUM_TOLERANCE
    for bad, rule in (
        (~np.isfinite(probabilities).all(axis=1), "must be finite numbers"),
        (outside.any(axis=1), "must be in 0..1 (logits need a softmax first)"),
        (off_sum, f"must sum to 1 within {SUM_TOLERANCE} for each sample"),
    ):
        _refuse(bad, f"'{name}' {rule}", probabilities, sample_ids)


class PerSample:
    """Base of frozen dataclasses whose arrays have one row per sample."""

    def _store(self, **arrays: Any) -> None:
        for name, value in arrays.items():
            object.__setattr__(self, name, value)

    def _check_length(self, count: int, names: Mapping[str, str] = MappingProxyType({})) -> None:
        """Raise a DataError for an array of another length; ``names`` are those of the file, by field."""
        for name, value in vars(self).items():
            if isinstance(value, PerSample):
                value._check_length(count, {field: array for array, field in _PARTS[name][1].items()})
            elif isinstance(value, np.ndarray) and len(value) != count:
                words = f"'{names.get(name, name)}' needs one entry per sample; found {len(value)} for {count} samples."
                raise DataError(words, code="predictions")

    def subset(self, chosen: Array) -> Self:
        """Return the chosen samples, bool (N,) or indices (K,), in that order."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        arrays = {name: value[chosen] for name, value in values.items() if isinstance(value, np.ndarray)}
        parts = {name: value.subset(chosen) for name, value in values.items() if isinstance(value, PerSample)}
        return replace(self, **arrays, **parts)  # type: ignore[type-var]


@dataclass(frozen=True, eq=False)
class VotePredictions(PerSample):
    """The votes on N samples, and the probabilities of the output trained on votes. Numbers are converted to float64.

    Attributes:
        counts: float64 (N, V), number of annotators who chose each class, 0 or more; all 0 for a sample without votes.
        classes: V unique class names.
        probabilities: float64 (N, V), rows sum to 1; None if the model has no output trained on votes.
        output: name of that output; ``""`` if there is none.

    Raises:
        DataError: an array of a wrong shape or type.
    """

    counts: Floats
    classes: tuple[str, ...]
    probabilities: Floats | None = None
    output: str = ""

    def __post_init__(self) -> None:
        self._store(counts=_array("vote_counts", self.counts, "iuf", None, len(self.classes)))
        if self.probabilities is not None:
            self._store(probabilities=_array("vote_probabilities", self.probabilities, "iuf", *self.counts.shape))

    def check(self, sample_ids: Ints) -> None:
        """Check the values of the samples, int64 (N,). Raises :class:`DataError`."""
        if len(set(self.classes)) < len(self.classes) or len(self.classes) < 2:
            found = ", ".join(self.classes)
            raise DataError(f"'vote_classes' must be two unique names or more; found {found}.", code="predictions")
        usable = np.isfinite(self.counts).all(axis=1) & (self.counts >= 0).all(axis=1)
        _refuse(~usable, "'vote_counts' must be 0 or more", self.counts, sample_ids)
        if self.probabilities is not None:
            check_probabilities(sample_ids, self.probabilities, "vote_probabilities")

    @property
    def known(self) -> Bools:
        """Whether a sample has votes, bool (N,)."""
        return np.asarray(self.counts.any(axis=1))

    @property
    def distributions(self) -> Floats:
        """Each sample's votes as fractions, float64 (N, V); rows sum to 1, or to 0 without votes."""
        return vote_probabilities(self.counts)


@dataclass(frozen=True, eq=False)
class Answers(PerSample):
    """The answers that users get for N samples, if these are not just the most probable classes.

    Attributes:
        said: str (N,), a class, ``"unsure"`` or ``"not-a-face"``.
        confidence: float64 (N,), the probability shown with the answer, 0..1.
        output: name of the model's output that gives the answer.

    Raises:
        DataError: an array of a wrong shape or type, or a probability outside 0..1.
    """

    said: Texts
    confidence: Floats
    output: str = ""

    def __post_init__(self) -> None:
        said = _array("answers", self.said, "U", None)
        self._store(said=said, confidence=_array("answer_confidence", self.confidence, "f", len(said)))
        if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            raise DataError("'answer_confidence' must be in 0..1.", code="predictions")


@dataclass(frozen=True, eq=False)
class RatedValues(PerSample):
    """Values that a model predicts besides classes for N samples, such as valence, and people's ratings.

    Attributes:
        names: names of E values.
        values: float64 (N, E), predicted.
        ratings: float64 (N, E), NaN for a sample without rating.

    Raises:
        DataError: an array has another shape or type, or a value is not finite.
    """

    names: tuple[str, ...]
    values: Floats
    ratings: Floats

    def __post_init__(self) -> None:
        for name in ("values", "ratings"):
            self._store(**{name: _array(name, getattr(self, name), "f", None, len(self.names))})
        if not np.isfinite(self.values).all():
            raise DataError("values must be finite; only ratings may be NaN.", code="predictions")

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics of each value with two ratings or more: ``NAME_ccc`` and ``NAME_rmse``."""
        known = (~np.isnan(self.ratings)).sum(axis=0) >= 2
        rated = [name for name, enough in zip(self.names, known, strict=True) if enough]
        return [f"{name}_{kind}" for name in rated for kind in ("ccc", "rmse")]


UNREADABLE: tuple[type[Exception], ...] = (
    *(OSError, ValueError, EOFError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)
"""Exceptions that NumPy raises for a missing or damaged ``.npz``."""

MAX_DIFFERENCE = 1e-3
"""Probabilities of one model may differ by this much between machines, or if stored as float16."""

_ARRAYS = ("sample_ids", "labels", "probabilities", "classes", "split", "data_fingerprint")
_OPTIONAL = ("note", "scheme", "temperature", "groups", "trained_on")
_PARTS: dict[str, tuple[type[Any], dict[str, str]]] = {
    "votes": (VotePredictions, {f"vote_{name}": name for name in ("counts", "classes", "probabilities", "output")}),
    "rated": (RatedValues, {"value_names": "names", "values": "values", "ratings": "ratings"}),
    "answers": (Answers, {"answers": "said", "answer_confidence": "confidence", "answer_output": "output"}),
}
"""For each part of predictions: its class, and the file's arrays with its fields."""
_PROBABILITIES = {"probabilities", "vote_probabilities", "answer_confidence"}


@dataclass(frozen=True, eq=False)
class Predictions(PerSample):
    """A model's class probabilities for N faces of one split, with the true labels.

    Integers and floats of any width are accepted. The fields hold int64 and float64.

    Attributes:
        sample_ids: int64 (N,), the id of each face in its data set (``Dataset.rows``); unique.
        labels: int64 (N,), the true class of each face, 0..C-1.
        probabilities: float64 (N, C) in 0..1; each row sums to 1 within
            :data:`~mien.evaluation.predictions.SUM_TOLERANCE`.
        classes: C unique class names, in the order of the labels and of the columns.
        split: the split of the faces, e.g. ``"test"``.
        data_fingerprint: ``Dataset.fingerprint_for_predictions`` of the data, or ``""`` if unknown.
        note: how the predictions were made; ``""`` for one model and one view of each face.
        temperature: divisor of the logits; None if unknown, or if several were used.
        votes: annotators' votes on the same N samples with the model's predictions of them; None without votes.
        groups: int64 (N,), equal for samples of one group, such as a person; the bootstrap draws whole groups. Or None.
        answers: answers that users get; None if they are the most probable class.
        rated: values beside classes, such as valence, with people's ratings; None without ratings.
        trained_on: bool (N,), samples trained on that are identical to none of an earlier split; None if none is known.
        scheme: label scheme that maps the data's classes to ``classes``, such as ``"binary"``; else ``""``.

    Raises:
        DataError: an array violates one of these rules, or there is no sample.
    """

    sample_ids: Ints
    labels: Ints
    probabilities: Floats
    classes: tuple[str, ...]
    split: str
    data_fingerprint: str
    note: str = ""
    temperature: float | None = None
    votes: VotePredictions | None = None
    groups: Ints | None = None
    answers: Answers | None = None
    scheme: str = ""
    rated: RatedValues | None = None
    trained_on: Bools | None = None

    def __post_init__(self) -> None:
        class_count = len(self.classes)
        if class_count < 2:
            raise DataError(f"'classes' must name at least two classes; found {class_count}.", code="predictions")
        if len({*self.classes, ""}) <= class_count:
            words = f"'classes' must be unique, non-empty names; found {', '.join(map(repr, self.classes))}."
            raise DataError(words, code="predictions")
        if not re.fullmatch(r'[^/\\:*?"<>|\x00-\x1f]{1,80}', self.split):  # it becomes a file's name
            raise DataError(f"'split' must be a name, e.g. 'test'; found {self.split!r:.80}.", code="predictions")
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise DataError(f"'temperature' must be a positive number; found {self.temperature}.", code="predictions")
        given = {name: getattr(self, name) for name in ("sample_ids", "labels", "groups")}
        integers = {name: _array(name, each, "iu", None) for name, each in given.items() if each is not None}
        probabilities = _array("probabilities", self.probabilities, "f", None, class_count)
        self._store(classes=tuple(self.classes), probabilities=probabilities, **integers)
        if self.trained_on is not None:
            self._store(trained_on=_array("trained_on", self.trained_on, "b", None))
        self._check_length(count := len(self.sample_ids))
        if not count:
            raise DataError("There are no samples; predictions need at least one face.", code="predictions")
        ids, repeats = np.unique(self.sample_ids, return_counts=True)
        if len(ids) < count:
            words = f"'sample_ids' must be unique; {ids[repeats > 1][0]} occurs {repeats.max()} times."
            raise DataError(words, code="predictions")
        rule, labels = f"'labels' must be 0..{class_count - 1} for {class_count} classes", self.labels
        _refuse((labels < 0) | (labels >= class_count), rule, labels, self.sample_ids)
        check_probabilities(self.sample_ids, probabilities)
        if self.votes is not None:
            self.votes.check(self.sample_ids)

    def __len__(self) -> int:
        return len(self.sample_ids)

    @cached_property
    def predicted(self) -> Ints:
        """The most probable class of each sample, int64 (N,)."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @cached_property
    def right(self) -> Bools:
        """True where the most probable class is the label, bool (N,)."""
        return np.asarray(self.predicted == self.labels)

    @property
    def confidence(self) -> Floats:
        """The largest probability of each sample, float64 (N,)."""
        return np.asarray(self.probabilities.max(axis=1))

    def classes_of(self, at: int) -> tuple[str, str]:
        """Return the names of the true and of the predicted class of the sample at an index."""
        return self.classes[self.labels[at]], self.classes[self.predicted[at]]

    @property
    def accuracy(self) -> float:
        """Fraction of samples whose most probable class is the label, 0..1."""
        return float(self.right.mean())

    def in_order(self, classes: tuple[str, ...]) -> "Predictions":
        """Return the same predictions with the same classes in another order."""
        if classes == self.classes:
            return self
        columns = [self.classes.index(name) for name in classes]
        labels = np.argsort(columns)[self.labels]
        return replace(self, labels=labels, probabilities=self.probabilities[:, columns], classes=classes)

    def with_scheme(self, scheme: LabelScheme | None) -> "Predictions":
        """Apply a label scheme: probabilities are summed over each group and rescaled.

        Samples of dropped classes are removed, as in ``Dataset.with_scheme``. Votes and answers are removed too,
        because their classes are not merged. None, or a scheme that is applied already, changes nothing. Raises
        DataError if the scheme names a class that is missing here, or drops every sample.
        """
        if scheme is None:
            return self
        mapping = scheme.mapping(self.classes, "the model")
        if self.classes == scheme.classes and np.array_equal(mapping, np.arange(len(mapping))):
            return self
        merged = mapping[self.labels]
        kept = merged >= 0
        if not kept.any():
            words = f"The label scheme '{scheme.name}' drops all {len(self)} samples of '{self.split}'."
            raise DataError(words, code="label-scheme")
        own = self.subset(kept)
        return replace(
            own,
            labels=merged[kept],
            probabilities=scheme.merge_probabilities(own.probabilities, self.classes),
            classes=scheme.classes,
            votes=None,
            answers=None,
            # Two schemes in succession have no common name.
            scheme="" if self.scheme else scheme.name,
        )


def write_predictions(
    path: str | os.PathLike[str], predictions: Predictions, precision: type[np.floating[Any]] = np.float64
) -> None:
    """Write predictions as a compressed ``.npz``, whole or not at all. Equal predictions give equal bytes.

    ``precision`` is the dtype of the probabilities. float32, which networks use, halves the size.
    """
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        save_predictions(stream, predictions, precision)


def save_predictions(
    stream: BinaryIO, predictions: Predictions, precision: type[np.floating[Any]] = np.float64
) -> None:
    """Write predictions to an open file."""
    values = {name: getattr(predictions, name) for name in (*_ARRAYS, *_OPTIONAL)}
    for part, (_, names) in _PARTS.items():
        if (held := getattr(predictions, part)) is not None:
            values |= {name: getattr(held, field) for name, field in names.items()}
    given: dict[str, Any] = {
        name: np.asarray(value, dtype=precision if name in _PROBABILITIES else None)
        for name, value in values.items()
        if name in _ARRAYS or not (value is None or (isinstance(value, str) and not value))
    }
    # Write to a stream, because numpy appends ".npz" to other names. Do not pass allow_pickle, which numpy 1.26 would
    # store as an array. No array is of dtype object.
    np.savez_compressed(stream, **given)


def read_predictions(path: str | os.PathLike[str]) -> Predictions:
    """Read a predictions file written by mien or by another program.

    Raises DataError: missing, not an ``.npz`` of plain arrays, or against a rule of :class:`Predictions`.
    """
    path = expand_home(path)
    refuse_pointer(path, DataError)
    try:
        arrays = _read_arrays(path)
        given = {name: _converted(name, arrays[name]) for name in (*_ARRAYS, *_OPTIONAL) if name in arrays}
        for name, needed, what in (
            ("vote_counts", "vote_classes", "the name of each column"),
            ("answers", "answer_confidence", "the probability of each"),
        ):
            if name in arrays and needed not in arrays:
                raise DataError(f"'{name}' needs '{needed}', {what}.", code="predictions")
        for part, (made, names) in _PARTS.items():
            optional = {each.name for each in fields(made) if each.default is not MISSING}
            if all(name in arrays for name, field in names.items() if field not in optional):
                held = {field: _converted(name, arrays[name]) for name, field in names.items() if name in arrays}
                given[part] = made(**held)
        return Predictions(**given)
    except DataError as error:
        raise DataError(f"{path}: {error} The format is specified in docs/predictions.md.", code=error.code) from None


def _read_arrays(path: Path) -> dict[str, Array]:
    try:
        # Open the file here, because numpy would leave it open if it is not a zip.
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            # np.load returns a bare array for a .npy file.
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError("This is a single array; expected an .npz with several.", code="predictions")
            assert archive.zip is not None  # zip is None only after closing
            unpacked = sum(entry.file_size for entry in archive.zip.infolist())
            if unpacked > _MAX_BYTES:
                raise DataError(f"Its arrays take {unpacked:,} bytes; the limit is {_MAX_BYTES:,}.", code="predictions")
            if missing := [name for name in _ARRAYS if name not in archive.files]:
                words = f"Missing: {', '.join(missing)}; found: {', '.join(archive.files) or 'nothing'}."
                raise DataError(words, code="predictions")
            known = (*_ARRAYS, *_OPTIONAL, *(name for _, names in _PARTS.values() for name in names))
            return {name: archive[name] for name in known if name in archive.files}
    except FileNotFoundError:
        raise DataError("The file does not exist.", code="predictions-missing") from None
    except UNREADABLE as error:
        reason = " ".join(str(error).split())
        # numpy's message mentions "pickle" for any file that is neither a zip nor an array.
        if "Object arrays" in reason:
            reason = "an array has dtype object: store text as str"
        elif "pickle" in reason:
            reason = "it is not an .npz"
        raise DataError(f"The file cannot be read as an .npz of plain arrays ({reason}).", code="predictions") from None


def _converted(name: str, value: Any) -> Any:
    """Convert an array of a file to a field; arrays of numbers are checked by the class that holds them."""
    if name == "temperature":
        return float(_array(name, value, "iuf"))
    if name in {"classes", "vote_classes", "value_names"}:
        return tuple(_array(name, value, "U", None).tolist())
    texts = {"split", "data_fingerprint", "note", "scheme", "vote_output", "answer_output"}
    return str(_array(name, value, "U")) if name in texts else value


class Teacher(NamedTuple):
    """A teacher: its file (a model or predictions), and its predictions for the train split."""

    file: Path
    predictions: Path
