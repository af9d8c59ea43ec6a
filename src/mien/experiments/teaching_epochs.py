"""Teachers are asked about whole epochs as a student will be shown them: the same faces turned, moved, mixed alike."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.faceset import FaceSet
from mien.errors import DataError, RunError
from mien.inference.classifier import Classifier
from mien.labels import parse_scheme
from mien.progress import track
from mien.recipe import Recipe
from mien.training.batches import count_shown, count_steps
from mien.training.epoch_answers import (
    EpochAnswers,
    check_can_be_kept,
    read_epoch_answers,
    shown_inputs,
    what_is_shown,
    write_epoch_answers,
)
from mien.training.state import file_digest


@dataclass(frozen=True)
class Taught:
    """A file of answers about epochs: whose, of how many epochs (``new`` of them asked now), of how many faces each."""

    file: str
    models: tuple[str, ...]
    epochs: int
    new: int
    faces: int
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def words(self) -> str:
        """For a person."""
        found = "" if self.new == self.epochs else f" ({self.epochs - self.new} stood there)"
        return (
            f"{self.file}: {self.epochs} epochs{found} of {self.faces:,} faces each by {', '.join(self.models)}, "
            f"{self.bytes / 1e6:.1f} MB"
        )


def write_answers_about_epochs(
    file: Path, teachers: Sequence[tuple[Path, Classifier]], recipe: Recipe, faces: FaceSet, epochs: int
) -> Taught:
    """Show teachers what a student's first epochs will show, and write the mean of what they say.

    The file is written after every epoch; where it holds some of these epochs already, the rest are added.

    Args:
        file: where to; whole or not at all.
        teachers: each model's file and its classifier.
        recipe: the student's; its seed is that of the epochs.
        faces: all of the data, at the recipe's size.
        epochs: how many the file is to hold.

    Raises:
        DataError: a teacher with another input or other classes than the recipe's, no train split, a recipe that draws
            its faces anew, or a file of other answers where these are to go.
        RunError: the file system refused.
    """
    check_teachers(teachers, recipe)
    shown = faces.of_split("train").with_scheme(parse_scheme(recipe.classes))
    for path, classifier in teachers:
        _check_classes(path, classifier, shown.classes)
    first_batch = next(shown_inputs(recipe, shown, 1)).mean(axis=(1, 2, 3))
    per_epoch = count_shown(len(shown), recipe.batch_size)
    answers = EpochAnswers(
        probabilities=np.empty((0, per_epoch, len(shown.classes)), dtype=np.float16),
        classes=shown.classes,
        seed=recipe.seed,
        shown=what_is_shown(recipe),
        data_fingerprint=shown.fingerprint,
        teachers=tuple(sorted(file_digest(path) for path, _ in teachers)),
        first_batch=first_batch,
    )
    if file.exists():
        found = read_epoch_answers(file)
        if found is None or not found.same_but_for_length(answers):
            raise DataError(f"{file} exists, and is not what these teachers say of these epochs; choose another --out.")
        if not found.begins_with(first_batch) or found.probabilities.shape[1] != per_epoch:
            raise DataError(
                f"{file} was begun where epochs come out otherwise, by another torch. Go on there, or choose another "
                f"--out."
            )
        answers = found
    make_room(file)
    before = len(answers.probabilities)
    for epoch in range(before + 1, epochs + 1):
        batches = track(
            shown_inputs(recipe, shown, epoch),
            total=count_steps(len(shown), recipe.batch_size),
            what=f"epoch {epoch} of {epochs}",
            unit="batches",
        )
        said = [_mean_answer(teachers, inputs, shown.classes) for inputs in batches]
        answers = answers.with_epoch(np.concatenate(said))
        write_epoch_answers(file, answers)
    held = len(answers.probabilities)
    names = tuple(classifier.manifest.full_name for _, classifier in teachers)
    return Taught(str(file), names, held, held - before, per_epoch, file.stat().st_size)


def check_teachers(teachers: Sequence[tuple[Path, Classifier]], recipe: Recipe) -> None:
    """Refuse what can be refused before any data is read.

    Raises:
        DataError: a recipe whose epochs are its own alone, or a teacher with another input.
    """
    check_can_be_kept(recipe)
    for path, classifier in teachers:
        spec, wanted = classifier.manifest.input, recipe.input
        if spec != wanted:
            raise DataError(
                f"Teacher and student are shown the same picture, but {path} sees {spec.crop_px} px of {spec.size_px}, "
                f"mean {spec.mean:g}, std {spec.std:g}, and the recipe {wanted.crop_px} px of {wanted.size_px}, mean "
                f"{wanted.mean:g}, std {wanted.std:g}. Give both the same [input], or leave out --recipe."
            )


def make_room(file: Path) -> None:
    """Make the folder of a file that is written often, without what a killed command left half-written.

    Raises:
        RunError: the file system refused.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{file} cannot be written: {error.strerror or error}. Choose another --out.") from None
    for part in file.parent.glob(f".{glob.escape(file.name)}.*.part"):
        part.unlink(missing_ok=True)


def _check_classes(path: Path, classifier: Classifier, classes: tuple[str, ...]) -> None:
    if set(classifier.classes) != set(classes):
        raise DataError(
            f"The teacher {path} knows the classes {', '.join(classifier.classes)}; the student is to learn "
            f"{', '.join(classes)}. Both need the same."
        )


def _mean_answer(
    teachers: Sequence[tuple[Path, Classifier]], inputs: npt.NDArray[np.float32], classes: tuple[str, ...]
) -> npt.NDArray[np.float64]:
    total = np.zeros((len(inputs), len(classes)))
    for _, classifier in teachers:
        total += classifier.probabilities_of_inputs(inputs)[:, [classifier.classes.index(name) for name in classes]]
    return total / len(teachers)
