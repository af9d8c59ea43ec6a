"""Results of images as JSONL, CSV or parquet, written atomically and one at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from mien.base.files import whole_file

Results = Iterable[Mapping[str, Any]]

FACE_COLUMNS: tuple[str, ...] = ("face", "box_left", "box_top", "box_width", "box_height")
"""Columns of a detected face. ``face`` counts from 1 in each image; it is 0 in the only row of an image without one."""

FIELDS: tuple[str, ...] = ("answer", "top", "confidence")
"""What a row says beside place and probabilities; see :attr:`mien.inference.prediction.Prediction.fields`."""

SCORE_COLUMN = "detection_score"
"""The column after these: the detector's own score."""

_ROWS_AT_ONCE = 4096


def columns(classes: tuple[str, ...], crops: bool, fields: tuple[str, ...] = FIELDS) -> tuple[str, ...]:
    """Column names of a table of results."""
    return ("source", *(() if crops else ("detector", *FACE_COLUMNS, SCORE_COLUMN)), *fields, *classes)


def rows(
    results: Results, classes: tuple[str, ...], crops: bool, fields: tuple[str, ...] = FIELDS
) -> Iterator[tuple[Any, ...]]:
    """A row for each face, in the order of :func:`columns`; None for missing values."""
    for result in results:
        if "error" in result:
            continue
        source = result["source"].encode(errors="backslashreplace").decode()
        if crops:
            yield source, *_prediction(result, fields)
        for number, face in enumerate(result.get("faces", ()), start=1):
            box = face["box"]
            sides = (box["left"], box["top"], box["width"], box["height"])
            yield source, result["detector"], number, *sides, face.get(SCORE_COLUMN), *_prediction(face, fields)
        if result.get("faces") == []:
            yield source, result["detector"], 0, *[None] * (4 + 1 + len(fields) + len(classes))


def write_csv(
    stream: TextIO, results: Results, classes: tuple[str, ...], crops: bool, fields: tuple[str, ...] = FIELDS
) -> None:
    """Write results as CSV with a header; probabilities have six digits."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns(classes, crops, fields))
    for row in rows(results, classes, crops, fields):
        writer.writerow([csv_cell(value) for value in row])


def csv_cell(value: Any) -> Any:
    """A value as CSV has it: six digits of a float, ``true`` and ``false`` as in JSON."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6f}" if isinstance(value, float) else value


def write_results(
    out: Path, results: Results, classes: tuple[str, ...], crops: bool, fields: tuple[str, ...] = FIELDS
) -> None:
    """Write results in the format of the file's suffix. Raises :class:`mien.base.errors.RunError`."""
    with whole_file(out) as temporary:
        WRITERS[out.suffix.lower()](temporary, results, classes, crops, fields)


def _prediction(face: Mapping[str, Any], fields: tuple[str, ...]) -> Iterator[Any]:
    yield from (face[name] for name in fields)
    yield from face["probabilities"].values()


def _jsonl(path: Path, results: Results, classes: tuple[str, ...], crops: bool, fields: tuple[str, ...]) -> None:
    with path.open("wb") as stream:
        for result in results:
            stream.write(json_line(result))


def _csv(path: Path, results: Results, classes: tuple[str, ...], crops: bool, fields: tuple[str, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_csv(stream, results, classes, crops, fields)


def _parquet(path: Path, results: Results, classes: tuple[str, ...], crops: bool, fields: tuple[str, ...]) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    types = dict.fromkeys(("source", "detector", "output", "answer", "top"), pa.string())
    types |= dict.fromkeys(FACE_COLUMNS, pa.int32()) | dict.fromkeys(("unsure", "not_a_face"), pa.bool_())
    names = columns(classes, crops, fields)
    schema = pa.schema([(name, types.get(name, pa.float64())) for name in names])
    stream = rows(results, classes, crops, fields)
    with ParquetWriter(path, schema) as writer:
        while batch := list(islice(stream, _ROWS_AT_ONCE)):
            by_column = zip(schema, zip(*batch, strict=True), strict=True)
            arrays = [pa.array(list(values), field.type) for field, values in by_column]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def json_line(result: Mapping[str, Any]) -> bytes:
    """A result as a line of JSON in UTF-8."""
    try:
        return (json.dumps(result, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        # Bytes of file names that are not UTF-8 (lone surrogates in Python) can only be escaped.
        return (json.dumps(result) + "\n").encode()


WRITERS: dict[str, Callable[[Path, Results, tuple[str, ...], bool, tuple[str, ...]], None]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
