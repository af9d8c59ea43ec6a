"""Read and write faces in parquet files, in the layout of a Hugging Face image data set."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from mien.base.arrays import Array
from mien.base.errors import DataError, needs_extra
from mien.base.files import plain, refuse_pointer, whole_file
from mien.base.images import encoded, walk
from mien.base.progress import track
from mien.data.csv_file import find_column
from mien.data.dataset import Dataset
from mien.data.splits import canonical_split
from mien.data.table import LABEL_HEADERS, OWN_HEADERS, SPLIT_HEADERS, ReadOptions, Table, free_name, join_tables
from mien.data.votes import FERPLUS_COLUMN, VOTE_PREFIX, ferplus_columns, vote_columns

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import ChunkedArray

MIEN_KEY = b"mien"
"""Key in the schema's metadata of files by mien. In such files, classes, splits and sources are used unchanged."""

_BATCH_ROWS = 512
_IMAGE_HEADERS = ("image", "img", "picture")
_GROUP_ROWS = 1000


def parquet_files(path: Path) -> list[Path]:
    """Return ``path`` itself, or all parquet files below the folder by name."""
    if path.is_file():
        return [path]
    return [Path(entry.path) for entry in walk(path) if entry.name.lower().endswith(".parquet")]


def read_parquet(path: Path, options: ReadOptions) -> Table:
    """Read a parquet file, or a folder of them, one row group at a time. Raises DataError for what is wrong in it."""
    # A file without rows gives no reliable column types.
    files = [file for each in parquet_files(path) if (file := ParquetFile(each, path)).count]
    if not files:
        raise DataError(f"{path} has no rows. Download or convert it again.", code="data-empty")
    table = join_tables([file.table(options.skip_bad) for file in files], path)
    own = files[0]
    if len(files) > 1 or not own.by_mien:
        return table
    named = not options.class_map and set(table.labels) <= set(own.declared)
    return replace(
        table,
        source=[str(value) for value in own.cells["source"].to_pylist()],
        classes=own.declared if named else (),
        split_origin=str(own.about.get("split_origin") or table.split_origin),
        group_column=str(own.about.get("group_column", "")),
        complete=True,
    )


def write_parquet(
    dataset: Dataset, path: str | os.PathLike[str], *, overwrite: bool = False, split_origin: str | None = None
) -> None:
    """Write faces to one parquet file in Hugging Face's layout, whole or not at all.

    Columns: ``image`` struct{bytes (PNG), path}, ``label`` int64 with class names in the schema's metadata, ``split``,
    ``row`` int64, ``source``, ``votes_CLASS`` for each class of votes, then the faces' columns. Grey squares of
    ``FINGERPRINT_PX`` keep their fingerprint when they are read.

    ``split_origin`` says how the splits were formed. Raises DataError if the file exists and ``overwrite`` is False,
    RunError if it cannot be written, and MissingExtraError without pyarrow.
    """
    with needs_extra("parquet", "Writing parquet"):
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

    path = Path(path)
    if path.exists() and not overwrite:
        raise DataError(f"{path} exists already. Choose another name, or --overwrite.", code="file-exists")
    # Hugging Face infers the types of the other columns.
    features = {"image": {"_type": "Image"}, "label": {"names": list(dataset.classes), "_type": "ClassLabel"}}
    about = {"split_origin": split_origin, "group_column": dataset.group_column}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}), MIEN_KEY: json.dumps(about)}
    image_type = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

    def table_of(faces: Dataset) -> pa.Table:
        images = [{"bytes": encoded(Image.fromarray(image)), "path": None} for image in faces.images]
        votes = () if faces.votes is None else zip(faces.vote_classes, faces.votes.T, strict=True)
        columns = {
            "image": pa.array(images, image_type),
            "label": faces.labels,
            "split": faces.split,
            "row": faces.rows,
            "source": [plain(name) for name in faces.source.tolist()],
            **{f"{VOTE_PREFIX}{name}": counts for name, counts in votes},
            **{free_name(name): values if values.ndim == 1 else [*values] for name, values in faces.columns.items()},
        }
        return pa.table(columns).replace_schema_metadata(metadata)

    starts, schema = range(0, len(dataset), _GROUP_ROWS), table_of(dataset[:1]).schema
    with whole_file(path) as temporary, ParquetWriter(temporary, schema, compression="zstd") as writer:
        for start in track(starts, len(starts), f"writing {path.name}", f"groups of {_GROUP_ROWS:,} faces"):
            writer.write_table(table_of(dataset[start : start + _GROUP_ROWS]))


class ParquetFile:
    """One parquet file with the roles of its columns. All columns except the images are in memory."""

    def __init__(self, file: Path, root: Path) -> None:
        with needs_extra("parquet", "Reading parquet"):
            import pyarrow  # noqa: F401 - the package may be there in part
            from pyarrow.parquet import ParquetFile as ArrowFile

        self.name: str = file.name if file == root else file.relative_to(root).as_posix()
        self.path: Path = file
        with _damage_as_one_line(file):
            self.parquet: ArrowFile = ArrowFile(file)
            headers: list[str] = self.parquet.schema_arrow.names
            twice = next((name for name in headers if headers.count(name) > 1), None)
            if twice is not None:
                raise DataError(f"{self.name}: the column '{twice}' occurs twice.", code="columns")
            self.image: str = self._header(headers, _IMAGE_HEADERS, "an image column")
            self.label: str = self._header(headers, LABEL_HEADERS, "a label column")
            self.cells: pa.Table = self.parquet.read(columns=[name for name in headers if name != self.image])
        self.count: int = self.parquet.metadata.num_rows
        split = find_column(headers, SPLIT_HEADERS)
        self.split: str | None = None if split is None else headers[split]
        metadata: dict[bytes, bytes] = self.parquet.schema_arrow.metadata or {}
        # Other tools keep the metadata when they drop columns. Such a file is no longer treated as one of mien's.
        self.by_mien: bool = MIEN_KEY in metadata and set(OWN_HEADERS) <= set(headers)
        self.about: dict[str, Any] = _json_of(metadata, MIEN_KEY)
        self.declared: tuple[str, ...] = _declared_classes(metadata, self.label)

    def _header(self, headers: list[str], wanted: tuple[str, ...], what: str) -> str:
        position = find_column(headers, wanted)
        if position is None:
            words = f"{self.name} lacks {what} ({' or '.join(wanted)}); it has: {', '.join(headers) or 'nothing'}."
            raise DataError(words, code="columns")
        return headers[position]

    def table(self, skip_bad: bool) -> Table:
        """Return the rows. A row's source is its file and number, counted from 0."""
        locations = [f"{self.name} row {row}" for row in range(self.count)]
        return Table(
            path=self.path,
            locations=locations,
            images=self._images(locations, skip_bad),
            labels=list(map(self._label, self.cells[self.label].to_pylist(), locations)),
            splits=self._splits(),
            source=locations,
            columns=self._columns(),
            label_column=self.label,
            split_origin="as in the file names" if self.split is None else f"as in the column '{self.split}'",
        )

    def _images(self, locations: list[str], skip_bad: bool) -> Iterator[bytes]:
        remaining = iter(locations)
        with _damage_as_one_line(self.path):
            # Read row groups one by one, because pyarrow keeps all groups of one request in memory.
            for group in range(self.parquet.num_row_groups):
                batches = self.parquet.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=[self.image])
                for value in (value for batch in batches for value in batch.column(0).to_pylist()):
                    place = next(remaining)
                    content = value.get("bytes") if isinstance(value, dict) else value
                    is_named = content is None and isinstance(value, dict) and value.get("path") and not skip_bad
                    if is_named or not isinstance(content, bytes | None):
                        found = f"only the name '{value['path']}'" if is_named else f"a {type(content).__name__}"
                        words = f"{place}: '{self.image}' must hold an encoded image; found {found}."
                        raise DataError(words, code="image-unreadable")
                    yield content or b""

    def _label(self, value: Any, place: str) -> str | float:
        """Return a label as a name, from the schema's names too, or as a number without a name."""
        if isinstance(value, list | dict):
            raise DataError(f"{place}: '{self.label}' holds {value!r:.60}, not a label.", code="labels")
        if isinstance(value, float) and value.is_integer():  # pandas makes floats of integers with gaps
            value = int(value)
        if not self.declared or not isinstance(value, int):
            return value if isinstance(value, int | float) else str(value or "")
        if not 0 <= value < len(self.declared):
            raise DataError(f"{place}: label {value} is outside 0..{len(self.declared) - 1}.", code="labels")
        return self.declared[value]

    def _splits(self) -> list[str]:
        """Return each row's split from its column, or from the file's or folder's name; ``""`` if there is none."""
        if self.split is not None:
            return ["" if value is None else str(value) for value in self.cells[self.split].to_pylist()]
        words = [re.split(r"[-_.]", part)[0] for part in reversed(Path(self.name).parts)]
        return [next((word for word in words if canonical_split(word)), "")] * self.count

    def _columns(self) -> dict[str, Array]:
        """Return other columns that hold numbers, truth values, text, dates, or lists of equal length."""
        result: dict[str, Array] = {}
        votes = vote_columns(self.cells.column_names)
        for name in self.cells.column_names:
            if name in {self.label, self.split} or (self.by_mien and name == "source"):
                continue
            if name.startswith(VOTE_PREFIX) and FERPLUS_COLUMN in self.cells.column_names:
                continue  # FER+'s list has the votes
            if name == FERPLUS_COLUMN:
                result |= ferplus_columns(self.cells[name].to_pylist(), self.name)
                continue
            values = _to_array(self.cells[name])
            if values is None and name in votes:
                values = np.array(self.cells[name].to_pylist(), dtype=object)  # the error will name the row
            if values is not None:
                result[name if name == "row" or self.by_mien else free_name(name)] = values
        return result


@contextmanager
def _damage_as_one_line(file: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        refuse_pointer(file, DataError)
        reason = str(error).splitlines()[0]
        raise DataError(f"{file} is not a readable parquet file: {reason}.", code="file-unreadable") from None


def _declared_classes(metadata: dict[bytes, bytes], label: str) -> tuple[str, ...]:
    try:
        declared = _json_of(metadata, b"huggingface")["info"]["features"][label]["names"]
    except (KeyError, TypeError):
        return ()
    return tuple(str(name) for name in declared) if isinstance(declared, list) else ()


def _json_of(metadata: dict[bytes, bytes], key: bytes) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(key, b"{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _to_array(column: "ChunkedArray") -> Array | None:
    """Convert a column to a NumPy array of N entries; None for an unsupported type."""
    import pyarrow as pa

    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type  # a category of pandas
    shown = str if pa.types.is_temporal(kind) else float if pa.types.is_decimal(kind) else None  # dates become text
    missing = "" if shown is str or "string" in str(kind) else np.nan
    try:
        values = column.to_pylist()
        values = np.array([missing if each is None else shown(each) if shown else each for each in values])
    except (ValueError, OverflowError):  # the lists have different lengths
        return None
    usable = values.dtype.kind in "iufb" if values.ndim == 2 else values.ndim == 1 and values.dtype.kind in "iufbU"
    return values if usable else None
