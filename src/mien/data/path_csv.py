"""A table of image files: one row a face, with the path of its image and its label."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from mien.base.errors import DataError
from mien.data.decode import decode_images
from mien.data.face_table import (
    ClassNames,
    FaceTable,
    Header,
    ReadOptions,
    index_classes,
    other_columns,
    parse_column,
    read_header,
    split_of,
)
from mien.data.folders import holds_class_folders
from mien.data.splits import OFFICIAL_ORIGIN, is_official
from mien.data.votes import gather_votes


def referenced_files(path: Path) -> Iterator[Path]:
    """The image files that the table names, row by row."""
    header = read_header(path)
    for _, fields in _rows(path, header):
        yield _image_path(path, header, fields)


def read_path_csv(path: Path, options: ReadOptions) -> FaceTable:
    """Read a CSV of path,label[,split]; paths count from the CSV's folder, other columns come along.

    Raises:
        DataError: a row with too few columns, an empty label, an unknown split, an image that is missing or cannot be
            decoded.
    """
    header = read_header(path)
    rows = list(_rows(path, header))
    if not rows:
        raise DataError(f"{path.name} has a header but no rows.", code="data-empty")
    items = [(f"{path.name} line {line}", _image_path(path, header, fields)) for line, fields in rows]
    class_names = ClassNames(options.class_map)
    names = []
    for line, fields in rows:
        if not fields[header.label].strip():
            raise DataError(f"{path.name} line {line}: the label is empty.", code="label-missing")
        names.append(class_names.name(fields[header.label]))
    class_names.check_map(path.name)
    found = ["" if header.split is None else fields[header.split] for _, fields in rows]
    split = np.array([split_of(name, where) for name, (where, _) in zip(found, items, strict=True)], dtype="<U10")
    first, folder = items[0][1], path.parent
    if not first.exists() and holds_class_folders(folder):
        raise DataError(
            f"{path.name} names {first}, which does not exist; but {folder} holds class folders too. To read these, "
            f"move the table to another place.",
            code="image-missing",
        )
    columns, vote_classes = gather_votes(
        {name: parse_column([fields[at].strip() for _, fields in rows]) for name, at in other_columns(header).items()},
        [where for where, _ in items],
    )
    decoded = decode_images(items, len(items), options, f"reading the images of {path.name}")
    kept = decoded.kept
    labels, classes = index_classes([names[index] for index in kept])
    origin = OFFICIAL_ORIGIN if is_official(set(found)) else "as in the table"
    return FaceTable(
        images=decoded.images,
        labels=labels,
        classes=classes,
        split=split[kept],
        split_origin=origin,
        source=np.array([rows[index][1][_path_column(header)].strip() for index in kept]),
        rows=kept,
        columns={name: values[kept] for name, values in columns.items()},
        vote_classes=vote_classes,
        skipped=decoded.skipped,
        notes=class_names.notices(),
        files=decoded.files,
    )


def _rows(path: Path, header: Header) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of each row that is not blank."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=header.delimiter)
        try:
            next(reader)
            for fields in reader:
                if not any(each.strip() for each in fields):
                    continue
                if len(fields) != len(header.names):
                    raise DataError(
                        f"{path.name} line {reader.line_num}: expected {len(header.names)} columns, "
                        f"found {len(fields)}. Put values that contain '{header.delimiter}' in double quotes.",
                        code="csv-column-count",
                    )
                yield reader.line_num, fields
        except UnicodeDecodeError:
            raise DataError(f"{path.name} is not UTF-8 text. Save it as a CSV in UTF-8.", code="csv-not-text") from None
        except csv.Error as error:
            raise DataError(
                f"{path.name} line {reader.line_num + 1} is not readable as CSV ({error}).", code="csv-unreadable"
            ) from None


def _path_column(header: Header) -> int:
    assert header.path is not None
    return header.path


def _image_path(path: Path, header: Header, fields: Sequence[str]) -> Path:
    # Windows writes folders with a backslash; no image name that people use has one.
    image = path.parent / fields[_path_column(header)].strip().replace("\\", "/")
    if not str(image).isascii() and not image.exists():
        # macOS takes accents apart in the names of files; a table from elsewhere has them in one piece.
        forms = (Path(unicodedata.normalize(form, str(image))) for form in ("NFC", "NFD"))
        return next((each for each in forms if each.exists()), image)
    return image
