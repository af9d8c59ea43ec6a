"""Soft labels: teachers' predictions for the train split. They are cached, so that each teacher predicts only once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from mien.base.errors import DataError
from mien.base.files import cache_folder, file_sha256
from mien.base.preprocess import InputSpec
from mien.data.dataset import Dataset
from mien.evaluation.predictions import Teacher, write_predictions
from mien.inference.find_model import find_model
from mien.inference.predictor import Predictor
from mien.pipeline.split_predictions import predict_split


def find_teachers(names: Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Find the files of teachers given by a user: models, or predictions files of the train split.

    Raises DataError, ModelError or RunError if there is no such file, model or run.
    """
    found = []
    for name in names:
        path = Path(name)
        if _holds_predictions(path) and not path.is_file():
            raise DataError(f"There is no file {name}. A model can also be a teacher.", code="soft-labels-missing")
        found.append(path if _holds_predictions(path) else find_model(name))
    return found


def _holds_predictions(file: Path) -> bool:
    return file.suffix == ".npz"


def predict_soft_labels(
    teachers: Sequence[Path], faces: Dataset, read: Callable[[InputSpec], Dataset], views: int
) -> list[Teacher]:
    """Return each teacher with its predictions for the train split, from the cache if possible.

    The temperature is 1: a model's own was fitted on validation labels, which must not influence a student. A resumed
    run repeats only the teacher that was interrupted. Raises as :func:`mien.pipeline.split_predictions.predict_split`.
    """
    return [
        Teacher(each, each if _holds_predictions(each) else _predict(each, faces, read, views)) for each in teachers
    ]


def _predict(teacher: Path, faces: Dataset, read: Callable[[InputSpec], Dataset], views: int) -> Path:
    votes = faces.vote_classes if faces.votes is not None else ()
    key = [file_sha256(teacher), faces.fingerprint_for_predictions("train"), votes, views]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:32]
    file = cache_folder("soft-labels") / f"{name}.npz"
    if not file.is_file():
        predictor = Predictor(teacher).for_labels()
        same_size = read(predictor.manifest.input)
        predictions = predict_split(predictor, same_size, "train", views, temperature=1.0)
        write_predictions(file, predictions, np.float16)
    return file
