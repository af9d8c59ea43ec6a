"""Distillation targets of whole epochs: teachers predict exactly the augmented batches that a student will see."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.data.dataset import Dataset
from mien.data.votes import check_votes
from mien.errors import DataError, RunError
from mien.inference.predictor import Predictor
from mien.labels import parse_scheme
from mien.manifest import ModelOutput, answering
from mien.progress import track
from mien.recipe import Recipe
from mien.training.batches import count_shown, count_steps
from mien.training.state import file_digest
from mien.training.stored_targets import (
    StoredTargets,
    check_can_be_kept,
    read_stored_targets,
    shown_inputs,
    what_is_shown,
    write_stored_targets,
)


@dataclass(frozen=True)
class EpochTargetsSummary:
    """A file of distillation targets of epochs.

    Attributes:
        file: its path.
        models: full names of the teachers.
        epochs: number of epochs in the file.
        new: number of epochs that were added now.
        faces: faces per epoch.
        bytes: size of the file.
        vote_teachers: number of the teachers that predicted votes too; None where the student learns none from them.
    """

    file: str
    models: tuple[str, ...]
    epochs: int
    new: int
    faces: int
    bytes: int
    vote_teachers: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def words(self) -> str:
        """For a person."""
        found = "" if self.new == self.epochs else f" ({self.epochs - self.new} of them existed)"
        votes = "" if self.vote_teachers is None else f" Teachers that predict the votes: {self.vote_teachers}."
        return (
            f"{self.file}: {self.epochs} {'epoch' if self.epochs == 1 else 'epochs'}{found} of {self.faces:,} faces "
            f"each, {self.bytes / 1e6:.1f} MB. Teachers: {', '.join(self.models)}.{votes}"
        )


def write_epoch_targets(
    file: Path, teachers: Sequence[tuple[Path, Predictor]], recipe: Recipe, faces: Dataset, epochs: int
) -> EpochTargetsSummary:
    """Predict the batches of a student's first epochs, and write the mean probabilities of the teachers.

    The file is written after every epoch. When it holds some of these epochs already, the others are added. Where the
    recipe has an output that learns from votes, the teachers that have one for the same choices predict it too.

    Args:
        file: where to; whole or not at all.
        teachers: each model's file and its predictor.
        recipe: the student's; its seed determines the epochs.
        faces: the data at the recipe's size.
        epochs: number of epochs in the file at the end.

    Raises:
        DataError: a teacher with another input or other classes than the recipe's, no train split, a recipe whose
            epochs cannot be repeated, votes that the recipe needs and the data lacks, or a file of other targets.
        RunError: the file system refused.
    """
    check_teachers(teachers, recipe)
    shown = faces.of_split("train").with_scheme(parse_scheme(recipe.classes))
    for path, classifier in teachers:
        _check_classes(path, classifier, shown.classes)
    if recipe.learns_votes:
        check_votes(shown)
    first_batch = next(shown_inputs(recipe, shown, 1)).mean(axis=(1, 2, 3))
    per_epoch = count_shown(len(shown), recipe.batch_size)
    vote_classes = _vote_classes(teachers, recipe, shown)
    stored = StoredTargets(
        probabilities=np.empty((0, per_epoch, len(shown.classes)), dtype=np.float16),
        classes=shown.classes,
        seed=recipe.seed,
        shown=what_is_shown(recipe),
        data_fingerprint=shown.fingerprint,
        teachers=tuple(sorted(file_digest(path) for path, _ in teachers)),
        first_batch=first_batch,
        votes=np.empty((0, per_epoch, len(vote_classes)), dtype=np.float16) if vote_classes else None,
        vote_classes=vote_classes,
    )
    if file.exists():
        found = read_stored_targets(file)
        if found is None:
            raise DataError(
                f"{file} exists, and is another file or damaged. Remove it, or choose another --out.",
                code="epoch-targets-other",
            )
        if not found.same_but_for_length(stored):
            raise DataError(
                f"{file} exists and holds targets of other teachers, epochs or votes; choose another --out.",
                code="epoch-targets-other",
            )
        if not found.begins_with(first_batch) or found.probabilities.shape[1] != per_epoch:
            raise DataError(
                f"{file} was started with another torch, which draws other epochs. Continue with that one, or choose "
                f"another --out.",
                code="epoch-targets-torch",
            )
        stored = found
    make_room(file)
    before = len(stored.probabilities)
    for epoch in range(before + 1, epochs + 1):
        batches = track(
            shown_inputs(recipe, shown, epoch),
            total=count_steps(len(shown), recipe.batch_size),
            what=f"epoch {epoch} of {epochs}",
            unit="batches",
        )
        predicted = [_mean_predictions(teachers, inputs, shown.classes, vote_classes) for inputs in batches]
        labels, votes = (np.concatenate(each) for each in zip(*predicted, strict=True))
        stored = stored.with_epoch(labels, votes)
        write_stored_targets(file, stored)
    held = len(stored.probabilities)
    names = tuple(classifier.manifest.full_name for _, classifier in teachers)
    voting = None
    if recipe.learns_distribution:
        voting = sum(_votes_output(classifier, vote_classes) is not None for _, classifier in teachers)
    return EpochTargetsSummary(str(file), names, held, held - before, per_epoch, file.stat().st_size, voting)


def check_teachers(teachers: Sequence[tuple[Path, Predictor]], recipe: Recipe) -> None:
    """Check teachers and recipe before any data is read.

    Raises:
        DataError: a recipe whose epochs cannot be repeated, or a teacher with another input.
    """
    check_can_be_kept(recipe)
    for path, classifier in teachers:
        spec, wanted = classifier.manifest.input, recipe.input
        if spec != wanted:
            raise DataError(
                f"Teacher and student need the same input, but {path} has {spec}, and the recipe {wanted}. Give both "
                f"the same [input], or leave out --recipe.",
                code="teacher-input",
            )


def make_room(file: Path) -> None:
    """Create the folder of a file, and remove half-written files of a killed command.

    Raises:
        RunError: the file system refused.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{file} cannot be written: {error.strerror or error}. Choose another --out.",
            code="file-unwritable",
        ) from None
    for part in file.parent.glob(f".{glob.escape(file.name)}.*.part"):
        part.unlink(missing_ok=True)


def _check_classes(path: Path, classifier: Predictor, classes: tuple[str, ...]) -> None:
    if set(classifier.classes) != set(classes):
        raise DataError(
            f"The teacher {path} has the classes {', '.join(classifier.classes)}, the student "
            f"{', '.join(classes)}. Both need the same classes.",
            code="teacher-classes",
        )


def _vote_classes(teachers: Sequence[tuple[Path, Predictor]], recipe: Recipe, faces: Dataset) -> tuple[str, ...]:
    """The choices of the voters, where the recipe has an output for them and one of the teachers too; else ()."""
    known = any(_votes_output(classifier, faces.vote_classes) is not None for _, classifier in teachers)
    return faces.vote_classes if recipe.learns_distribution and known else ()


def _votes_output(classifier: Predictor, classes: tuple[str, ...]) -> ModelOutput | None:
    """The output that predicts the distribution of votes. One taught by the majority predicts something else."""
    fitting = [each for each in classifier.manifest.all_outputs if set(each.classes) == set(classes)]
    found = [each for each in fitting if each.target in {"votes", "sampled"}]
    return found[answering([each.target for each in found])] if found else None


def _mean_predictions(
    teachers: Sequence[tuple[Path, Predictor]],
    inputs: npt.NDArray[np.float32],
    classes: tuple[str, ...],
    vote_classes: tuple[str, ...],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mean probabilities of the label, (N, C), and those of the votes, (N, V), of teachers that predict them."""
    labels, votes, voting = np.zeros((len(inputs), len(classes))), np.zeros((len(inputs), len(vote_classes))), 0
    for _, classifier in teachers:
        second = _votes_output(classifier, vote_classes)
        found = classifier.outputs_of_inputs(inputs, [classifier.output, *([] if second is None else [second])])
        labels += found[0][:, [classifier.classes.index(name) for name in classes]]
        if second is not None:
            votes += found[1][:, [second.classes.index(name) for name in vote_classes]]
            voting += 1
    return labels / len(teachers), votes / max(voting, 1)
