"""Faces in parquet files, in the layout of a Hugging Face image data set: reading and writing."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.errors import DataError, arg, needs_extra
from mien.base.files import whole_file
from mien.base.progress import track
from mien.data.dataset import Dataset
from mien.data.decode import decode_images
from mien.data.face_table import (
    LABEL_HEADERS,
    OWN_HEADERS,
    SPLIT_HEADERS,
    ClassNames,
    FaceTable,
    ReadOptions,
    find_column,
    free_name,
    index_classes,
    relabel,
    split_of,
)
from mien.data.splits import OFFICIAL_ORIGIN, canonical_split, is_official
from mien.data.votes import FERPLUS_COLUMN, ferplus_votes, gather_votes, vote_columns

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import ChunkedArray
    from pyarrow.parquet import ParquetFile as ArrowFile

MIEN_KEY = b"mien"
"""In the schema's metadata of files that mien wrote: classes, splits and sources are taken as they stand."""

_BATCH_ROWS = 512
_IMAGE_HEADERS = ("image", "img", "picture")
_GROUP_ROWS = 1000


def parquet_files(path: Path) -> list[Path]:
    """The parquet files that ``path`` stands for: itself, or all below the folder, by name."""
    if path.is_file():
        return [path]
    return sorted(
        file
        for file in path.rglob("*.parquet")
        if not any(part.startswith(".") for part in file.relative_to(path).parts)
    )


def named_images(file: Path, root: Path) -> list[str]:
    """Image files that a parquet file's rows name instead of holding the images; usually none. Raises DataError."""
    parquet = ParquetFile(file, root)
    if not parquet.names_image_files:
        return []
    return [content for _, content in parquet.images() if isinstance(content, str)]


def read_parquet(path: Path, options: ReadOptions) -> FaceTable:
    """Read one parquet file, or a folder of them, row group by row group.

    Raises:
        DataError: no parquet, a missing column, an unknown label or split, an image that cannot be decoded.
        MissingExtraError: pyarrow is not installed.
    """
    files = [ParquetFile(file, path) for file in parquet_files(path)]
    rows = sum(file.count for file in files)
    if rows == 0:
        raise DataError(f"{path} has no rows. Download or convert it again.", code="data-empty")
    complete = all(file.by_mien for file in files)
    literal = complete and not options.class_map and len({file.declared for file in files}) == 1
    class_names = ClassNames(options.class_map)
    names = [name for file in files for name in file.class_names(class_names, literal)]
    class_names.check_map(path.name)
    found_splits = [split for file in files for split in file.splits()]
    if class_names.guessed and any(found_splits) and not is_official(set(found_splits)):
        numbers = ",".join(f"{each}=NAME" for each in sorted(class_names.guessed))
        raise DataError(
            f"{path.name} numbers its classes and does not name them. Say what the numbers mean: "
            f"{arg('class_map')} '{numbers}'. FER2013's are 0 angry, 1 disgust, 2 fear, 3 happy, 4 sad, 5 surprise, "
            "6 neutral.",
            code="labels-numbered",
        )
    columns = _join([file.columns() for file in files])
    rows_column = columns.pop("row", np.empty(0))
    usable = rows_column.dtype.kind == "i" and len(np.unique(rows_column)) == rows
    if len(rows_column) and not usable:
        columns["row_"] = rows_column
    sources = [source for file in files for source in file.sources(complete)]
    columns, vote_classes = gather_votes(columns, sources)
    split = np.array([split_of(found, source) for found, source in zip(found_splits, sources, strict=True)])
    items = (item for file in files for item in file.images())
    decoded = decode_images(items, rows, options, f"decoding {path.name}")
    kept = decoded.kept
    about = files[0].about if all(file.about == files[0].about for file in files) else {}
    declared = tuple(map(str, about.get("vote_classes", ())))
    if "votes" not in columns or columns["votes"].shape[1:] != (len(declared),):
        declared = ()
    group = str(about.get("group_column", ""))
    labels, classes = index_classes([names[index] for index in kept])
    if literal:
        labels, classes = relabel(labels, classes, files[0].declared)
    return FaceTable(
        images=decoded.images,
        labels=labels,
        classes=classes,
        split=split.astype("<U10")[kept],
        split_origin=_origin(found_splits, about, files),
        source=np.array(sources)[kept],
        rows=rows_column.astype(np.int64)[kept] if usable else kept,
        columns={name: values[kept] for name, values in columns.items()},
        vote_classes=vote_classes or declared,
        group_column=group if group in columns else "",
        skipped=decoded.skipped,
        notes=[*class_names.notices(), *class_names.number_notices(files[0].label)],
        files=decoded.files,
        complete=complete,
    )


def write_parquet(
    faces: Dataset, path: str | os.PathLike[str], *, overwrite: bool = False, split_origin: str | None = None
) -> None:
    """Write faces as one parquet file in the layout of Hugging Face, whole or not at all.

    Columns: ``image`` struct{bytes (PNG), path}, ``label`` int64 with the class names in the schema's metadata,
    ``split``, ``row`` int64, ``source``, then the columns of the faces. Reading it back at the same size gives equal
    faces, and the same fingerprint if that size is ``FINGERPRINT_PX``, as long as they are grey squares.

    Args:
        faces: images uint8 (N, S, S), or (N, S, S, 3).
        path: the file to write.
        overwrite: replace a file that is there.
        split_origin: how the splits came about, for readers of the file.

    Raises:
        DataError: the file exists, or a column of the faces has a name that the layout uses.
        RunError: the file cannot be written.
        MissingExtraError: pyarrow is not installed.
    """
    with needs_extra("train", "Writing parquet"):
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

    path = Path(path)
    if path.exists() and not overwrite:
        raise DataError(
            f"{path} exists already. Choose another name, or allow it to be replaced with --overwrite.",
            code="file-exists",
        )
    taken = sorted(set(faces.columns) & set(OWN_HEADERS))
    if taken:
        raise DataError(
            f"The data has a column '{taken[0]}', a name that the parquet file needs for itself. Rename it.",
            code="column-reserved",
        )
    schema = _schema(faces, split_origin)
    starts = range(0, len(faces), _GROUP_ROWS)
    with whole_file(path) as temporary, ParquetWriter(temporary, schema, compression="zstd") as writer:
        for start in track(starts, len(starts), f"writing {path.name}", f"groups of {_GROUP_ROWS:,} faces"):
            part = faces.subset(np.arange(start, min(start + _GROUP_ROWS, len(faces))))
            writer.write_table(pa.table(_arrow_columns(part), schema=schema))


def _schema(faces: Dataset, split_origin: str | None) -> pa.Schema:
    import pyarrow as pa

    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": list(faces.classes), "_type": "ClassLabel"},
        "split": {"dtype": "string", "_type": "Value"},
        "row": {"dtype": "int64", "_type": "Value"},
        "source": {"dtype": "string", "_type": "Value"},
    }
    fields = [
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("label", pa.int64()),
        pa.field("split", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("source", pa.string()),
    ]
    for name, values in faces.columns.items():
        kind = pa.string() if values.dtype.kind == "U" else pa.from_numpy_dtype(values.dtype)
        # Hugging Face's names of types: as Arrow's, but for the two floats
        value = {"dtype": {"double": "float64", "float": "float32"}.get(str(kind), str(kind)), "_type": "Value"}
        if values.ndim == 1:
            features[name] = value
        elif values.ndim == 2 and values.dtype.kind != "U":
            kind = pa.list_(kind, values.shape[1])
            features[name] = {"feature": value, "length": values.shape[1], "_type": "List"}
        else:
            raise DataError(
                f"The column '{name}' is {values.dtype} with {values.ndim} dimensions, which parquet cannot take.",
                code="column-type",
            )
        fields.append(pa.field(name, kind))
    about: dict[str, Any] = {"split_origin": split_origin}
    if faces.vote_classes and "votes" in faces.columns:
        about["vote_classes"] = faces.vote_classes
    if faces.group_column:
        about["group_column"] = faces.group_column
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}), MIEN_KEY: json.dumps(about)}
    return pa.schema(fields, metadata=metadata)


def _arrow_columns(faces: Dataset) -> Mapping[str, Any]:
    columns: dict[str, Any] = {
        "image": [{"bytes": _png(image), "path": None} for image in faces.images],
        "label": faces.labels,
        "split": faces.split.tolist(),
        "row": faces.rows,
        # A file name may hold bytes that are no text; parquet's strings may not.
        "source": [name.encode("utf-8", "backslashreplace").decode() for name in faces.source.tolist()],
    }
    for name, values in faces.columns.items():
        columns[name] = values.tolist() if values.dtype.kind == "U" or values.ndim > 1 else values
    return columns


def _png(image: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def _origin(found: list[str], about: Mapping[str, Any], files: list[ParquetFile]) -> str:
    if is_official(set(found)):
        return OFFICIAL_ORIGIN
    if about.get("split_origin"):
        return str(about["split_origin"])
    columns = {file.split for file in files if file.split is not None}
    return f"as in the column '{min(columns)}'" if columns else "as in the file names"


def _join(tables: list[dict[str, npt.NDArray[Any]]]) -> dict[str, npt.NDArray[Any]]:
    """Columns that every file has, one after the other. Raises :class:`DataError` for votes that one of them lacks."""
    result = {}
    names = list(dict.fromkeys(name for table in tables for name in table))
    votes = {*vote_columns(names), FERPLUS_COLUMN}
    for name in names:
        parts = [table[name] for table in tables if name in table]
        # Of votes, fractions are numbers as whole ones are: those of one file may lack a value.
        numbers = "iufb" if name in votes else ""
        kinds = {(part.shape[1:], "number" if part.dtype.kind in numbers else part.dtype.kind) for part in parts}
        if len(parts) == len(tables) and len(kinds) == 1:
            result[name] = np.concatenate(parts)
        elif name in votes:
            raise DataError(
                f"The column '{name}' is missing or of another type in some of the {len(tables)} files. Votes need the "
                f"same columns in each.",
                code="votes-columns",
            )
    return result


class ParquetFile:
    """One parquet file: which column is which, and what is in them."""

    def __init__(self, file: Path, root: Path) -> None:
        with needs_extra("train", "Reading parquet"):
            import pyarrow  # noqa: F401 - the package may be there in part
            from pyarrow.parquet import ParquetFile as ArrowFile

        self.name: str = file.name if file == root else file.relative_to(root).as_posix()
        self.path: Path = file
        with _damage_as_one_line(file):
            self.parquet: ArrowFile = ArrowFile(file)
        self.count: int = self.parquet.metadata.num_rows
        self.headers: list[str] = self.parquet.schema_arrow.names
        self.image: str = self._column(_IMAGE_HEADERS, "an image column")
        self.label: str = self._column(LABEL_HEADERS, "a label column")
        split = find_column(self.headers, SPLIT_HEADERS)
        self.split: str | None = None if split is None else self.headers[split]
        metadata: dict[bytes, bytes] = self.parquet.schema_arrow.metadata or {}
        # Other tools keep the metadata when they drop columns; then it is mien's file no more.
        self.by_mien: bool = MIEN_KEY in metadata and set(OWN_HEADERS) <= set(self.headers)
        self.about: dict[str, Any] = _json_of(metadata, MIEN_KEY)
        self.declared: tuple[str, ...] = _declared_classes(metadata, self.label)

    def _column(self, wanted: tuple[str, ...], what: str) -> str:
        position = find_column(self.headers, wanted)
        if position is None:
            raise DataError(
                f"{self.name} lacks {what} ({' or '.join(wanted)}); it has: {', '.join(self.headers) or 'nothing'}.",
                code="column-missing",
            )
        return self.headers[position]

    def images(self) -> Iterator[tuple[str, bytes | str]]:
        """The name and the encoded image of each row; one small batch is in memory at a time."""
        row = 0
        for values in self._batches(self.image):
            for value in values:
                source = f"{self.name} row {row}"
                row += 1
                content = value.get("bytes") or value.get("path") if isinstance(value, dict) else value
                if not isinstance(content, bytes | str | None):
                    raise DataError(
                        f"{source}: the column '{self.image}' holds a {type(content).__name__}, not an encoded image.",
                        code="image-unreadable",
                    )
                if isinstance(content, str):
                    content = str(self.path.parent / content)
                if not content:
                    content = b""
                yield source, content

    @property
    def names_image_files(self) -> bool:
        """Whether rows name image files instead of holding the images; those can change behind the cache's back."""
        return any(isinstance(content, str) for _, content in islice(self.images(), 1))

    def _batches(self, column: str) -> Iterator[list[Any]]:
        with _damage_as_one_line(self.path):
            # One row group after the other: pyarrow keeps what it has read of all that it was asked for.
            for group in range(self.parquet.num_row_groups):
                for batch in self.parquet.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=[column]):
                    yield batch.column(0).to_pylist()

    def _values(self, column: str) -> list[Any]:
        return [value for batch in self._batches(column) for value in batch]

    def _array(self, column: str) -> npt.NDArray[Any] | None:
        with _damage_as_one_line(self.path):
            return _to_array(self.parquet.read(columns=[column]).column(0))

    def class_names(self, names: ClassNames, literal: bool) -> list[str]:
        """The class of each row: named by the schema, by itself (text), or by Kaggle's numbering."""
        resolved: dict[Any, str] = {}
        result = []
        for row, value in enumerate(self._values(self.label)):
            if isinstance(value, list | dict):
                raise DataError(
                    f"{self.name} row {row}: the column '{self.label}' holds {value!r:.60}, not a label.",
                    code="label-type",
                )
            if value not in resolved:
                where = f"{self.name} row {row}"
                if self.declared and isinstance(value, int):
                    if not 0 <= value < len(self.declared):
                        known = len(self.declared) - 1
                        raise DataError(
                            f"{where}: label {value} is outside 0..{known}, the classes the file declares.",
                            code="label-range",
                        )
                    name = self.declared[value]
                    resolved[value] = name if literal else names.name(name)
                elif isinstance(value, str):
                    if self.declared and value not in self.declared:
                        raise DataError(
                            f"{where}: label {value!r:.60} is none of the classes that the file declares: "
                            f"{', '.join(self.declared)}.",
                            code="label-undeclared",
                        )
                    resolved[value] = names.name(value)
                else:
                    resolved[value] = names.numbered("" if value is None else str(value), where)
            result.append(resolved[value])
        return result

    def splits(self) -> list[str]:
        """The split of each row as the file has it, or as the file's name or folder says, or ``""``."""
        if self.split is not None:
            return ["" if value is None else str(value) for value in self._values(self.split)]
        words = [re.split(r"[-_.]", part)[0] for part in reversed(Path(self.name).parts)]
        return [next((word for word in words if canonical_split(word)), "")] * self.count

    def sources(self, literal: bool) -> list[str]:
        """Where each face came from: the file and the row, counted from 0; or what mien once wrote there."""
        if literal:
            return [str(value) for value in self._values("source")]
        return [f"{self.name} row {row}" for row in range(self.count)]

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """All other columns that are numbers, truth values, text, or lists of numbers of one length."""
        taken = {self.image, self.label, self.split, "source" if self.by_mien else None}
        votes = vote_columns(self.headers)
        result = {}
        for name in self.headers:
            if name in taken:
                continue
            values = self._array(name)
            if values is None and name == FERPLUS_COLUMN:
                values = ferplus_votes(self._values(name), self.name)
            if values is None and name in votes:
                raise DataError(
                    f"{self.name}: the column '{name}' must hold a number of votes for each image. Write whole "
                    f"numbers, or rename it.",
                    code="votes-not-numbers",
                )
            if values is not None:
                result[name if name == "row" or self.by_mien else free_name(name)] = values
        return result


@contextmanager
def _damage_as_one_line(file: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{file} is not a readable parquet file ({reason}). Download it again.", code="parquet-unreadable"
        ) from None


def _declared_classes(metadata: dict[bytes, bytes], label: str) -> tuple[str, ...]:
    try:
        declared = _json_of(metadata, b"huggingface")["info"]["features"][label]["names"]
    except (KeyError, TypeError):
        return ()
    return tuple(str(name) for name in declared) if isinstance(declared, list) else ()


def _json_of(metadata: dict[bytes, bytes], key: bytes) -> dict[str, Any]:
    """What a file's metadata says under a key, such as what :func:`write_parquet` noted; {} where it is no JSON."""
    try:
        found = json.loads(metadata.get(key, b"{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _to_array(column: ChunkedArray) -> npt.NDArray[Any] | None:
    """A NumPy array of N entries, or None for a type that has no place in a Dataset."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        if not (pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)):
            return None
        lists = column.to_pylist()
        if any(item is None or None in item for item in lists) or len({len(item) for item in lists}) != 1:
            return None
        return np.array(lists, dtype=np.int64 if pa.types.is_integer(kind.value_type) else np.float64)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(["" if value is None else value for value in column.to_pylist()], dtype=np.str_)
    if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    if column.null_count:
        return np.array([np.nan if value is None else value for value in column.to_pylist()], dtype=np.float64)
    return np.asarray(column.to_numpy())
