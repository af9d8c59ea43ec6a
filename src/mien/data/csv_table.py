"""CSV tables with one row per face: its pixels as numbers (Kaggle's FER2013), or the path of its image."""

import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from math import isqrt
from pathlib import Path, PurePosixPath

import numpy as np

from mien.base.arrays import Ints, Pixels, is_missing, parse_column
from mien.base.errors import DataError, Notice
from mien.base.progress import track
from mien.data.csv_file import PATH_HEADERS, CsvFile, find_column, normalize_header
from mien.data.folders import holds_class_folders, metadata_files
from mien.data.image_store import new_images, only_grey
from mien.data.splits import canonical_split
from mien.data.table import LABEL_HEADERS, SPLIT_HEADERS, ReadOptions, Table, free_name, join_tables, repeat_notice

_DAMAGED = "The file is damaged; download it again."
_PIXELS = "pixels must be whole numbers, 0..255, with spaces between them"
_TO_SPACES = str.maketrans("[],;", "    ")
_MIN_SIDE_PX = 8


class FaceCsv(CsvFile):
    """A CSV of faces. Raises DataError.

    Attributes:
        label, split: positions of these columns; None without splits. Names match without case, quotes, outer spaces.
        content: position of the column of images: their pixels if ``has_pixels``, otherwise their paths.
        others: positions of further columns, by name.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        label, self.split = find_column(self.names, LABEL_HEADERS), find_column(self.names, SPLIT_HEADERS)
        pixels, image = find_column(self.names, ("pixels",)), find_column(self.names, PATH_HEADERS)
        content = image if pixels is None else pixels
        if label is None or content is None:
            shown = ", ".join(normalize_header(name) for name in self.names[:12])[:200] or "none"
            words = (
                f"{path.name} line 1 has the columns: {shown}. Expected emotion,pixels[,Usage] or path,label[,split]."
            )
            raise DataError(words, code="columns")
        self.label: int = label
        self.content: int = content
        self.has_pixels: bool = pixels is not None
        self.others: dict[str, int] = {}
        for position, name in enumerate(map(str.strip, self.names)):
            if position in {label, pixels, image, self.split} or not name:
                continue
            if free_name(name) in self.others:
                raise DataError(f"The column '{name}' occurs twice. Rename or remove one.", code="columns")
            self.others[free_name(name)] = position

    def image_path(self, fields: Sequence[str]) -> Path:
        """Return the path of a row's image, which the table names relative to its folder."""
        # Windows writes backslashes; on other systems image names almost never contain one.
        named = fields[self.content].strip().replace("\\", "/")
        image = Path(named) if "://" in named else self.path.parent / named
        if not str(image).isascii() and not image.exists():
            # macOS decomposes accents in file names; tables from other systems have them composed.
            forms = (Path(unicodedata.normalize(form, str(image))) for form in ("NFC", "NFD"))
            return next((each for each in forms if each.exists()), image)
        return image

    def images(self) -> Iterator[Path]:
        """Yield the path of the image in each row of the table."""
        return (self.image_path(fields) for _, fields in self.rows())

    def table(
        self, rows: Sequence[tuple[int, list[str]]], images: Sequence[Path] | Pixels, source: Sequence[str] = (),
        *, notes: tuple[Notice, ...], skipped: Sequence[tuple[str, str]],
    ) -> Table:  # fmt: skip
        """Return rows, each with its line number; their source is the line, unless it is given."""
        if not rows:
            raise DataError(f"{self.path.name} has a header but no rows that can be read.", code="data-empty")
        locations = [f"{self.path.name} line {line}" for line, _ in rows]
        written = "table" if source else f"column '{self.names[self.split or 0].strip()}'"
        columns = {name: [fields[at].strip() for _, fields in rows] for name, at in self.others.items()}
        return Table(
            path=self.path,
            locations=locations,
            images=images,
            labels=[fields[self.label] for _, fields in rows],
            splits=["" if self.split is None else fields[self.split] for _, fields in rows],
            source=source or locations,
            columns={name: parse_column(values) for name, values in columns.items()},
            label_column=self.names[self.label].strip(),
            split_origin="" if self.split is None else f"as in the {written}",
            numbered=not source,
            notes=notes,
            skipped=tuple(skipped),
        )


def read_pixels(path: Path, options: ReadOptions) -> Table:
    """Read ``fer2013.csv`` (emotion,pixels,Usage), ``icml_face_data.csv`` and similar files.

    Columns may be in any order; others are kept. Raises DataError: a row with a wrong number of columns or damaged
    pixels (the message names file and line), or colour is asked for (``image-size``).
    """
    file = FaceCsv(path)
    if options.channels != 1:
        raise only_grey()
    with path.open("rb") as stream:
        count = sum(1 for _ in stream) - 1
    rows: list[tuple[int, list[str]]] = []
    skipped: list[tuple[str, str]] = []
    faces, last, at = np.empty((0, 0, 0), dtype=np.uint8), file.first_line - 1, file.content
    with warnings.catch_warnings():
        # Before NumPy 2.3, np.fromstring only warns about text that is not a number.
        warnings.simplefilter("error", DeprecationWarning)
        for last, line in _lines(file, count):
            place = f"{path.name} line {last}"
            try:
                fields = file.fields(line.rstrip("\r\n"), place)
                face = _parse_face(fields[at], place, faces.shape[1])
            except DataError as error:
                if not options.skip_bad:
                    raise
                skipped.append((place, str(error)))
                continue
            fields[at] = ""  # the text would take four times the memory of the pixels
            faces = faces if rows else new_images(count, face.shape)
            faces[len(rows)] = face
            rows.append((last, fields))
    notes: tuple[Notice, ...] = ()
    if empty := last - file.first_line + 1 - len(rows) - len(skipped):  # those at the end are not counted
        notes = (Notice(f"Empty lines left out of {path.name}: {empty:,}.", code="lines-empty"),)
    table = file.table(rows, faces[: len(rows)], notes=notes, skipped=skipped)
    # Predictions name a row of Kaggle's table by its place in the file, even if others are left out.
    table.columns["row"] = np.array([line - file.first_line for line, _ in rows], dtype=np.int64)
    return table


def read_paths(path: Path, options: ReadOptions) -> Table:
    """Read a CSV of path,label[,split], relative to its folder; other columns are kept. Raises DataError."""
    file = FaceCsv(path)
    rows, source, skipped = [], [], []
    for line, fields in file.rows():
        named, place = fields[file.content].strip(), f"{path.name} line {line}"
        if not is_missing(named):
            rows.append((line, fields))
            source.append(named)
            continue
        words = f"{place}: the path of the image is missing."
        if not options.skip_bad:
            raise DataError(words, code="image-missing")
        skipped.append((place, words))
    images = [file.image_path(fields) for _, fields in rows]
    if rows and "://" not in source[0] and not images[0].exists() and holds_class_folders(path.parent):
        words = f"{path.name} names a missing image, {images[0]}. To read the class folders beside it, move the table."
        raise DataError(words, code="image-missing")
    notes = tuple(repeat_notice(images, [fields[file.label].strip() for _, fields in rows]))
    return file.table(rows, images, source, notes=notes, skipped=skipped)


def read_metadata(folder: Path, options: ReadOptions) -> Table:
    """Read Hugging Face's imagefolder: split folders, with a ``metadata.csv`` in each or one above them."""
    tables = []
    for split, file in metadata_files(folder):
        table = read_paths(file, options)
        where = f"{file.parent.name}/" if split else ""
        splits = [
            word or split or canonical_split(PurePosixPath(name).parts[0]) or ""
            for word, name in zip(table.splits, table.source, strict=True)
        ]
        locations, source = ([where + each for each in names] for names in (table.locations, table.source))
        origin = "as in the folders"
        tables.append(replace(table, splits=splits, split_origin=origin, locations=locations, source=source))
    return join_tables(tables, folder)


def _lines(file: CsvFile, count: int) -> Iterator[tuple[int, str]]:
    with file.path.open(encoding=file.encoding, errors="replace", newline="\n") as stream:
        for number, line in enumerate(track(stream, count, f"reading {file.path.name}", "rows"), 1):
            if number >= file.first_line and not line.isspace():
                yield number, line


def _parse_face(text: str, where: str, side_px: int) -> Pixels:
    """Parse pixels to uint8 (S, S); ``side_px`` is that of the rows above, or 0."""
    values = _parse_pixels(text, where)
    side = isqrt(len(values))
    if side * side != len(values) or side < _MIN_SIDE_PX or side != (side_px or side):
        square = f"{side_px * side_px:,} pixels ({side_px}x{side_px})" if side_px else f"a square of {_MIN_SIDE_PX} px"
        raise DataError(f"{where}: expected {square}, found {len(values):,} pixels. {_DAMAGED}", code="pixels")
    if len(wrong := values[(values < 0) | (values > 255)]):
        raise DataError(f"{where}: pixel {wrong[0]} is outside 0..255. {_DAMAGED}", code="pixels")
    return values.astype(np.uint8).reshape(side, side)


def _parse_pixels(text: str, where: str) -> Ints:
    """Parse pixels as Kaggle, pandas and NumPy write them, such as ``70.0 80.0``, ``70,80`` and ``[70, 80]``: (P,)."""
    with suppress(ValueError, DeprecationWarning):
        # A smaller type than int64 would silently wrap 300 or 65636 into the range.
        return np.fromstring(text, dtype=np.int64, sep=" ")
    try:
        values = np.fromstring(text.translate(_TO_SPACES), dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning):
        found = "'...'" if "..." in text else f"'{text[:20]}'"
        raise DataError(f"{where}: {_PIXELS}; found {found}.", code="pixels") from None
    if len(fractions := values[values != np.rint(values)]):
        words = f"{where}: {_PIXELS}; found {fractions[0]:g}. If white is 1, multiply by 255 and round."
        raise DataError(words, code="pixels")
    return np.clip(values, -1e9, 1e9).astype(np.int64)
