"""Predict many image files: in several threads, in their order, at bounded memory, as plain dicts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from mien.errors import DataError, without_password
from mien.faces.face import Detector, LimitedDetector
from mien.faces.find import choose
from mien.inference.annotate import Annotator
from mien.inference.find_model import find_model
from mien.inference.image_files import is_address
from mien.inference.onnx_classifier import BATCH
from mien.inference.predictor import Predictor
from mien.version import __version__


@dataclass(frozen=True)
class PredictOptions:
    """How image files are predicted.

    Attributes:
        detector: detects the faces; None if each image is a face crop.
        classes: as in :meth:`Predictor.predict`.
        threshold: as in :meth:`Predictor.predict`.
        annotator: writes a copy of each photo with its predictions.
        skip_bad: an image that cannot be read gives a dict with its ``error`` instead of ending the iteration.
    """

    detector: Detector | None
    classes: str | None = None
    threshold: float | None = None
    annotator: Annotator | None = None
    skip_bad: bool = False


def predict_files(
    predictor: Predictor, files: Iterable[Path], options: PredictOptions, workers: int = 1
) -> Iterator[dict[str, Any]]:
    """The result of each file, in their order, as :mod:`mien.inference.resumable_output` describes it.

    Raises:
        DataError: an image that cannot be read, without ``skip_bad``.
        RunError: an annotated image cannot be written.
    """
    stream = iter(files)
    # Face crops are fastest in batches; a photo alone is work enough.
    chunk_size = BATCH if options.detector is None else 1
    chunks = iter(lambda: list(islice(stream, chunk_size)), [])
    for results in ordered_map(lambda chunk: _predict(predictor, chunk, options), chunks, workers):
        yield from results


def _predict(predictor: Predictor, files: list[Path], options: PredictOptions) -> list[dict[str, Any]]:
    answers: dict[str, dict[str, Any]] = {}

    def bad(source: str, error: DataError) -> None:
        if not options.skip_bad:
            raise DataError(f"{error} Skip such images with --skip-bad.", code=error.code)
        answers[source] = {"source": source, "error": str(error)}

    photos = predictor.stream(
        files,
        crops=options.detector is None,
        classes=options.classes,
        threshold=options.threshold,
        detector=options.detector,
        on_error=bad,
    )
    for photo in photos:
        answers[photo.source] = photo.to_dict()
        if options.annotator is not None and photo.rgb is not None:
            try:
                options.annotator.write(photo.source, photo.rgb, photo.predictions)
            except DataError as error:
                bad(photo.source, error)
    return [answers[str(file)] for file in files]


Item = TypeVar("Item")
Result = TypeVar("Result")


def ordered_map(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """``map(work, items)`` in ``workers`` threads.

    Threads and not processes: decoding, OpenCV and onnxruntime release Python's lock (predicting photos holds it for 3%
    of the time, by ``py-spy record --gil``), and all threads share one model. At most two items a worker are taken
    ahead. An error in ``work`` or ``items`` ends the iteration and cancels the items that have not started.
    """
    if workers == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def settings_of(images: Sequence[str], model: str, predictor: Predictor, options: PredictOptions) -> dict[str, Any]:
    """What decides the answers, as values of JSON; lists are compared as sets. Only with equal ones is work resumed.

    Without ``--skip-bad``: images that could not be read are tried again.
    """
    files = () if options.detector is None else choose().files
    annotator = options.annotator
    absolute = all(is_address(name) or Path(name).is_absolute() for name in images)
    return {
        "mien": __version__,
        "images": sorted({without_password(name) for name in images}),
        # Images are known by their relative names, which depend on the working folder.
        "working folder": None if absolute else str(Path.cwd()),
        "model": _digest(find_model(model)),
        "detector": None if options.detector is None else options.detector.name,
        "detector's files": [_digest(file) for file in files],
        "faces": _limits(options.detector),
        "crops": options.detector is None,
        "output": predictor.output.name,
        "classes": options.classes,
        "threshold": options.threshold,
        "annotate": None if annotator is None else str(annotator.folder.resolve()),
        "annotated below": None if annotator is None else annotator.shared,
    }


def _limits(detector: Detector | None) -> str | None:
    """Text, because lists are compared as sets: 20 px and 20 faces would be the same."""
    if not isinstance(detector, LimitedDetector):
        return None
    return f"min score {detector.min_score}, min size {detector.min_size_px}, max faces {detector.max_faces}"


def _digest(path: Path) -> str:
    return f"sha256:{sha256(path.read_bytes()).hexdigest()[:16]}"
