"""Predict many image files in threads or Ray processes, with bounded memory."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from mien.base.errors import DataError, MienError, RunError
from mien.base.files import file_sha256
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
    """Yield the result of each file in order, as described in :mod:`mien.inference.output_files`.

    With ``skip_bad``, an unreadable image gives a dict with ``error``; otherwise its DataError is raised. ``workers``
    is the number of threads. Raises RunError if an annotated image cannot be written.
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
    """Yield the results of :func:`predict_files` from Ray processes, in any order.

    All machines must see the files and the working folder under the same path. Each of ``workers`` processes, by
    default one per core of the cluster, makes its own reader. All names of files are kept in memory.

    Raises MissingExtraError without Ray, RunError if there is no cluster, or workers died too often.
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
    """Return the settings that determine the results, as JSON values. Work is resumed only if they are equal.

    ``--skip-bad`` is not included, so unreadable images can be retried without it.
    """
    files = [each for each in images if isinstance(each, Path)]
    absolute = all(file.is_absolute() for file in files)
    return {
        "mien": __version__,
        "standard input": next((sha256(each).hexdigest() for each in images if isinstance(each, StandardInput)), None),
        # Relative names of images depend on the working folder.
        "working folder": None if absolute else str(Path.cwd()),
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
