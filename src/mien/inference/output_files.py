"""Results of images as JSONL, CSV or parquet, written one at a time and whole or not at all."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from mien.base.files import plain

Results = Iterable[Mapping[str, Any]]

FACE_COLUMNS: tuple[str, ...] = ("face", "box_left", "box_top", "box_width", "box_height")
"""Columns of a detected face. ``face`` counts from 1 in each image; an image without faces has one row with 0."""

SCORE_COLUMN = "detection_score"
"""Column of the detector's score, after FACE_COLUMNS."""

_ROWS_AT_ONCE = 4096


def probability_columns(classes: Iterable[str], fields: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of the classes' probabilities: their names, or ``p(NAME)`` if a table has such a column."""
    taken = {"source", "detector", *FACE_COLUMNS, SCORE_COLUMN, "frame", "time_seconds", "track", *fields}
    return tuple(f"p({name})" if name in taken else name for name in classes)


@dataclass(frozen=True)
class Columns:
    """The columns of a table of results.

    Attributes:
        classes: classes, each with a column for its probability.
        crops: whether the images are face crops, which have no box.
        fields: further columns; see :attr:`mien.inference.prediction.Prediction.fields`.
    """

    classes: tuple[str, ...]
    crops: bool
    fields: tuple[str, ...] = ("answer", "top", "confidence")

    @property
    def names(self) -> tuple[str, ...]:
        """All column names in order."""
        place = () if self.crops else ("detector", *FACE_COLUMNS, SCORE_COLUMN)
        return ("source", *place, *self.fields, *probability_columns(self.classes, self.fields))

    def rows(self, results: Results) -> Iterator[tuple[Any, ...]]:
        """Yield a row per face, in the order of :attr:`names`; missing values are None."""
        for result in results:
            if "error" in result:
                continue
            source = plain(result["source"])
            if self.crops:
                yield source, *self._prediction(result)
            for number, face in enumerate(result.get("faces", ()), start=1):
                box = face["box"]
                sides = (box["left"], box["top"], box["width"], box["height"])
                yield source, result["detector"], number, *sides, face.get(SCORE_COLUMN), *self._prediction(face)
            if result.get("faces") == []:
                yield source, result["detector"], 0, *[None] * (len(self.names) - 3)

    def _prediction(self, face: Mapping[str, Any]) -> Iterator[Any]:
        yield from (face[name] for name in self.fields)
        yield from face["probabilities"].values()


def write_csv(stream: TextIO, results: Results, columns: Columns) -> None:
    """Write results as CSV with a header; probabilities have six digits."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns.names)
    for row in columns.rows(results):
        writer.writerow([csv_cell(value) for value in row])


def csv_cell(value: Any) -> Any:
    """Format a value for CSV: floats with six digits, ``true`` and ``false`` as in JSON, ``;`` between names."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ";".join(value)
    return f"{value:.6f}" if isinstance(value, float) else value


def _jsonl(path: Path, results: Results, columns: Columns) -> None:
    with path.open("wb") as stream:
        for result in results:
            stream.write(json_line(result))


def _csv(path: Path, results: Results, columns: Columns) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_csv(stream, results, columns)


def _parquet(path: Path, results: Results, columns: Columns) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    types = dict.fromkeys(("source", "detector", "output", "answer", "top"), pa.string())
    types |= dict.fromkeys(FACE_COLUMNS, pa.int32()) | dict.fromkeys(("in_doubt", "unsure", "not_a_face"), pa.bool_())
    types["alternatives"] = pa.list_(pa.string())
    types |= dict.fromkeys(columns.names[-len(columns.classes) :], pa.float64())
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in columns.names])
    stream = columns.rows(results)
    with ParquetWriter(path, schema) as writer:
        while batch := list(islice(stream, _ROWS_AT_ONCE)):
            by_column = zip(schema, zip(*batch, strict=True), strict=True)
            arrays = [pa.array(list(values), field.type) for field, values in by_column]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def json_line(result: Mapping[str, Any]) -> bytes:
    """Return a result as a line of JSON in UTF-8."""
    try:
        return (json.dumps(result, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        # Bytes of file names that are not UTF-8 (lone surrogates in Python) can only be escaped.
        return (json.dumps(result) + "\n").encode()


WRITERS: dict[str, Callable[[Path, Results, Columns], None]] = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
