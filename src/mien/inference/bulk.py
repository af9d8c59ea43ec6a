"""Predict many image files: in several threads, in their order, at bounded memory, as plain dicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mien.base.errors import DataError, arg, without_password
from mien.base.files import file_sha256
from mien.base.processes import ordered_map
from mien.inference.annotate import Annotator
from mien.inference.face_reader import FaceReader
from mien.inference.find_model import find_model
from mien.inference.image_files import is_address
from mien.inference.onnx_classifier import BATCH
from mien.inference.predictor import read_images
from mien.version import __version__


def predict_files(
    reader: FaceReader,
    files: Iterable[Path],
    *,
    crops: bool = False,
    annotator: Annotator | None = None,
    skip_bad: bool = False,
    workers: int = 1,
) -> Iterator[dict[str, Any]]:
    """The result of each file, in their order, as :mod:`mien.inference.resumable_output` describes it.

    Args:
        reader: detects and classifies the faces.
        files: the images.
        crops: each is a face crop.
        annotator: writes a copy of each photo with its predictions.
        skip_bad: an image that cannot be read gives a dict with its ``error`` instead of ending the iteration.
        workers: threads.

    Raises:
        DataError: an image that cannot be read, without ``skip_bad``.
        RunError: an annotated image cannot be written.
    """

    def predict(chunk: list[Path]) -> list[dict[str, Any]]:
        answers: dict[str, dict[str, Any]] = {}

        def bad(source: str, error: DataError) -> None:
            if not skip_bad:
                raise DataError(f"{error.raw} Skip such images with {arg('skip_bad', True)}.", code=error.code)
            answers[source] = {"source": source, "error": str(error)}

        for photo in read_images(reader, chunk, crops=crops, on_error=bad):
            answers[photo.source] = photo.to_dict()
            if annotator is not None and photo.rgb is not None:
                try:
                    annotator.write(photo.source, photo.rgb, photo.predictions)
                except DataError as error:
                    bad(photo.source, error)
        return [answers[str(file)] for file in chunk]

    stream = iter(files)
    # Face crops are fastest in batches; a photo alone is work enough.
    chunks = iter(lambda: list(islice(stream, BATCH if crops else 1)), [])
    for results in ordered_map(predict, chunks, workers):
        yield from results


def settings_of(
    images: Sequence[str], model: str, reader: FaceReader, *, crops: bool, annotator: Annotator | None = None
) -> dict[str, Any]:
    """What decides the answers, as values of JSON; lists are compared as sets. Only with equal ones is work resumed.

    Without ``--skip-bad``: images that could not be read are tried again.
    """
    absolute = all(is_address(name) or Path(name).is_absolute() for name in images)
    return {
        "mien": __version__,
        "images": sorted({without_password(name) for name in images}),
        # Images are known by their relative names, which depend on the working folder.
        "working folder": None if absolute else str(Path.cwd()),
        "model": f"sha256:{file_sha256(find_model(model))[:16]}",
        "detector": None if crops else reader.detector.name,
        # Text, because lists are compared as sets: 20 px and 20 faces would be the same.
        "faces": None if crops else getattr(reader.detector, "limits", None),
        "crops": crops,
        "output": reader.classifier.output.name,
        "classes": reader.given_classes,
        "threshold": reader.threshold,
        "annotate": None if annotator is None else str(annotator.folder.resolve()),
        "annotated below": None if annotator is None else annotator.shared,
    }
