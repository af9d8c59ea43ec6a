"""Read many image files: in several threads, in their order, at bounded memory, as plain answers to keep."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from mien.errors import DataError
from mien.faces.face import Detector
from mien.inference.annotate import Annotator
from mien.inference.classifier import BATCH, Classifier
from mien.inference.image_files import read_square
from mien.inference.in_order import in_order


@dataclass(frozen=True)
class Wishes:
    """How pictures are read.

    Attributes:
        detector: finds the faces; None takes each picture for a face.
        classes: as in :meth:`Classifier.predict`.
        threshold: as in :meth:`Classifier.predict`.
        annotator: writes each picture with its readings.
        skip_bad: an image that cannot be read is an answer with its ``error``, instead of an end.
    """

    detector: Detector | None
    classes: str | None = None
    threshold: float | None = None
    annotator: Annotator | None = None
    skip_bad: bool = False


def read_files(
    classifier: Classifier, files: Iterable[Path], wishes: Wishes, workers: int = 1
) -> Iterator[dict[str, Any]]:
    """The answer about each file, in their order, as ``answers.py`` describes it.

    Raises:
        DataError: an image that cannot be read, without ``skip_bad``.
        RunError: an annotated picture cannot be written.
    """
    stream = iter(files)
    # Faces that are cut out already are read fastest many at a time; of photos one alone is work enough.
    at_once = BATCH if wishes.detector is None else 1
    chunks = iter(lambda: list(islice(stream, at_once)), [])
    for answers in in_order(lambda chunk: _read(classifier, chunk, wishes), chunks, workers):
        yield from answers


def _read(classifier: Classifier, files: list[Path], wishes: Wishes) -> list[dict[str, Any]]:
    if wishes.detector is None:
        return _read_crops(classifier, files, wishes)
    return [_read_photo(classifier, file, wishes) for file in files]


def _read_photo(classifier: Classifier, file: Path, wishes: Wishes) -> dict[str, Any]:
    photos = classifier.photos([file], classes=wishes.classes, threshold=wishes.threshold, detector=wishes.detector)
    try:
        photo = next(photos)
        if wishes.annotator is not None:
            wishes.annotator.write(photo.source, photo.rgb, photo.readings)
    except (DataError, MemoryError) as error:
        return _bad(file, error, wishes)
    return photo.to_dict()


def _read_crops(classifier: Classifier, files: list[Path], wishes: Wishes) -> list[dict[str, Any]]:
    squares, bad = {}, {}
    for file in files:
        try:
            squares[file] = read_square(file, classifier.manifest.input.size_px)
        except (DataError, MemoryError) as error:
            bad[file] = _bad(file, error, wishes)
    readings = classifier.stream(squares.values(), classes=wishes.classes, threshold=wishes.threshold)
    read = {file: replace(reading, source=str(file)).to_dict() for file, reading in zip(squares, readings, strict=True)}
    return [bad[file] if file in bad else read[file] for file in files]


def _bad(file: Path, error: DataError | MemoryError, wishes: Wishes) -> dict[str, Any]:
    if isinstance(error, MemoryError):
        error = DataError(f"{file} takes more memory than was free. Make it smaller, or take fewer --workers.")
    if not wishes.skip_bad:
        raise DataError(f"{error} (--skip-bad leaves such pictures out)")
    return {"source": str(file), "error": str(error)}
