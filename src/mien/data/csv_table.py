"""CSV tables with one row per face: its pixels as numbers (Kaggle's FER2013), or the path of its image."""

from __future__ import annotations

import unicodedata
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from math import isqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, Notice
from mien.data.dataset import FaceTable
from mien.data.decode import read_images
from mien.data.face_table import (
    ClassNames,
    Header,
    ReadOptions,
    csv_rows,
    only_grey,
    parse_column,
    read_header,
    split_of,
)
from mien.data.folders import holds_class_folders
from mien.data.splits import OFFICIAL_ORIGIN, is_official
from mien.data.votes import gather_votes

_DAMAGED = "The file is damaged; download it again."
_PIXELS = "pixels must be whole numbers, 0..255, with spaces between them"
_TO_SPACES = str.maketrans("[],;", "    ")
_SMALLEST_SIDE_PX = 8


def referenced_files(path: Path) -> Iterator[Path]:
    """Yield the path of the image in each row of the table."""
    header = read_header(path)
    for _, fields in csv_rows(path, len(header.names), header.delimiter):
        yield _image_path(path, header, fields)


def read_csv(path: Path, options: ReadOptions) -> FaceTable:
    """Read ``fer2013.csv`` (emotion,pixels,Usage), ``icml_face_data.csv`` and similar files, or path,label[,split].

    Columns may be in any order; others are kept. Paths are relative to the CSV's folder. Raises DataError: a row with a
    wrong number of columns, an unknown label or split, damaged pixels, a missing or undecodable image (the message
    names file and line), or colour is asked for and there are pixels (``data-grey``).
    """
    header = read_header(path)
    by_pixels = header.pixels is not None
    if by_pixels and options.channels != 1:
        raise only_grey()
    class_names = ClassNames(options.class_map)
    skipped: list[tuple[str, str]] = []
    damaged = skipped if by_pixels and options.skip_bad else None
    rows, empty = [], 0
    for line, fields in csv_rows(path, len(header.names), header.delimiter, damaged):
        if header.pixels is not None:
            fields[header.pixels] = ""  # pixels are read again below, so that they need no memory here
        rows.append((line, fields))
        empty = line - 1 - len(rows) - len(skipped)
    if not rows:
        raise DataError(f"{path.name} has a header but no rows that can be read. {_DAMAGED}", code="data-empty")
    places = [f"{path.name} line {line}" for line, _ in rows]
    names, found = [], []
    for place, (_, fields) in zip(places, rows, strict=True):
        label = fields[header.label]
        if not by_pixels and not label.strip():
            raise DataError(f"{place}: the label is empty.", code="label-missing")
        names.append(class_names.numbered(label, place) if by_pixels else class_names.name(label))
        found.append("" if header.split is None else fields[header.split])
    notes = class_names.finish(path.name, header.names[header.label].strip())
    columns, votes, vote_classes = gather_votes(
        {name: parse_column([fields[at].strip() for _, fields in rows]) for name, at in header.others.items()},
        places,
    )
    contents: Iterator[Path | Callable[[], npt.NDArray[np.uint8]]]
    if by_pixels:
        source, contents = places, _pixels_of_rows(path, header)
        origin = "" if header.split is None else f"as in the column '{header.names[header.split].strip()}'"
        if empty:  # those at the end are not counted
            notes.append(Notice(f"Empty lines left out of {path.name}: {empty:,}.", code="lines-empty"))
    else:
        assert header.path is not None
        source, origin = [fields[header.path].strip() for _, fields in rows], "as in the table"
        contents = (_image_path(path, header, fields) for _, fields in rows)
        if not _image_path(path, header, rows[0][1]).exists() and holds_class_folders(path.parent):
            raise DataError(
                f"{path.name} names {source[0]}, which does not exist; but {path.parent} also holds class folders. To "
                f"read these, move the table to another place.",
                code="image-missing",
            )
    with warnings.catch_warnings():
        if by_pixels:  # before NumPy 2.3, np.fromstring only warns about text that is not a number
            warnings.simplefilter("error", DeprecationWarning)
        return read_images(
            zip(places, contents, strict=True),
            names,
            options,
            f"reading {path.name}",
            split=[split_of(name, place) for name, place in zip(found, places, strict=True)],
            split_origin=OFFICIAL_ORIGIN if is_official(found) else origin,
            source=source,
            # Predictions name a row of Kaggle's table by its place in the file, even if others are left out.
            rows=np.array([line - 2 for line, _ in rows]) if by_pixels else None,
            columns=columns,
            votes=votes,
            vote_classes=vote_classes,
            notes=notes,
            skipped=skipped,
        )


def _image_path(path: Path, header: Header, fields: Sequence[str]) -> Path:
    assert header.path is not None
    # Windows writes backslashes; on other systems image names almost never contain one.
    named = fields[header.path].strip().replace("\\", "/")
    image = Path(named) if "://" in named else path.parent / named
    if not str(image).isascii() and not image.exists():
        # macOS decomposes accents in file names; tables from other systems have them composed.
        forms = (Path(unicodedata.normalize(form, str(image))) for form in ("NFC", "NFD"))
        return next((each for each in forms if each.exists()), image)
    return image


def _pixels_of_rows(path: Path, header: Header) -> Iterator[Callable[[], npt.NDArray[np.uint8]]]:
    """Yield a function for each row that is not skipped; it parses the row's pixels, uint8 (S, S)."""
    assert header.pixels is not None
    for line, fields in csv_rows(path, len(header.names), header.delimiter, []):
        yield partial(_parse_face, fields[header.pixels], f"{path.name} line {line}")


def _parse_face(text: str, where: str) -> npt.NDArray[np.uint8]:
    values = _parse_pixels(text, where)
    side = isqrt(len(values))
    if side * side != len(values) or side < _SMALLEST_SIDE_PX:
        raise DataError(
            f"{where}: expected a square of {_SMALLEST_SIDE_PX}x{_SMALLEST_SIDE_PX} or more, such as 2,304 pixels "
            f"(48x48), found {len(values):,}. {_DAMAGED}",
            code="pixel-count",
        )
    if values.max() > 255 or values.min() < 0:
        wrong = values[(values < 0) | (values > 255)][0]
        raise DataError(f"{where}: pixel {wrong} is outside 0..255. {_DAMAGED}", code="pixel-range")
    return values.astype(np.uint8).reshape(side, side)


def _parse_pixels(text: str, where: str) -> npt.NDArray[np.int64]:
    """Parse pixels as Kaggle, pandas and NumPy write them, such as ``70.0 80.0``, ``70,80`` and ``[70, 80]``: (P,)."""
    with suppress(ValueError, DeprecationWarning):
        # A smaller type than int64 would silently wrap 300 or 65636 into the range.
        return np.fromstring(text, dtype=np.int64, sep=" ")
    try:
        values = np.fromstring(text.translate(_TO_SPACES), dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        found = f"a row that was cut short with '...' ('{text[:20]}')" if "..." in text else f"'{text[:20]}'"
        raise DataError(f"{where}: {_PIXELS}; found {found}.", code="pixel-type") from None
    if (values != np.rint(values)).any():
        fraction = values[values != np.rint(values)][0]
        raise DataError(
            f"{where}: {_PIXELS}; found {fraction:g}. If white is 1, multiply by 255 and round.", code="pixel-type"
        )
    return np.clip(values, -1e9, 1e9).astype(np.int64)
