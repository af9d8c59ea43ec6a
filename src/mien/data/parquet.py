"""Faces in parquet files, in the layout of a Hugging Face image data set: reading and writing."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.data.dataset import FERPLUS_COLUMN, Dataset
from mien.data.decode import decode_images
from mien.data.face_table import OWN_HEADERS, ClassNames, FaceTable, ReadOptions, index_classes, relabel, split_of
from mien.data.parquet_file import MIEN_KEY, ParquetFile
from mien.data.splits import OFFICIAL_ORIGIN, is_official
from mien.data.votes import gather_votes, vote_columns
from mien.errors import DataError, needs_extra
from mien.files import whole_file
from mien.progress import track

if TYPE_CHECKING:
    import pyarrow as pa

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
    labels, classes = index_classes([names[index] for index in kept])
    if literal:
        labels, classes = relabel(labels, classes, files[0].declared)
    return FaceTable(
        images=decoded.images,
        labels=labels,
        classes=classes,
        split=split.astype("<U10")[kept],
        split_origin=_origin(found_splits, files),
        source=np.array(sources)[kept],
        rows=rows_column.astype(np.int64)[kept] if usable else kept,
        columns={name: values[kept] for name, values in columns.items()},
        vote_classes=vote_classes or _vote_classes(files, columns),
        group_column=_group_column(files, columns),
        skipped=decoded.skipped,
        notes=decoded.notes,
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
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def _origin(found: list[str], files: list[ParquetFile]) -> str:
    if is_official(set(found)):
        return OFFICIAL_ORIGIN
    written = {file.split_origin for file in files}
    if len(written) == 1 and (origin := written.pop()):
        return origin
    columns = {file.split for file in files if file.split is not None}
    return f"as in the column '{min(columns)}'" if columns else "as in the file names"


def _vote_classes(files: list[ParquetFile], columns: Mapping[str, npt.NDArray[Any]]) -> tuple[str, ...]:
    """The classes of the column ``votes``, where all files declare the same ones for as many counts."""
    declared = files[0].vote_classes
    votes = columns.get("votes")
    same = all(file.vote_classes == declared for file in files)
    return declared if same and votes is not None and votes.shape[1:] == (len(declared),) else ()


def _group_column(files: list[ParquetFile], columns: Mapping[str, npt.NDArray[Any]]) -> str:
    """The column of the groups, where all files declare the same one."""
    declared = {file.group_column for file in files}
    name = declared.pop()
    return name if not declared and name in columns else ""


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
