"""Answers about pictures as JSONL, CSV or parquet, written whole or not at all and one at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from mien.files import whole_file

Answers = Iterable[Mapping[str, Any]]

FACE_COLUMNS = ("face", "box_left", "box_top", "box_width", "box_height")
"""Of a face that was found; ``face`` counts from 1 within a picture, and is 0 in the one row of a picture without."""

_ROWS_AT_ONCE = 4096


def columns(classes: tuple[str, ...], crops: bool) -> tuple[str, ...]:
    """Names of the columns of a table of answers."""
    return ("source", *(() if crops else ("detector", *FACE_COLUMNS)), "top", "confidence", *classes)


def rows(answers: Answers, classes: tuple[str, ...], crops: bool) -> Iterator[tuple[Any, ...]]:
    """A row for each face, in the order of :func:`columns`; None where there is nothing to say."""
    for answer in answers:
        if "error" in answer:
            continue
        source = answer["source"].encode(errors="backslashreplace").decode()
        if crops:
            yield source, *_read(answer)
        for number, face in enumerate(answer.get("faces", ()), start=1):
            box = face["box"]
            yield source, answer["detector"], number, box["left"], box["top"], box["width"], box["height"], *_read(face)
        if answer.get("faces") == []:
            yield source, answer["detector"], 0, *[None] * (4 + 2 + len(classes))


def write_csv(stream: TextIO, answers: Answers, classes: tuple[str, ...], crops: bool) -> None:
    """Write answers as CSV with a header; probabilities with six digits."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns(classes, crops))
    for row in rows(answers, classes, crops):
        writer.writerow([f"{value:.6f}" if isinstance(value, float) else value for value in row])


def write_answers(out: Path, answers: Answers, classes: tuple[str, ...], crops: bool) -> None:
    """Write answers in the form that the name of the file says. Raises :class:`mien.errors.RunError`."""
    with whole_file(out) as temporary:
        WRITERS[out.suffix.lower()](temporary, answers, classes, crops)


def _read(reading: Mapping[str, Any]) -> Iterator[Any]:
    yield reading["top"]
    yield reading["confidence"]
    yield from reading["probabilities"].values()


def _jsonl(path: Path, answers: Answers, classes: tuple[str, ...], crops: bool) -> None:
    with path.open("wb") as stream:
        for answer in answers:
            stream.write(json_line(answer))


def _csv(path: Path, answers: Answers, classes: tuple[str, ...], crops: bool) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        write_csv(stream, answers, classes, crops)


def _parquet(path: Path, answers: Answers, classes: tuple[str, ...], crops: bool) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    kinds = dict.fromkeys(("source", "detector", "top"), pa.string()) | dict.fromkeys(FACE_COLUMNS, pa.int32())
    names = columns(classes, crops)
    schema = pa.schema([(name, kinds.get(name, pa.float64())) for name in names])
    stream = rows(answers, classes, crops)
    with ParquetWriter(path, schema) as writer:
        while some := list(islice(stream, _ROWS_AT_ONCE)):
            by_column = zip(schema, zip(*some, strict=True), strict=True)
            arrays = [pa.array(list(values), field.type) for field, values in by_column]
            writer.write_batch(pa.record_batch(arrays, schema=schema))


def json_line(answer: Mapping[str, Any]) -> bytes:
    """An answer as a line of JSON in UTF-8."""
    try:
        return (json.dumps(answer, ensure_ascii=False) + "\n").encode()
    except UnicodeEncodeError:
        # Bytes of file names that are no UTF-8 (Python's lone surrogates) have no form but escapes.
        return (json.dumps(answer) + "\n").encode()


WRITERS: dict[str, Callable[[Path, Answers, tuple[str, ...], bool], None]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".parquet": _parquet,
}
