"""One parquet file of faces: which of its columns is which, and what is in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.data.dataset import FERPLUS_COLUMN
from mien.data.face_table import LABEL_HEADERS, OWN_HEADERS, SPLIT_HEADERS, ClassNames, find_column, free_name
from mien.data.splits import canonical_split
from mien.data.votes import vote_columns
from mien.errors import DataError, needs_extra
from mien.labels import FERPLUS_CLASSES

if TYPE_CHECKING:
    from pyarrow import ChunkedArray
    from pyarrow.parquet import ParquetFile as ArrowFile

MIEN_KEY = b"mien"
"""In the schema's metadata of files that mien wrote: classes, splits and sources are taken as they stand."""

_BATCH_ROWS = 512
_IMAGE_HEADERS = ("image", "img", "picture")


class ParquetFile:
    """One parquet file: which column is which, and what is in them."""

    def __init__(self, file: Path, root: Path) -> None:
        with needs_extra("train", "Reading parquet"):
            import pyarrow as pa
            from pyarrow.parquet import ParquetFile as ArrowFile

        self.name: str = file.name if file == root else file.relative_to(root).as_posix()
        self.path: Path = file
        try:
            self.parquet: ArrowFile = ArrowFile(file)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(
                f"{file} is not a readable parquet file ({reason}). Download it again.", code="parquet-unreadable"
            ) from None
        self.count: int = self.parquet.metadata.num_rows
        self.headers: list[str] = self.parquet.schema_arrow.names
        self.image: str = self._column(_IMAGE_HEADERS, "an image column")
        self.label: str = self._column(LABEL_HEADERS, "a label column")
        split = find_column(self.headers, SPLIT_HEADERS)
        self.split: str | None = None if split is None else self.headers[split]
        metadata: dict[bytes, bytes] = self.parquet.schema_arrow.metadata or {}
        # Other tools keep the metadata when they drop columns; then it is mien's file no more.
        self.by_mien: bool = MIEN_KEY in metadata and set(OWN_HEADERS) <= set(self.headers)
        self.split_origin: str | None = _written_origin(metadata)
        self.vote_classes: tuple[str, ...] = _written_vote_classes(metadata)
        self.group_column: str = _written_group_column(metadata)
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
        import pyarrow as pa

        try:
            # One row group after the other: pyarrow keeps what it has read of all that it was asked for.
            for group in range(self.parquet.num_row_groups):
                for batch in self.parquet.iter_batches(batch_size=_BATCH_ROWS, row_groups=[group], columns=[column]):
                    yield batch.column(0).to_pylist()
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{self.path} is damaged ({reason}). Download it again.", code="parquet-damaged") from None

    def _values(self, column: str) -> list[Any]:
        return [value for batch in self._batches(column) for value in batch]

    def _array(self, column: str, *, as_numbers: bool = False) -> npt.NDArray[Any] | None:
        """The column as :func:`_to_array` gives it; ``as_numbers`` takes decimals and empty columns for floats too."""
        import pyarrow as pa

        try:
            values = self.parquet.read(columns=[column]).column(0)
            if as_numbers and (pa.types.is_decimal(values.type) or pa.types.is_null(values.type)):
                values = values.cast(pa.float64())
            return _to_array(values)
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{self.path} is damaged ({reason}). Download it again.", code="parquet-damaged") from None

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
            values = self._array(name, as_numbers=name in votes)
            if values is None and name == FERPLUS_COLUMN:
                values = self._votes_with_gaps(name)
            if values is None and name in votes:
                raise DataError(
                    f"{self.name}: the column '{name}' must hold a number of votes for each image. Write whole "
                    f"numbers, or rename it.",
                    code="votes-not-numbers",
                )
            if values is not None:
                result[name if name == "row" or self.by_mien else free_name(name)] = values
        return result

    def _votes_with_gaps(self, name: str) -> npt.NDArray[Any]:
        """FER+'s votes as float64 (N, 10); rows of nothing are zeros. Raises :class:`DataError` for other rows."""
        lists: list[list[float]] = []
        for row, value in enumerate(self._values(name)):
            if value is None or (isinstance(value, list) and all(each is None for each in value)):
                lists.append([0] * len(FERPLUS_CLASSES))
                continue
            numbers = isinstance(value, list) and all(isinstance(each, int | float) for each in value)
            if not numbers or len(value) != len(FERPLUS_CLASSES):
                raise DataError(
                    f"{self.name} row {row}: the column '{name}' must hold {len(FERPLUS_CLASSES)} numbers of votes; "
                    f"found {value!r:.60}. Correct the row, or drop the column.",
                    code="votes-shape",
                )
            lists.append(value)
        return np.array(lists, dtype=np.float64)


def _declared_classes(metadata: dict[bytes, bytes], label: str) -> tuple[str, ...]:
    try:
        declared = json.loads(metadata[b"huggingface"])["info"]["features"][label]["names"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return ()
    return tuple(str(name) for name in declared) if isinstance(declared, list) else ()


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


def _written_vote_classes(metadata: dict[bytes, bytes]) -> tuple[str, ...]:
    """The classes of the column ``votes``, as mien noted them when it wrote the file."""
    try:
        found = json.loads(metadata[MIEN_KEY]).get("vote_classes", [])
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return ()
    return tuple(str(name) for name in found) if isinstance(found, list) else ()


def _written_group_column(metadata: dict[bytes, bytes]) -> str:
    """The column of the groups, as mien noted it when it wrote the file."""
    try:
        return str(json.loads(metadata[MIEN_KEY])["group_column"])
    except (KeyError, ValueError, TypeError):
        return ""


def _written_origin(metadata: dict[bytes, bytes]) -> str | None:
    """What mien noted about the splits when it wrote the file."""
    try:
        origin = json.loads(metadata[MIEN_KEY])["split_origin"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    return None if origin is None else str(origin)
