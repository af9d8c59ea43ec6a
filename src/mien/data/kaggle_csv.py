"""Kaggle's FER2013 tables: one row per face, all its pixels in one column as numbers."""

from __future__ import annotations

import csv
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from math import isqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, Notice
from mien.base.preprocess import grey_square
from mien.base.progress import track
from mien.data.dataset import Dataset, FaceTable
from mien.data.face_table import (
    ClassNames,
    Header,
    ReadOptions,
    index_classes,
    only_grey,
    other_columns,
    parse_column,
    read_header,
    split_of,
)
from mien.data.image_store import new_images
from mien.data.splits import OFFICIAL_ORIGIN, is_official
from mien.data.votes import gather_votes

_DAMAGED = "The file is damaged; download it again."
_PIXELS = "pixels must be whole numbers, 0..255, with spaces between them"
_TO_SPACES = bytes.maketrans(b"[],;", b"    ")
_SMALLEST_SIDE_PX = 8
_BLOCK_BYTES = 1 << 18


def read_kaggle_csv(path: Path, options: ReadOptions) -> FaceTable:
    """Read ``fer2013.csv`` (emotion,pixels,Usage), ``icml_face_data.csv`` and similar files, with columns in any order.

    Rows are counted first, so that one array of the right size can be filled without a copy. Raises DataError: a
    truncated row, a wrong number of pixels, a pixel outside 0..255, an unknown label or Usage (the message names file
    and line), or colour is asked for (``data-grey``).
    """
    if options.channels != 1:
        raise only_grey()
    header = read_header(path)
    count = _count_lines(path) - 1
    sides = [size_px for size_px, _ in options.forms]
    images = [new_images(count, (side, side)) for side in sides]
    parser = _RowParser(header, ClassNames(options.class_map))
    kept = other_columns(header)
    texts: list[list[str]] = []
    names: list[str] = []
    splits: list[str] = []
    source: list[str] = []
    rows: list[int] = []
    skipped: list[tuple[str, str]] = []
    name_of_file = path.name  # keep the name, because pathlib computes it at every call
    with path.open("rb", buffering=_BLOCK_BYTES) as stream, warnings.catch_warnings():
        # Before NumPy 2.3, np.fromstring only warns about text that is not a number.
        warnings.simplefilter("error", DeprecationWarning)
        next(stream)
        for row, line in enumerate(track(stream, count, f"reading {path.name}", "rows")):
            if line.isspace():
                continue
            filled = row + 1
            where = f"{name_of_file} line {row + 2}"
            try:
                name, split, fields, face = parser.parse(line, where)
            except DataError as error:
                # An unknown label or split does not mean that a row is damaged.
                if not options.skip_bad or error.code in {"label-unknown", "label-missing", "split-unknown"}:
                    raise
                skipped.append((where, str(error)))
                continue
            for stored, side in zip(images, sides, strict=True):
                stored[len(names)] = face if len(face) == side else grey_square(face, side)
            names.append(name)
            texts.append([fields[at].decode("utf-8", "replace").strip() for at in kept.values()])
            splits.append(split)
            source.append(where)
            rows.append(row)
    if not names:
        raise DataError(f"{path.name} has a header but no rows that can be read. {_DAMAGED}", code="data-empty")
    notes = parser.classes.finish(path.name, header.names[header.label].strip())
    # Do not report empty lines at the end.
    if empty := filled - len(names) - len(skipped):
        notes.append(Notice(f"Empty lines left out of {path.name}: {empty:,}.", code="lines-empty"))
    labels, classes = index_classes(names)
    columns, votes, vote_classes = gather_votes(
        {name: parse_column([row[at] for row in texts]) for at, name in enumerate(kept)}, source
    )
    images = [stored[: len(names)] for stored in images]
    faces = Dataset(
        images=images[0],
        labels=labels,
        classes=classes,
        split=np.array(splits, dtype="<U10"),
        source=np.array(source),
        rows=np.array(rows, dtype=np.int64),
        columns=columns,
        votes=votes,
        vote_classes=vote_classes,
    )
    return FaceTable(faces, images[-1], parser.split_origin(), skipped, notes)


@dataclass
class _RowParser:
    """Parses a line to class name, split, all fields and pixels. Repeated labels and splits are parsed once."""

    header: Header
    classes: ClassNames
    pixel_count: int = 0
    _names: dict[bytes, str] = field(default_factory=dict)
    _splits: dict[bytes, str] = field(default_factory=dict)

    def parse(self, line: bytes, where: str) -> tuple[str, str, list[bytes], npt.NDArray[np.uint8]]:
        fields = self._fields(line, where)
        if len(fields) != len(self.header.names):
            raise DataError(
                f"{where}: expected {len(self.header.names)} columns, found {len(fields)}. {_DAMAGED}",
                code="csv-column-count",
            )
        label = fields[self.header.label]
        if label not in self._names:
            self._names[label] = self.classes.numbered(label.decode("utf-8", "replace"), where)
        found = b"" if self.header.split is None else fields[self.header.split]
        if found not in self._splits:
            self._splits[found] = split_of(found.decode("utf-8", "replace"), where)
        assert self.header.pixels is not None
        return self._names[label], self._splits[found], fields, self._pixels(fields[self.header.pixels], where)

    def split_origin(self) -> str:
        """Describe how the splits were formed, from the split names in the file."""
        if is_official(found.decode() for found in self._splits):
            return OFFICIAL_ORIGIN
        return "" if self.header.split is None else f"as in the column '{self.header.names[self.header.split].strip()}'"

    def _fields(self, line: bytes, where: str) -> list[bytes]:
        delimiter = self.header.delimiter
        if b'"' not in line:  # Kaggle quotes nothing, and csv would take a third of the time
            return line.rstrip(b"\r\n").split(delimiter.encode())
        # latin-1 maps every byte to one character and back
        try:
            row = next(csv.reader([line.decode("latin-1")], delimiter=delimiter))
        except csv.Error as error:
            raise DataError(f"{where} is not readable as CSV ({error}). {_DAMAGED}", code="csv-unreadable") from None
        return [each.encode("latin-1") for each in row]

    def _pixels(self, text: bytes, where: str) -> npt.NDArray[np.uint8]:
        values = _parse_pixels(text, where)
        side = isqrt(len(values))
        if self.pixel_count and len(values) != self.pixel_count:
            expected = isqrt(self.pixel_count)
            raise DataError(
                f"{where}: expected {self.pixel_count:,} pixels ({expected}x{expected}) as in the rows above, "
                f"found {len(values):,}. {_DAMAGED}",
                code="pixel-count",
            )
        if side * side != len(values) or side < _SMALLEST_SIDE_PX:
            raise DataError(
                f"{where}: expected a square of {_SMALLEST_SIDE_PX}x{_SMALLEST_SIDE_PX} or more, such as 2,304 pixels "
                f"(48x48), found {len(values):,}. {_DAMAGED}",
                code="pixel-count",
            )
        if values.max() > 255 or values.min() < 0:
            wrong = values[(values < 0) | (values > 255)][0]
            raise DataError(f"{where}: pixel {wrong} is outside 0..255. {_DAMAGED}", code="pixel-range")
        self.pixel_count = len(values)
        return values.astype(np.uint8).reshape(side, side)


def _parse_pixels(text: bytes, where: str) -> npt.NDArray[np.int64]:
    """Parse pixels as Kaggle, pandas and NumPy write them, such as ``70.0 80.0``, ``70,80`` and ``[70, 80]``: (P,)."""
    with suppress(ValueError, DeprecationWarning):
        # A smaller type than int64 would silently wrap 300 or 65636 into the range.
        return np.fromstring(text, dtype=np.int64, sep=" ")
    try:
        values = np.fromstring(text.translate(_TO_SPACES), dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        shown = text[:20].decode("utf-8", "replace")
        found = f"a row that was cut short with '...' ('{shown}')" if b"..." in text else f"'{shown}'"
        raise DataError(f"{where}: {_PIXELS}; found {found}.", code="pixel-type") from None
    if (values != np.rint(values)).any():
        fraction = values[values != np.rint(values)][0]
        raise DataError(
            f"{where}: {_PIXELS}; found {fraction:g}. If white is 1, multiply by 255 and round.", code="pixel-type"
        )
    return np.clip(values, -1e9, 1e9).astype(np.int64)


def _count_lines(path: Path) -> int:
    lines, last = 0, ord("\n")
    block = np.empty(_BLOCK_BYTES, dtype=np.uint8)
    with path.open("rb", buffering=0) as stream:
        while size := stream.readinto(block.data):
            lines += int(np.count_nonzero(block[:size] == ord("\n")))
            last = int(block[size - 1])
    return lines + (last != ord("\n"))
