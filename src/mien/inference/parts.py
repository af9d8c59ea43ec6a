"""Predictions of millions of images in parts, each of which is written whole or not at all.

    DIR/settings.json                  what decides the answers
    DIR/list.parquet                   the names of the images; a row group is a part
    DIR/faces/part-00000.parquet       a row for each face
    DIR/images/part-00000.parquet      a row for each image; written last: where it is, the part is done

A part that is computed twice, because a worker was killed, writes the same rows into the same files. Images
and predictions never pass through Ray: a worker is given the number of a part, and says when it is written.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from mien.base.errors import DataError, MienError, RunError, needs_extra
from mien.base.files import lock_file, plain, whole_file, write_text
from mien.base.processes import start_ray
from mien.faces.face import LimitedDetector
from mien.faces.find import find_detector
from mien.inference.bulk import predict_files
from mien.inference.face_reader import FaceReader
from mien.inference.image_files import local_copies, walk_sources
from mien.inference.output_files import Columns, write_results
from mien.inference.predictor import load

CROPS_PER_PART, PHOTOS_PER_PART = 4096, 256
"""Images of a part: some seconds of work, which is what a killed worker loses."""
_AT_ONCE = 256
"""Images of an address that lie on this disk at the same time."""

_IMAGE_COLUMNS = {
    "source": "string",
    "status": "string",
    "width": "int32",
    "height": "int32",
    "faces": "int32",
    "error": "string",
}


@dataclass(frozen=True)
class PartsJob:
    """What a worker needs to know; it can be pickled.

    Attributes:
        folder: DIR.
        sources: files, folders and addresses, as the user gave them.
        base: the working folder, for relative names.
        model: name or path of the model.
        crops: each image is a face crop.
        limits: of the detector: least score, least size and most faces, as :class:`LimitedDetector` takes them.
        output: of the model.
        classes: a label scheme.
        threshold: for two classes.
        provider: of ONNX Runtime.
    """

    folder: Path
    sources: tuple[str, ...]
    base: Path
    model: str
    crops: bool
    limits: tuple[float | None, int | None, int | None] = (None, None, None)
    output: str | None = None
    classes: str | None = None
    threshold: float | None = None
    provider: str | None = None


@contextmanager
def open_parts(job: PartsJob, settings: Mapping[str, Any]) -> Iterator[tuple[int, list[int]]]:
    """Make the folder and its list, or take up what is there. Yields how many parts there are, and those not done.

    Args:
        job: what to do.
        settings: all that decides the answers; a folder of others is refused.

    Raises:
        RunError: the folder holds something else (``folder-exists``) or other settings (``parts-settings``), or another
            command writes there (``parts-in-use``).
        DataError: as :func:`mien.inference.image_files.walk_sources`.
    """
    with needs_extra("scale", "Prediction in parts"):
        from pyarrow.parquet import ParquetFile
    settings_file, list_file = job.folder / "settings.json", job.folder / "list.parquet"
    if job.folder.exists() and not settings_file.is_file() and (not job.folder.is_dir() or any(job.folder.iterdir())):
        raise RunError(f"{job.folder} exists and holds something else. Choose another --out.", code="folder-exists")
    job.folder.mkdir(parents=True, exist_ok=True)
    with (job.folder / ".lock").open("ab") as lock:
        if not lock_file(lock):
            raise RunError(
                f"Another command writes into {job.folder}. Wait until it ends, or choose another --out.",
                code="parts-in-use",
            )
        text = json.dumps(settings, indent=1, sort_keys=True) + "\n"
        # Before there is a list nothing was done, and a corrected command may use the folder.
        if not (settings_file.is_file() and list_file.is_file()):
            write_text(settings_file, text)
        elif settings_file.read_text(encoding="utf-8") != text:
            raise RunError(
                f"{job.folder} was begun with other settings or by another version of mien (see {settings_file.name}). "
                f"Run the same command again, or choose another --out.",
                code="parts-settings",
            )
        if not list_file.is_file():
            _write_list(list_file, walk_sources(job.sources, job.base), job.crops)
        with ParquetFile(list_file) as listed:
            count = listed.num_row_groups
        yield count, [part for part in range(count) if not part_file(job.folder, "images", part).is_file()]


def _write_list(file: Path, names: Iterable[str], crops: bool) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    stream, size = iter(names), CROPS_PER_PART if crops else PHOTOS_PER_PART
    with whole_file(file) as temporary, ParquetWriter(temporary, pa.schema([("source", pa.binary())])) as writer:
        # Bytes: names of files need not be UTF-8.
        while part := [name.encode("utf-8", "surrogateescape") for name in islice(stream, size)]:
            writer.write_table(pa.table({"source": part}, schema=writer.schema))


def part_file(folder: Path, table: str, part: int) -> Path:
    """The file of a part in ``images`` or ``faces``."""
    return folder / table / f"part-{part:05}.parquet"


def count_finished(folder: Path) -> tuple[int, int, int]:
    """How many images, faces and unreadable images the finished parts hold, by the files themselves."""
    from pyarrow.parquet import read_table

    images = faces = unreadable = 0
    for file in (folder / "images").glob("part-*.parquet"):
        table = read_table(file, columns=["status", "faces"])
        images += table.num_rows
        faces += sum(table["faces"].to_pylist())
        unreadable += table["status"].to_pylist().count("error")
    return images, faces, unreadable


class PartWorker:
    """Writes parts, one after another; loads the model once. Ray Data starts one in each worker process.

    Raises:
        MienError: as :func:`mien.load` and :class:`mien.inference.face_reader.FaceReader`.
    """

    def __init__(self, job: PartsJob) -> None:
        self.job: PartsJob = job
        predictor = load(job.model, threads=1, output=job.output, provider=job.provider)
        detector = None if job.crops else LimitedDetector(find_detector(), *job.limits)
        self._reader = FaceReader(predictor, detector, classes=job.classes, threshold=job.threshold)

    def __call__(self, row: dict[str, Any]) -> dict[str, str]:
        """Write the part that Ray names. An error is a value, because Ray would wrap it into its traceback."""
        try:
            self.write(int(row["id"]))
        except MienError as error:
            return {"failed": error.raw, "code": error.code}
        return {"failed": "", "code": ""}

    def write(self, part: int) -> None:
        """Predict the images of a part and write its files.

        Raises:
            RunError: the file system refused.
        """
        results = list(self._results(self._names(part)))
        job, reader = self.job, self._reader
        # An image without a face has a row of its own in a single table; here it has one in `images`.
        with_faces = [each for each in results if "error" not in each and (job.crops or each["faces"])]
        columns = Columns(reader.classes, job.crops, reader.fields)
        write_results(part_file(job.folder, "faces", part), with_faces, columns)
        _write_images(part_file(job.folder, "images", part), results)

    def _names(self, part: int) -> list[str]:
        from pyarrow.parquet import ParquetFile

        with ParquetFile(self.job.folder / "list.parquet") as listed:
            names = listed.read_row_group(part)["source"].to_pylist()
        return [name.decode("utf-8", "surrogateescape") for name in names]

    def _results(self, names: Sequence[str]) -> Iterator[dict[str, Any]]:
        """As :func:`mien.inference.bulk.predict_files`, under the images' own names."""
        for first in range(0, len(names), _AT_ONCE):
            chunk = names[first : first + _AT_ONCE]
            with local_copies(chunk, self.job.sources, self.job.base) as copies:
                files = [copy for copy in copies if isinstance(copy, Path)]
                predicted = predict_files(self._reader, files, crops=self.job.crops, skip_bad=True)
                for name, copy in zip(chunk, copies, strict=True):
                    if isinstance(copy, DataError):
                        yield {"source": name, "error": str(copy)}
                        continue
                    result = {**next(predicted), "source": name}
                    if "error" in result:
                        result["error"] = str(result["error"]).replace(str(copy), name)
                    yield result


def _write_images(file: Path, results: Sequence[Mapping[str, Any]]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    rows = []
    for result in results:
        row = {"source": plain(result["source"]), "status": "ok", **result.get("image", {})}
        if "error" in result:
            row |= {"status": "error", "faces": 0, "error": plain(result["error"])}
        else:
            row["faces"] = len(result["faces"]) if "faces" in result else 1
        rows.append(row)
    schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in _IMAGE_COLUMNS.items()])
    with whole_file(file) as temporary:
        parquet.write_table(pa.Table.from_pylist(rows, schema), temporary)


def write_parts(job: PartsJob, parts: Sequence[int], workers: int | None = None) -> Iterator[None]:
    """Write parts in worker processes, each on one core; yields as each ends.

    Args:
        job: what to do.
        parts: their numbers; at least one.
        workers: how many at once; None is a worker for each core of the cluster.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: there is no cluster; a worker could not write.
    """
    ray = start_ray()
    from ray.data import ActorPoolStrategy, DataContext

    # It says that it shows no bar, which is mien's, and that it has ended.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    size = min(workers or int(ray.cluster_resources().get("CPU", 1)), len(parts))
    try:
        rows = ray.data.from_items([{"id": part} for part in parts], override_num_blocks=len(parts)).map(
            PartWorker, fn_constructor_args=(job,), compute=ActorPoolStrategy(size=size), num_cpus=1
        )
        for row in rows.iter_rows():
            if row["failed"]:
                raise RunError(row["failed"], code=row["code"])
            yield
    finally:
        ray.shutdown()
