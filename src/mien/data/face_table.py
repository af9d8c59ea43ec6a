"""Output of every reader: faces as the data has them, before the splits are settled."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, Notice, arg, nearest
from mien.base.labels import EXPRESSIONS, canonical_class, composed, order_classes
from mien.data.splits import canonical_split

LABEL_HEADERS = ("label", "emotion", "class", "expression")
SPLIT_HEADERS = ("split", "usage", "set")
PATH_HEADERS = ("image", "file", "filename", "file_name", "path", "filepath")
_LONGEST_HEADER = 65536
OWN_HEADERS = ("image", "label", "split", "row", "source")
"""Columns of the parquet that mien writes; a data column of the same name gets an underscore."""

FINGERPRINT_PX = 48
"""However faces are read, their fingerprint is that of grey squares of this side: models of every size, grey or not,
then know the same data again."""


def check_form(size_px: object, channels: object) -> None:
    """Refuse squares of another size than 8..1024 px, or of other channels than 1 and 3. Raises :class:`DataError`."""
    if not isinstance(size_px, int | np.integer) or not 8 <= size_px <= 1024:
        raise DataError(
            f"size_px, the size of the faces, must be a whole number, 8..1024; found {size_px!r}.", code="image-size"
        )
    if not isinstance(channels, int | np.integer) or channels not in {1, 3}:
        raise DataError(f"Images have 1 channel (grey) or 3 (RGB); found channels={channels!r}.", code="image-channels")


def only_grey(name: str = "") -> DataError:
    """The error of data without colour that is to be read in colour."""
    such = f", such as {name}," if name else ""
    return DataError(
        f"All images{such} are grey, but the recipe or model has 3 channels. Give images in colour, a model of grey "
        f"images, or a recipe with input.channels = 1.",
        code="data-grey",
    )


@dataclass(frozen=True)
class ReadOptions:
    """How to read data; the fields are the arguments of :func:`mien.load_dataset`.

    Raises:
        DataError: a value of another type or range, which Python callers can give.
    """

    size_px: int = 48
    channels: int = 1
    class_map: Mapping[str, str] = field(default_factory=dict)
    skip_bad: bool = False
    group: str | None = None
    votes: str | os.PathLike[str] | None = None
    clean: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        check_form(self.size_px, self.channels)
        names: object = self.class_map
        if not (isinstance(names, Mapping) and all(isinstance(each, str) for pair in names.items() for each in pair)):
            raise DataError(
                f'class_map must be a dict of names, such as {{"joy": "happy"}}; found {names!r:.80}.', code="map-type"
            )
        path: Any = str | os.PathLike | None
        for name, kind in (("skip_bad", bool), ("group", str | None), ("votes", path), ("clean", path)):
            if not isinstance(found := getattr(self, name), kind):
                wanted = type(self).__annotations__[name]
                raise DataError(f"{name} must be {wanted}; found {found!r:.80}.", code="option-type")

    @property
    def forms(self) -> tuple[tuple[int, int], ...]:
        """Size and channels of the squares to make of each image: those asked for, then the fingerprint's if others."""
        return tuple(dict.fromkeys([(self.size_px, self.channels), (FINGERPRINT_PX, 1)]))


def file_state(path: str | os.PathLike[str], status: os.stat_result | None) -> str:
    """A file as the cache's key has it; ``status`` is None for a missing one.

    The time of change is in it too: two files of one size and modification time may have changed places.
    """
    if status is None:
        return f"{path}\tmissing"
    return f"{path}\t{status.st_size}\t{status.st_mtime_ns}\t{status.st_ctime_ns}"


def _key(label: str) -> str:
    return composed(label.strip()).casefold()


class ClassNames:
    """From labels as they stand in the data to class names, by ``--map``, then by synonyms.

    Attributes:
        guessed: numbers that were taken in Kaggle's numbering.
    """

    def __init__(self, class_map: Mapping[str, str]) -> None:
        self._map = {_key(found): canonical_class(wanted) for found, wanted in class_map.items()}
        self._unused = {_key(found): found for found in class_map}
        self.guessed: set[int] = set()
        self._seen: set[str] = set()
        self._words: dict[str, dict[str, None]] = {}

    def name(self, found: str) -> str:
        """The class that ``found`` stands for: ``"Happiness"`` -> ``"happy"``."""
        usual = canonical_class(found)
        mapped = self._mapped(found.strip(), usual)
        if mapped is None:
            self._words.setdefault(usual, {})[_key(found)] = None
        return mapped or usual

    def numbered(self, found: str, where: str) -> str:
        """The class of a label in Kaggle's numbering, 0 angry .. 6 neutral, or of an expression's name.

        Raises:
            DataError: another label, and the map does not name it.
        """
        # pandas writes 3.0 for a 3 in a column with a gap. Python refuses to convert more digits.
        whole = re.fullmatch(r"\s*(\d{1,9})(?:\.0+)?\s*", found, re.ASCII)
        number = int(whole[1]) if whole else -1
        usual = EXPRESSIONS[number] if 0 <= number < len(EXPRESSIONS) else canonical_class(found)
        mapped = self._mapped(found.strip(), usual)
        if mapped is None and whole:
            self.guessed.add(number)
        if mapped is None and usual not in EXPRESSIONS:
            numbering = ", ".join(f"{index} {name}" for index, name in enumerate(EXPRESSIONS))
            label = found.strip()[:40]
            if not label:
                raise DataError(f"{where}: the label is empty. Give every row one.", code="label-missing")
            mend = f"Correct the row, or say which class it is: {arg('class_map')} '{label}=NAME'."
            if whole:
                # What numbers from 1 to 7 mean is never FER2013's order and one more.
                mend = (
                    f"If the numbers are another data set's, name all of them: {arg('class_map')} '1=NAME,2=NAME,...'."
                )
            raise DataError(f"{where}: label {label} is none of {numbering}. {mend}", code="label-unknown")
        return mapped or usual

    def finish(self, path: object, column: str = "", apart: str = "") -> list[Notice]:
        """Return notices on the class names, once all labels are known.

        Args:
            path: of the data, for messages.
            column: that held the labels. Numbers of FER2013's own, emotion, are in its order without a word.
            apart: what keeps two names apart where there is no map.

        Raises:
            DataError: a name on the map's left side never occurred.
        """
        for unused in self._unused.values():
            raise DataError(
                f"{arg('class_map')} names '{unused}', which is not a label in {path}."
                + nearest(unused, sorted(self._seen)),
                code="map-unused",
            )
        notices = [
            Notice(
                f"{' and '.join(map(repr, words))} are one class, {name}. To keep them apart, give "
                f"{apart or 'one another name: ' + arg('class_map', f'{words[-1]}=NAME')}.",
                code="classes-merged",
            )
            for name, words in ((name, sorted(words, key=name.__ne__)) for name, words in self._words.items())
            if len(words) > 1
        ]
        if self.guessed and normalize_header(column) != "emotion":
            order = ", ".join(f"{index} {name}" for index, name in enumerate(EXPRESSIONS))
            words = f"The numbers in '{column}' are taken as FER2013's: {order}. Others: {arg('class_map', '0=NAME')}."
            notices.append(Notice(words, code="labels-numbered"))
        return notices

    def _mapped(self, *names: str) -> str | None:
        self._seen.update(names)
        for name in names:
            key = _key(name)
            if key in self._map:
                self._unused.pop(key, None)
                return self._map[key]
        return None


def index_classes(names: Sequence[str]) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels int64 (N,) and ordered classes for the class name of each face."""
    classes = order_classes(set(names))
    index_of = {name: index for index, name in enumerate(classes)}
    return np.array([index_of[name] for name in names], dtype=np.int64), classes


def split_of(found: str, where: str) -> str:
    """The split that ``found`` means, ``""`` for nothing.

    Raises:
        DataError: the name means no split.
    """
    if not found.strip():
        return ""
    split = canonical_split(found)
    if split is None:
        raise DataError(
            f"{where}: '{found.strip()}' is not a split. Expected train, validation or test "
            f"(or Training, PublicTest, PrivateTest).",
            code="split-unknown",
        )
    return split


def normalize_header(name: str) -> str:
    """A column's name without case, quotes, surrounding space or byte-order mark."""
    return name.strip().lstrip("\ufeff").strip().strip('"').strip().casefold()


def find_column(headers: Iterable[str], wanted: Sequence[str]) -> int | None:
    """Position of the first of ``wanted`` (in the order of ``wanted``) among normalised ``headers``, or None."""
    found = [normalize_header(header) for header in headers]
    return next((found.index(name) for name in wanted if name in found), None)


def free_name(name: str) -> str:
    """``name``, with an underscore where mien's own parquet columns use it."""
    return f"{name}_" if normalize_header(name) in OWN_HEADERS else name


def parse_column(values: Sequence[str]) -> npt.NDArray[Any]:
    """A column of a text file: whole numbers, else numbers, else text; (N,)."""
    if any("_" in value for value in values):  # Python reads 1_0 as ten; here it is somebody's name
        return np.array(values)
    for kind in (np.int64, np.float64):
        try:
            return np.array(values).astype(kind)
        except (ValueError, OverflowError):
            continue
    return np.array(values)


@dataclass(frozen=True)
class Header:
    """Column names as written, the delimiter, and the positions of the columns that mean something (None: absent)."""

    names: tuple[str, ...]
    delimiter: str
    label: int
    pixels: int | None
    path: int | None
    split: int | None


def read_names(path: Path) -> tuple[tuple[str, ...], str]:
    """The column names of a CSV as written, and its delimiter.

    Raises:
        DataError: not text, or no CSV.
    """
    with path.open("rb") as stream:
        first = stream.readline(_LONGEST_HEADER)
    try:
        line = first.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError:
        raise DataError(
            f"{path} line 1 is not text. Expected a CSV with a header, such as emotion,pixels,Usage.",
            code="csv-not-text",
        ) from None
    delimiter = max(",;\t", key=line.count)
    try:
        return tuple(next(csv.reader([line], delimiter=delimiter), [])), delimiter
    except csv.Error as error:
        raise DataError(
            f"{path} line 1 cannot be read as CSV ({error}). Save it with the line ends of Windows or Unix.",
            code="csv-unreadable",
        ) from None


def csv_rows(path: Path, columns: int, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row below the header that is not blank.

    Raises:
        DataError: another number of columns, not UTF-8, or no CSV.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter)
        try:
            next(reader)
            for fields in reader:
                if not any(field.strip() for field in fields):
                    continue
                if len(fields) != columns:
                    raise DataError(
                        f"{path.name} line {reader.line_num}: expected {columns} columns, found {len(fields)}. Put "
                        f"values that contain '{delimiter}' in double quotes.",
                        code="csv-column-count",
                    )
                yield reader.line_num, fields
        except UnicodeDecodeError:
            raise DataError(f"{path.name} is not UTF-8 text. Save it as a CSV in UTF-8.", code="csv-not-text") from None
        except csv.Error as error:
            raise DataError(
                f"{path.name} line {reader.line_num + 1} is not readable as CSV ({error}).", code="csv-unreadable"
            ) from None


def read_header(path: Path) -> Header:
    """Read the header of a CSV; names are matched without case, quotes and surrounding space.

    Raises:
        DataError: empty, not text, or without columns for an image and a label.
    """
    names, delimiter = read_names(path)
    label = find_column(names, LABEL_HEADERS)
    pixels = find_column(names, ("pixels",))
    image = find_column(names, PATH_HEADERS)
    if label is None or (pixels is None and image is None):
        shown = ", ".join(normalize_header(name) for name in names[:12])[:200]
        raise DataError(
            f"{path.name} line 1 has the columns: {shown or 'none'}. Expected emotion,pixels[,Usage] as on Kaggle, "
            f"or path,label[,split].",
            code="csv-columns",
        )
    return Header(names, delimiter, label, pixels, image, find_column(names, SPLIT_HEADERS))


def other_columns(header: Header) -> dict[str, int]:
    """The columns beside image, label and split that come along, by name. Raises :class:`DataError`: a name twice."""
    positions: dict[str, int] = {}
    for position, name in enumerate(map(str.strip, header.names)):
        if position in {header.label, header.pixels, header.path, header.split} or not name:
            continue
        if free_name(name) in positions:
            raise DataError(f"The column '{name}' is there twice. Rename or remove one.", code="column-twice")
        positions[free_name(name)] = position
    return positions
