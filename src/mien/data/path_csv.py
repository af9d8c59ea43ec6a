"""CSV of image files: one row per face, with the image's path and label."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from mien.base.errors import DataError
from mien.data.dataset import FaceTable
from mien.data.decode import read_images
from mien.data.face_table import (
    ClassNames,
    Header,
    ReadOptions,
    csv_rows,
    other_columns,
    parse_column,
    read_header,
    split_of,
)
from mien.data.folders import holds_class_folders
from mien.data.splits import OFFICIAL_ORIGIN, is_official
from mien.data.votes import gather_votes


def referenced_files(path: Path) -> Iterator[Path]:
    """Yield the path of the image in each row of the table."""
    header = read_header(path)
    for _, fields in csv_rows(path, len(header.names), header.delimiter):
        yield _image_path(path, header, fields)


def read_path_csv(path: Path, options: ReadOptions) -> FaceTable:
    """Read a CSV of path,label[,split]. Paths are relative to the CSV's folder; other columns are kept.

    Raises DataError: a row with too few columns, an empty label, an unknown split, a missing or undecodable image.
    """
    header = read_header(path)
    assert header.path is not None
    rows = list(csv_rows(path, len(header.names), header.delimiter))
    if not rows:
        raise DataError(f"{path.name} has a header but no rows.", code="data-empty")
    places = [f"{path.name} line {line}" for line, _ in rows]
    files = [_image_path(path, header, fields) for _, fields in rows]
    class_names = ClassNames(options.class_map)
    names, found = [], []
    for place, (_, fields) in zip(places, rows, strict=True):
        if not fields[header.label].strip():
            raise DataError(f"{place}: the label is empty.", code="label-missing")
        names.append(class_names.name(fields[header.label]))
        found.append("" if header.split is None else fields[header.split])
    notes = class_names.finish(path.name)
    if not files[0].exists() and holds_class_folders(path.parent):
        raise DataError(
            f"{path.name} names {files[0]}, which does not exist; but {path.parent} also holds class folders. To read "
            f"these, move the table to another place.",
            code="image-missing",
        )
    columns, votes, vote_classes = gather_votes(
        {name: parse_column([fields[at].strip() for _, fields in rows]) for name, at in other_columns(header).items()},
        places,
    )
    return read_images(
        zip(places, files, strict=True),
        names,
        options,
        f"reading the images of {path.name}",
        split=[split_of(name, place) for name, place in zip(found, places, strict=True)],
        split_origin=OFFICIAL_ORIGIN if is_official(found) else "as in the table",
        source=[fields[header.path].strip() for _, fields in rows],
        columns=columns,
        votes=votes,
        vote_classes=vote_classes,
        notes=notes,
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
