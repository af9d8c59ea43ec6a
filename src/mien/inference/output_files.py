"""Many images, predicted in threads or Ray processes; their results as JSONL, CSV or parquet, kept so that a killed
command can resume.

    FILE.part    a journal: one line of settings, then a line of JSON for each finished image
    FILE         written from it at the end (.jsonl, .csv or .parquet), atomically; the journal is removed then

The journal is locked while it is open. The next command tries images with errors again.

A photo's result is ``{"source", "image": {"width", "height"}, "detector", "faces": [...]}``. That of a face crop is
``{"source", "answer", "top", "confidence", "probabilities"}``, an unreadable image's ``{"source", "error"}``. A model
with named outputs adds the names in :attr:`mien.inference.prediction.Prediction.fields`.
"""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from mien.base.errors import DataError, MienError, RunError, needs_extra
from mien.base.files import file_sha256, lock_file, plain, whole_file
from mien.base.images import StandardInput
from mien.base.processes import ordered_map, start_ray
from mien.base.run_folder import find_model
from mien.inference.drawing import Annotator
from mien.inference.face_reader import FaceReader
from mien.inference.onnx_classifier import BATCH
from mien.inference.predictor import read_images
from mien.version import __version__


def predict_files(
    reader: FaceReader,
    files: Iterable[Path | StandardInput],
    *,
    crops: bool = False,
    annotator: Annotator | None = None,
    skip_bad: bool = False,
    workers: int = 1,
) -> Iterator[dict[str, Any]]:
    """Yield the result of each file in order, as described above, computed in ``workers`` threads.

    With ``skip_bad``, an unreadable image gives a dict with ``error``; otherwise its DataError is raised. Raises
    RunError if an annotated image cannot be written.
    """

    def predict(chunk: list[Path | StandardInput]) -> list[dict[str, Any]]:
        answers: dict[str, dict[str, Any]] = {}
        named = {str(file): file for file in chunk}

        def bad(source: str, error: DataError) -> None:
            if not skip_bad:
                raise DataError(f"{error} Skip such images with --skip-bad.", code=error.code)
            answers[source] = {"source": source, "error": str(error)}

        for photo in read_images(reader, chunk, crops=crops, on_error=bad):
            answers[photo.source] = photo.to_dict()
            if annotator is not None and photo.rgb is not None:
                try:
                    annotator.write(named[photo.source], photo.rgb, photo.predictions)
                except DataError as error:
                    bad(photo.source, error)
        return [answers[str(file)] for file in chunk]

    stream = iter(files)
    # Face crops are fastest in batches; a photo is enough work by itself.
    chunks = iter(lambda: list(islice(stream, BATCH if crops else 1)), [])
    for results in ordered_map(predict, chunks, workers):
        yield from results


CHUNK = 512
"""Face crops in a Ray task, 16 times as many as photos: some seconds of work, repeated if a worker dies."""
RETRIES = 5
"""How often Ray restarts a worker that died."""


class _RayWorker:
    """Predicts chunks of files in a Ray process. Errors are returned; Ray wraps raised errors in a traceback."""

    def __init__(self, make_reader: Callable[[], FaceReader], folder: str, crops: bool, skip_bad: bool) -> None:
        os.chdir(folder)
        self._reader, self._crops, self._skip_bad = make_reader(), crops, skip_bad

    def predict(self, files: list[Path | StandardInput]) -> list[dict[str, Any]] | MienError:
        try:
            return list(predict_files(self._reader, files, crops=self._crops, skip_bad=self._skip_bad))
        except MienError as error:
            return error


def predict_on_ray(
    make_reader: Callable[[], FaceReader],
    files: Iterable[Path | StandardInput],
    *,
    crops: bool = False,
    skip_bad: bool = False,
    workers: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the results of :func:`predict_files` from Ray processes, in any order; by default one for each core.

    All machines must see the files and the working folder under the same path. Raises MissingExtraError without Ray,
    RunError if there is no cluster, or workers died too often.
    """
    ray = start_ray()
    from ray.util import ActorPool

    cores = int(ray.cluster_resources().get("CPU", 1))
    actor = ray.remote(_RayWorker).options(num_cpus=1, max_restarts=RETRIES, max_task_retries=RETRIES)
    given = (make_reader, str(Path.cwd()), crops, skip_bad)
    stream = iter(files)
    chunks = iter(lambda: list(islice(stream, CHUNK if crops else CHUNK // 16)), [])
    try:
        pool: Any = ActorPool([actor.remote(*given) for _ in range(min(workers or cores, cores))])
        for results in pool.map_unordered(lambda worker, chunk: worker.predict.remote(chunk), chunks):
            if isinstance(results, MienError):
                raise results
            yield from results
    except ray.exceptions.RayError as error:
        raise RunError(f"Workers of Ray died: {str(error).splitlines()[0]}", code="ray") from None
    finally:
        ray.shutdown()


def settings_of(
    images: Sequence[Path | StandardInput],
    model: str,
    reader: FaceReader,
    *,
    crops: bool,
    annotator: Annotator | None = None,
) -> dict[str, Any]:
    """Return the settings that determine the results, as JSON values. Work is resumed only if they are equal."""
    files = [each for each in images if isinstance(each, Path)]
    return {
        "mien": __version__,
        "standard input": next((sha256(each).hexdigest() for each in images if isinstance(each, StandardInput)), None),
        # Relative names of images depend on the working folder.
        "working folder": None if all(file.is_absolute() for file in files) else str(Path.cwd()),
        "model": f"sha256:{file_sha256(find_model(model))[:16]}",
        "detector": None if crops else reader.detector.name,
        # Store the limits as one text: without order, limits of 20 px and 20 faces would be equal.
        "faces": None if crops else getattr(reader.detector, "limits", None),
        "crops": crops,
        "output": reader.classifier.output.name,
        "classes": reader.given_classes,
        "annotate": None if annotator is None else str(annotator.folder.resolve()),
        "annotated below": None if annotator is None else annotator.shared,
    }


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
    """The columns of a table of results: classes with a probability each, and ``fields``; ``crops`` have no box."""

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


def write_csv(stream: TextIO, names: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
    """Write rows as CSV under a header: floats with six digits, truth as in JSON, ``;`` between names of a list."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(map(_csv_cell, row) for row in rows)


def _csv_cell(value: Any) -> Any:
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
        write_csv(stream, columns.names, columns.rows(results))


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


_SETTINGS = "begun_with"


class ResumableOutput:
    """The results of one ``FILE``, open for appending.

    Attributes:
        done: sources of finished images when it was opened, except those with errors.

    Raises:
        MissingExtraError: FILE ends in .parquet, which needs pyarrow.
        RunError: FILE exists (``file-exists``), has an unknown suffix (``out-path``) or cannot be written
            (``file-unwritable``). Or its journal has other settings, is damaged or another program's
            file (``journal``), or in use (``run-locked``).
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], columns: Columns, *, overwrite: bool = False) -> None:
        self.out: Path = out
        self.part: Path = out.with_name(f"{out.name}.part")
        self.done: set[str] = set()
        # Position of each image's last line in the journal.
        self._positions: dict[str, int] = {}
        self._columns = columns
        if out.suffix.lower() not in WRITERS or out.is_dir():
            raise RunError(f"--out must be a file in {', '.join(WRITERS)}; found {out}.", code="out-path")
        if out.suffix.lower() == ".parquet":
            with needs_extra("parquet", "Writing parquet"):
                import pyarrow.parquet  # noqa: F401
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO = self.part.open("a+b")
        except OSError as error:
            raise RunError(f"{self.part} cannot be written: {error.strerror}.", code="file-unwritable") from None
        try:
            if not lock_file(self._stream):
                words = f"{self.part} is in use by another command. Wait until it ends, or choose another --out."
                raise RunError(words, code="run-locked")
            # Check under the lock, because another command may just have finished; it removes its journal last.
            if out.exists() and not overwrite and not self.part.stat().st_size:
                self._remove()
                words = f"{out} exists already and is complete. Choose another name, or replace it with --overwrite."
                raise RunError(words, code="file-exists")
            self._resume(settings)
        except BaseException:
            self._close()
            raise

    def __enter__(self) -> "ResumableOutput":
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and not self._positions:
            self._remove()
        self._close()

    def add(self, result: Mapping[str, Any]) -> None:
        """Store a result. Raises :class:`RunError` if it cannot be written (``file-unwritable``)."""
        self._positions[result["source"]] = self._stream.tell()
        self._write(result)

    def _write(self, line: Mapping[str, Any]) -> None:
        try:
            self._stream.write(json_line(line))
            self._stream.flush()
        except OSError as error:
            words = f"{self.part} cannot be written: {error.strerror}. Run the command again to resume."
            raise RunError(words, code="file-unwritable") from None

    def finish(
        self, sources: Iterable[str], on_result: Callable[[Mapping[str, Any]], None] = lambda result: None
    ) -> None:
        """Write FILE from the journal, atomically, and remove the journal. Raises RunError if it cannot be written."""

        def results() -> Iterator[dict[str, Any]]:
            for source in sources:
                if source in self._positions:
                    self._stream.seek(self._positions[source])
                    result = json.loads(self._stream.readline())
                    on_result(result)
                    yield result

        with whole_file(self.out) as temporary:
            WRITERS[self.out.suffix.lower()](temporary, results(), self._columns)
        self._remove()

    def _remove(self) -> None:
        """Remove the journal while it is locked, because another command may use it as soon as it is unlocked."""
        if sys.platform == "win32":  # Windows cannot remove an open file
            self._close()
        self.part.unlink(missing_ok=True)
        self._close()

    def _close(self) -> None:
        # Closing may repeat a write that a full disk refused; that error was already raised.
        with suppress(OSError):
            self._stream.close()

    def _resume(self, settings: Mapping[str, Any]) -> None:
        """Read the finished images, and remove a truncated last line."""
        self._stream.seek(0)
        first = self._stream.readline()
        if not first:
            self._write({_SETTINGS: dict(settings)})
            return
        good = len(first)
        try:
            before = json.loads(first)[_SETTINGS]
            for name, value in settings.items():
                if before[name] != value:
                    words = f"{self.part} was started with {name} {before[name]}, now {value}; the same resumes it."
                    raise RunError(f"{words} Remove that file to start again.", code="journal")
            for line in self._stream:
                if line.endswith(b"\n"):
                    result = json.loads(line)
                    self._positions[os.fspath(result["source"])] = good
                    if "error" not in result:
                        self.done.add(result["source"])
                    good += len(line)
        except (ValueError, KeyError, TypeError, RecursionError):
            raise RunError(f"{self.part} is damaged or not mien's. Remove it, or set --out.", code="journal") from None
        self._stream.truncate(good)
        self._stream.seek(0, os.SEEK_END)
