"""Soft labels: teachers predict the train split once; students are trained on the files of their predictions."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import DataError, RunError
from mien.evaluation.predictions import read_predictions, write_predictions
from mien.inference.find_model import find_run, find_run_of_model, find_trained, is_shipped
from mien.inference.tta import tta_description
from mien.pipeline.ensemble import Member, predict_ensemble


@dataclass(frozen=True)
class TeacherPredictions:
    """A file of soft labels.

    Attributes:
        file: its path.
        models: full names of the teachers.
        views: views per face (test-time augmentation).
        faces: number of train faces.
        bytes: size of the file.
        train_accuracy: fraction of the faces whose label is the predicted class, 0..1.
    """

    file: str
    models: tuple[str, ...]
    views: int
    faces: int
    bytes: int
    train_accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def words(self) -> str:
        """For a person."""
        return (
            f"{self.file}: {self.faces:,} faces in {self.views} view(s) by {', '.join(self.models)}, "
            f"{self.bytes / 1e3:,.0f} kB; accuracy on these train faces: {self.train_accuracy:.1%}"
        )


def soft_labels_path(model: str, out: Path | None) -> Path:
    """The file for the soft labels of a model: ``out``, or else one in its run folder.

    Raises:
        RunError: without ``out``, the model is not in a run folder of the user's; or ``out`` is not a .npz file.
    """
    if out is not None:
        if out.suffix != ".npz" or out.is_dir():
            raise RunError(f"--out must name a .npz file; found {out}.", code="soft-labels-out")
        return out
    run = find_run_of_model(model)
    if run is None or is_shipped(model):
        raise RunError(
            f"{model} is not one of your run folders. Name a .npz file for its soft labels with --out.",
            code="soft-labels-no-run",
        )
    return run.predictions("train")


def check_same_data(file: Path, member: Member, views: int) -> None:
    """Refuse to replace soft labels of other data or views, which a student may already use.

    Raises:
        RunError: the file exists and is of other data or views.
        DataError: the file exists and is not a predictions file.
    """
    if not file.is_file():
        return
    existing, faces = read_predictions(file), member[1]
    if (existing.note, existing.data_fingerprint) != (
        tta_description(views),
        faces.fingerprint_for_predictions("train"),
    ):
        raise RunError(
            f"{file} was made from other data or with another --tta. Remove it, or name another file with --out.",
            code="soft-labels-other-data",
        )


def write_soft_labels(file: Path, members: Sequence[Member], views: int) -> TeacherPredictions:
    """Predict the train split with one or more teachers, and write the mean of their probabilities.

    The temperature is 1: a stored temperature was fitted on validation labels, which must not influence a student.

    Args:
        file: where to; whole or not at all.
        members: the teachers, each with the data at its input size.
        views: views per face (test-time augmentation).

    Raises:
        DataError: as :func:`mien.pipeline.ensemble.predict_ensemble`.
        RunError: the file system refused.
    """
    predictions = predict_ensemble(members, "train", views, temperature=1.0)
    write_predictions(file, predictions, np.float16)
    accuracy = float((predictions.probabilities.argmax(axis=1) == predictions.labels).mean())
    names = tuple(classifier.manifest.full_name for classifier, _ in members)
    return TeacherPredictions(str(file), names, views, len(predictions), file.stat().st_size, accuracy)


def find_soft_labels(names: Sequence[str], live: bool) -> list[Path]:
    """The files of soft labels that a user names, or with ``live`` the run folders of the teachers.

    Raises:
        DataError: no such file, a run without soft labels, or a file instead of a run.
        RunError: no such run.
    """
    found = []
    for name in names:
        if name.endswith(".npz"):
            if live:
                raise DataError(
                    f"distill.live needs the networks of teachers; {name} holds soft labels. Name the run itself.",
                    code="soft-labels-live",
                )
            if not Path(name).is_file():
                made = shlex.join(["mien", "soft-labels", "RUN", "--data", "PATH", "--out", name])
                raise DataError(
                    f"There is no file {name}. Make it with: {made} (--recipe: for whole epochs)",
                    code="soft-labels-missing",
                )
            found.append(Path(name))
            continue
        run = find_trained(name) if live else find_run(name)
        run.read_recipe()
        if not live and not run.predictions("train").is_file():
            asked, then = (" --out FILE.npz", "; then --teachers FILE.npz") if is_shipped(name) else ("", "")
            raise DataError(
                f"{name} has no soft labels yet. Make them with: mien soft-labels {name} --data PATH{asked}{then}",
                code="soft-labels-missing",
            )
        found.append(run.path if live else run.predictions("train"))
    return found
