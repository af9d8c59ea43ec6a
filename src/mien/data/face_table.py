"""Output of every reader: faces as they are in the data, before splits are cut."""

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.base.cells import is_missing
from mien.base.errors import DataError, Notice, nearest
from mien.base.labels import EXPRESSIONS, canonical_class, composed, order_classes
from mien.data.splits import canonical_split

# A quoted face of 224 px has 200,000 characters; csv's own limit is 131,072.
csv.field_size_limit(1 << 27)

LABEL_HEADERS = ("label", "emotion", "class", "expression")
SPLIT_HEADERS = ("split", "usage", "set")
PATH_HEADERS = ("image", "file", "filename", "file_name", "path", "filepath")
_LONGEST_HEADER = 65536
OWN_HEADERS = ("image", "label", "split", "row", "source")
"""Columns of mien's own parquet files. The user's columns with these names get an underscore."""

FINGERPRINT_PX = 48
"""Side in pixels of the grey squares that fingerprints are computed from. Models of any input size, grey or colour, can
therefore recognise the same data."""


def check_form(size_px: object, channels: object) -> None:
    """Raise :class:`DataError` unless ``size_px`` is 8..1024 and ``channels`` 1 or 3."""
    if not isinstance(size_px, int | np.integer) or not 8 <= size_px <= 1024:
        words = f"size_px, the size of the faces, must be a whole number, 8..1024; found {size_px!r}."
        raise DataError(words, code="image-size")
    if not isinstance(channels, int | np.integer) or channels not in {1, 3}:
        raise DataError(f"Images have 1 channel (grey) or 3 (RGB); found channels={channels!r}.", code="image-channels")


def only_grey(name: str = "") -> DataError:
    """Return the error for grey data that should be read in colour."""
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
        DataError: an argument of a wrong type or range.
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
            words = f'class_map must be a dict of names, such as {{"joy": "happy"}}; found {names!r:.80}.'
            raise DataError(words, code="map-type")

    @property
    def forms(self) -> tuple[tuple[int, int], ...]:
        """Size and channels of the squares to make of each image: as requested, then as for the fingerprint."""
        return tuple(dict.fromkeys([(self.size_px, self.channels), (FINGERPRINT_PX, 1)]))


def file_state(path: str | os.PathLike[str]) -> str:
    """Describe a file for the cache's key; a missing file, such as a broken link, gives its error when it is read.

    The change time is included, because two files of equal size and modification time may have been swapped.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - a Path for each of many files would take longer
    except (OSError, ValueError):  # ValueError: the file name is impossible
        return f"{path}\tmissing"
    return f"{path}\t{status.st_size}\t{status.st_mtime_ns}\t{status.st_ctime_ns}"


def _key(label: str) -> str:
    return composed(label.strip()).casefold()


class ClassNames:
    """Maps labels in the data to class names, first by ``--map``, then by synonyms.

    Attributes:
        guessed: numbers that were read as classes in Kaggle's numbering.
    """

    def __init__(self, class_map: Mapping[str, str]) -> None:
        self._spelling: dict[str, str] = {}  # of names without a synonym, in data or map: the first one
        self._map = {_key(found): self._spelled(canonical_class(wanted)) for found, wanted in class_map.items()}
        self._unused = {_key(found): found for found in class_map}
        self.guessed: set[int] = set()
        self._seen: set[str] = set()
        self._words: dict[str, dict[str, None]] = {}

    def _spelled(self, name: str) -> str:
        return self._spelling.setdefault(_key(name), name)

    def name(self, found: str) -> str:
        """Return the class that a label means: ``"Happiness"`` -> ``"happy"``."""
        usual = canonical_class(found)
        mapped = self._mapped(found.strip(), usual)
        name = self._spelled(mapped or usual)
        if mapped is None:
            self._words.setdefault(name, {})[_key(found)] = None
        return name

    def numbered(self, found: str, where: str) -> str:
        """Return the class of a number in Kaggle's numbering (0 angry .. 6 neutral) or of an expression's name.

        Raises DataError for another label that the map does not name.
        """
        # pandas writes 3 as 3.0 in a column with gaps. Longer numbers could exceed Python's limit on digits.
        whole = re.fullmatch(r"\s*(\d{1,9})(?:\.0+)?\s*", found, re.ASCII)
        number = int(whole[1]) if whole else -1
        usual = EXPRESSIONS[number] if 0 <= number < len(EXPRESSIONS) else canonical_class(found)
        mapped = self._mapped(found.strip(), *([str(number)] if whole else []), usual)
        if mapped is None and whole:
            self.guessed.add(number)
        if mapped is None and usual not in EXPRESSIONS:
            numbering = ", ".join(f"{index} {name}" for index, name in enumerate(EXPRESSIONS))
            label = found.strip()[:40]
            if is_missing(label):
                raise DataError(f"{where}: the label is missing ('{label}'). Give every row one.", code="label-missing")
            mend = f"Correct the row, or say which class it is: --map '{label}=NAME'."
            if whole:
                # Numbers from 1 to 7 never mean FER2013's order plus one.
                mend = "If the numbers are another data set's, name all of them: --map '1=NAME,2=NAME,...'."
            raise DataError(f"{where}: label {label} is not one of {numbering}. {mend}", code="label-unknown")
        return mapped or usual

    def finish(self, path: object, column: str = "", apart: str = "") -> list[Notice]:
        """Return notices about class names, after all labels have been mapped.

        Numbers in FER2013's own column of labels, ``emotion``, need no notice. ``apart`` says how to keep two names as
        two classes, for data that takes no map. Raises DataError for a name on the map's left side that never occurs.
        """
        for unused in self._unused.values():
            raise DataError(
                f"--map names '{unused}', which is not a label in {path}." + nearest(unused, sorted(self._seen)),
                code="map-unused",
            )
        notices = [
            Notice(
                f"{' and '.join(map(repr, words))} are one class, {name}. To keep them apart, give "
                + (apart or f"one another name: --map '{words[-1]}=NAME'")
                + ".",
                code="classes-merged",
            )
            for name, words in ((name, sorted(words, key=name.__ne__)) for name, words in self._words.items())
            if len(words) > 1
        ]
        if self.guessed and normalize_header(column) != "emotion":
            order = ", ".join(f"{index} {name}" for index, name in enumerate(EXPRESSIONS))
            words = f"The numbers in '{column}' are read as FER2013's: {order}. Change: --map '0=NAME'."
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
    """Return labels int64 (N,) and ordered classes for the class name of each face."""
    classes = order_classes(set(names))
    index_of = {name: index for index, name in enumerate(classes)}
    return np.array([index_of[name] for name in names], dtype=np.int64), classes


def split_of(found: str, where: str) -> str:
    """Return the split that a name means; ``""`` for a missing one. Raises DataError if it is not a split."""
    if is_missing(found):
        return ""
    split = canonical_split(found)
    if split is None:
        words = f"{where}: '{found.strip()}' is not a split. Expected train, validation or test "
        words += "(or Training, PublicTest, PrivateTest)."
        raise DataError(words, code="split-unknown")
    return split


def normalize_header(name: str) -> str:
    """Return a column's name in lower case, without quotes, outer spaces and byte-order mark."""
    return name.strip().lstrip("\ufeff").strip().strip('"').strip().casefold()


def find_column(headers: Iterable[str], wanted: Sequence[str]) -> int | None:
    """Return the position in ``headers`` of the first name in ``wanted`` that occurs, or None."""
    found = [normalize_header(header) for header in headers]
    return next((found.index(name) for name in wanted if name in found), None)


def free_name(name: str) -> str:
    """Return ``name`` with an underscore added if mien's own parquet columns use it."""
    return f"{name}_" if normalize_header(name) in OWN_HEADERS else name


@dataclass(frozen=True)
class Header:
    """Column names as written, the delimiter, and the positions of known columns (None if absent) and of the others."""

    names: tuple[str, ...]
    delimiter: str
    label: int
    pixels: int | None
    path: int | None
    split: int | None
    others: dict[str, int]


def read_names(path: Path) -> tuple[tuple[str, ...], str]:
    """Read the column names of a CSV as written, and its delimiter. Raises DataError if it is no CSV."""
    with path.open("rb") as stream:
        first = stream.readline(_LONGEST_HEADER)
    try:
        line = first.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError:
        words = f"{path} line 1 is not text. Expected a CSV with a header, such as emotion,pixels,Usage."
        raise DataError(words, code="csv-not-text") from None
    delimiter = max(",;\t", key=line.count)
    try:
        return tuple(next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])), delimiter
    except csv.Error as error:
        words = f"{path} line 1 cannot be read as CSV ({error}). Save it with the line ends of Windows or Unix."
        raise DataError(words, code="csv-unreadable") from None


def csv_rows(path: Path, columns: int, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and fields of each row below the header that is not blank.

    Raises DataError: a row has a wrong number of columns, or the file is not UTF-8 or not a CSV.
    """
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True)
        try:
            next(reader)
            for fields in reader:
                if not any(field.strip() for field in fields):
                    continue
                if len(fields) != columns:
                    words = f"{path.name} line {reader.line_num}: expected {columns} columns, found {len(fields)}. Put "
                    words += f"values that contain '{delimiter}' in double quotes."
                    raise DataError(words, code="csv-column-count")
                yield reader.line_num, fields
        except UnicodeDecodeError:
            raise DataError(f"{path.name} is not UTF-8 text. Save it as a CSV in UTF-8.", code="csv-not-text") from None
        except csv.Error as error:
            words = f"{path.name} line {reader.line_num} is not readable as CSV ({error})."
            raise DataError(words, code="csv-unreadable") from None


def read_header(path: Path) -> Header:
    """Read the header of a CSV. Names match without case, quotes and outer spaces.

    Raises DataError if the file is empty, not text, or has no columns for image and label, or another column twice.
    """
    names, delimiter = read_names(path)
    label = find_column(names, LABEL_HEADERS)
    pixels = find_column(names, ("pixels",))
    image = find_column(names, PATH_HEADERS)
    if label is None or (pixels is None and image is None):
        shown = ", ".join(normalize_header(name) for name in names[:12])[:200]
        words = f"{path.name} line 1 has the columns: {shown or 'none'}. Expected emotion,pixels[,Usage] as on Kaggle, "
        words += "or path,label[,split]."
        raise DataError(words, code="csv-columns")
    split = find_column(names, SPLIT_HEADERS)
    others: dict[str, int] = {}
    for position, name in enumerate(map(str.strip, names)):
        if position in {label, pixels, image, split} or not name:
            continue
        if free_name(name) in others:
            raise DataError(f"The column '{name}' occurs twice. Rename or remove one.", code="column-twice")
        others[free_name(name)] = position
    return Header(names, delimiter, label, pixels, image, split, others)
