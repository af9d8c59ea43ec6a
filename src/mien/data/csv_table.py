"""CSV tables with one row per face: its pixels as numbers (Kaggle's FER2013), or the path of its image."""

import csv
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import isqrt
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mien.base.cells import is_missing, parse_column
from mien.base.errors import DataError, Notice
from mien.base.progress import track
from mien.data.dataset import FaceTable
from mien.data.decode import read_images
from mien.data.face_table import (
    ClassNames,
    Header,
    ReadOptions,
    csv_rows,
    only_grey,
    read_header,
    split_of,
)
from mien.data.folders import holds_class_folders
from mien.data.image_store import new_images
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
    with path.open("rb") as stream:
        count = sum(1 for _ in stream) - 1
    class_names = ClassNames(options.class_map)
    rows: list[tuple[int, list[str]]] = []
    known: dict[str, str] = {}
    names, splits = [], []
    skipped: list[tuple[str, str]] = []
    faces, last = np.empty((0, 0, 0), dtype=np.uint8), 1
    lines = _lines(path, count) if by_pixels else csv_rows(path, len(header.names), header.delimiter)
    with warnings.catch_warnings():
        # Before NumPy 2.3, np.fromstring only warns about text that is not a number.
        warnings.simplefilter("error", DeprecationWarning)
        for last, content in lines:
            place = f"{path.name} line {last}"
            try:
                fields = content if isinstance(content, list) else _split_line(content, header, place)
                label = fields[header.label]
                # A class may be called "none".
                if not by_pixels and is_missing(label) and label.strip().casefold() != "none":
                    raise DataError(f"{place}: the label is missing ('{label}').", code="label-missing")
                if not by_pixels and header.path is not None and is_missing(fields[header.path]):
                    raise DataError(f"{place}: the path of the image is missing.", code="image-missing")
                if label not in known:
                    known[label] = class_names.numbered(label, place) if by_pixels else class_names.name(label)
                split = "" if header.split is None else split_of(fields[header.split], place)
                if header.pixels is not None:
                    face = _parse_face(fields[header.pixels], place, faces.shape[1])
                    fields[header.pixels] = ""  # the text would take four times the memory of the pixels
                    if not rows:
                        faces = new_images(count, face.shape)
                    faces[len(rows)] = face
            except DataError as error:
                # An unknown label or split does not mean that a row is damaged.
                if not (options.skip_bad and error.code.startswith(("csv-", "pixel-", "image-"))):
                    raise
                skipped.append((place, str(error)))
                continue
            rows.append((last, fields))
            names.append(known[label])
            splits.append(split)
    if not rows:
        that = f" that can be read. {_DAMAGED}" if by_pixels else "."
        raise DataError(f"{path.name} has a header but no rows{that}", code="data-empty")
    places = [f"{path.name} line {line}" for line, _ in rows]
    found = set() if header.split is None else {fields[header.split] for _, fields in rows}
    notes = class_names.finish(path.name, header.names[header.label].strip())
    columns, votes, vote_classes = gather_votes(
        {name: parse_column([fields[at].strip() for _, fields in rows]) for name, at in header.others.items()}, places
    )
    contents: Iterable[Path | npt.NDArray[np.uint8]]
    if by_pixels:
        source, contents = places, faces[: len(rows)]
        origin = "" if header.split is None else f"as in the column '{header.names[header.split].strip()}'"
        if empty := last - 1 - len(rows) - len(skipped):  # those at the end are not counted
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
    return read_images(
        zip(places, contents, strict=True),
        names,
        options,
        f"reading the images of {path.name}",
        split=splits,
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


def _lines(path: Path, count: int) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line below the header that is not blank."""
    with path.open(encoding="utf-8", errors="replace", newline="\n") as stream:
        next(stream)
        for number, line in enumerate(track(stream, count, f"reading {path.name}", "rows"), 2):
            if not line.isspace():
                yield number, line


def _split_line(line: str, header: Header, where: str) -> list[str]:
    """Split a line of Kaggle's table into fields. A quote that is not closed ends here, so no other row is lost."""
    fields = line.rstrip("\r\n").split(header.delimiter)
    try:
        if '"' in line:  # Kaggle quotes nothing, and csv would take a third of the time
            fields = next(csv.reader([line], delimiter=header.delimiter, skipinitialspace=True))
    except csv.Error as error:
        raise DataError(f"{where} is not readable as CSV ({error}). {_DAMAGED}", code="csv-unreadable") from None
    if len(fields) != len(header.names):
        words = f"{where}: expected {len(header.names)} columns, found {len(fields)}. {_DAMAGED}"
        raise DataError(words, code="csv-column-count")
    return fields


def _parse_face(text: str, where: str, side_px: int) -> npt.NDArray[np.uint8]:
    """Parse pixels to uint8 (S, S); ``side_px`` is that of the rows above, or 0."""
    values = _parse_pixels(text, where)
    side = isqrt(len(values))
    if side * side != len(values) or side < _SMALLEST_SIDE_PX or side != (side_px or side):
        square = f"a square of {_SMALLEST_SIDE_PX}x{_SMALLEST_SIDE_PX} or more, such as 2,304 pixels (48x48)"
        if side_px:
            square = f"{side_px * side_px:,} pixels ({side_px}x{side_px}) as in the rows above"
        raise DataError(f"{where}: expected {square}, found {len(values):,}. {_DAMAGED}", code="pixel-count")
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
        words = f"{where}: {_PIXELS}; found {fraction:g}. If white is 1, multiply by 255 and round."
        raise DataError(words, code="pixel-type")
    return np.clip(values, -1e9, 1e9).astype(np.int64)
