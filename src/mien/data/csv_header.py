"""The first line of a CSV: which columns it has, and so what kind of table it is."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from mien.data.face_table import LABEL_HEADERS, SPLIT_HEADERS, find_column, normalize_header
from mien.errors import DataError

PATH_HEADERS = ("image", "file", "filename", "file_name", "path", "filepath")
_LONGEST_HEADER = 65536


@dataclass(frozen=True)
class Header:
    """Column names as written, the delimiter, and the positions of the columns that mean something (None: absent)."""

    names: tuple[str, ...]
    delimiter: str
    label: int
    pixels: int | None
    path: int | None
    split: int | None


def read_header(path: Path) -> Header:
    """Read the header of a CSV; names are matched without case, quotes and surrounding space.

    Raises:
        DataError: empty, not text, or without columns for an image and a label.
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
        names = tuple(next(csv.reader([line], delimiter=delimiter), []))
    except csv.Error as error:
        raise DataError(
            f"{path} line 1 cannot be read as CSV ({error}). Save it with the line ends of Windows or Unix.",
            code="csv-unreadable",
        ) from None
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
