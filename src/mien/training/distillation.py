"""Distillation: a student learns from the predictions of teachers and from the labels (Hinton, Vinyals & Dean 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mien.base.errors import DataError
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe
from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions, Teacher, read_predictions
from mien.evaluation.temperature import apply_temperature
from mien.training.batches import Batch
from mien.training.losses import Output

LEAST_AGREEMENT = 0.9
"""Below this share of equal labels, rows of the same numbers are other faces: of strange data about a quarter would be
equal, and a review changes fewer labels."""


@dataclass(frozen=True)
class Distillation:
    """How a student learns from teachers.

    Attributes:
        alpha: weight of the teachers, above 0 and up to 1; the rest is that of labels and votes.
        temperature: T, above 0.
        predictions: what teachers predict of each face, for each output of the student float32 (N, classes); for that
            of the label softened by T: p^(1/T), rescaled. None for an output that no teacher has.
    """

    alpha: float
    temperature: float
    predictions: Sequence[Tensor | None]

    def targets(self, batch: Batch) -> list[Tensor | None]:
        """The predictions of a batch, mixed where its faces are, as labels are."""
        return [None if each is None else batch.mixed(each) for each in self.predictions]

    def loss(self, hard: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """``alpha * T^2 * KL(targets || softmax(logits / T)) + (1 - alpha) * hard``.

        T^2 keeps the gradient's size when T changes (the paper's section 2).
        """
        soft = functional.kl_div((logits / self.temperature).log_softmax(1), targets, reduction="batchmean")
        return self.alpha * self.temperature**2 * soft + (1 - self.alpha) * hard

    def mixed_votes(self, predicted: Tensor, votes: Tensor) -> Tensor:
        """``alpha`` of what teachers predict of the votes and the rest of the votes themselves, float32 (B, V).

        The part of an image that has no votes is the teachers' alone: each row sums to 1.
        """
        missing = 1 - votes.sum(1, keepdim=True)
        return (self.alpha + (1 - self.alpha) * missing) * predicted + (1 - self.alpha) * votes


def make_distillation(
    recipe: Recipe, outputs: Sequence[Output], teachers: Sequence[Teacher], faces: Dataset, device: torch.device
) -> Distillation:
    """Targets that a recipe makes of teachers.

    A teacher teaches the label, and each other output that it has by that name.

    Args:
        recipe: the student's.
        outputs: the student's.
        teachers: with their predictions of the train split.
        faces: what an epoch shows, under the student's classes, in its order. A face that balancing repeated or changed
            has the soft label of its row.
        device: of the student.

    Raises:
        DataError: soft labels of other classes or other data, or a face without one.
    """
    alpha, temperature = recipe.distill.alpha, recipe.distill.temperature
    known = [(each.predictions, read_predictions(each.predictions)) for each in teachers]
    labels = [(path, _under_scheme(each, recipe, faces.classes)) for path, each in known]
    stored: list[npt.NDArray[np.float64] | None] = [soft_labels(labels, faces, temperature)]
    for output in outputs[1:]:
        taught, values = [], []
        for (path, each), (_, shown) in zip(known, labels, strict=True):
            votes = each.votes
            if votes is not None and votes.output == output.name and votes.probabilities is not None:
                # The scheme may leave out rows, and drops votes, whose classes it does not merge.
                kept = np.isin(each.sample_ids, shown.sample_ids)
                taught.append((path, shown))
                values.append(votes.probabilities[kept][:, _columns(str(path), votes.classes, output.classes)])
        stored.append(_mean_by_row(taught, values, faces) if taught else None)
    tensors = [None if each is None else torch.from_numpy(each.astype(np.float32)).to(device) for each in stored]
    return Distillation(alpha, temperature, tensors)


def soft_labels(
    predictions: Sequence[tuple[Path, Predictions]], faces: Dataset, temperature: float
) -> npt.NDArray[np.float64]:
    """The mean softened prediction for each face of those teachers that know its row. -> float64 (N, C).

    So several teachers that each know all rows are averaged, and those of out-of-fold predictions complete each other.

    Raises:
        DataError: other classes than the faces', other data, or a face that no teacher knows.
    """
    softened = []
    for path, each in predictions:
        columns = _columns(str(path), each.classes, faces.classes)
        softened.append(apply_temperature(each.probabilities, temperature)[:, columns])
    return _mean_by_row(predictions, softened, faces)


def _mean_by_row(
    predictions: Sequence[tuple[Path, Predictions]], values: Sequence[npt.NDArray[np.float64]], faces: Dataset
) -> npt.NDArray[np.float64]:
    """The mean, for each face, of the values of those teachers that know its row."""
    total = np.zeros((len(faces), values[0].shape[1]))
    known = np.zeros(len(faces), dtype=np.int64)
    for (path, teacher), own in zip(predictions, values, strict=True):
        order = np.argsort(teacher.sample_ids)
        place = order[np.searchsorted(teacher.sample_ids, faces.rows, sorter=order).clip(max=len(teacher) - 1)]
        has = teacher.sample_ids[place] == faces.rows
        named = np.array(teacher.classes)[teacher.labels[place]] == np.array(faces.classes)[faces.labels]
        if has.any() and named[has].mean() < LEAST_AGREEMENT:
            raise DataError(
                f"{path} is of other data: only {named[has].mean():.0%} of its labels are the same as here. "
                f"Give the model itself as teacher.",
                code="teacher-other-data",
            )
        total[has] += own[place[has]]
        known += has
    if not known.all():
        raise DataError(
            f"{', '.join(str(path) for path, _ in predictions)}: no prediction for {(known == 0).sum():,} of "
            f"{len(faces):,} faces of the train split, such as row {faces.rows[known == 0][0]}. "
            f"Give the model itself as teacher.",
            code="teacher-incomplete",
        )
    return np.asarray(total / known[:, None])


def _under_scheme(predictions: Predictions, recipe: Recipe, classes: tuple[str, ...]) -> Predictions:
    """A teacher of all classes may teach a student of fewer."""
    if set(predictions.classes) == set(classes):
        return predictions
    return predictions.with_scheme(parse_scheme(recipe.classes))


def _columns(name: str, known: Sequence[str], wanted: Sequence[str]) -> list[int]:
    if set(known) != set(wanted):
        raise DataError(
            f"The teacher {name} has the classes {', '.join(known)}; the student has {', '.join(wanted)}. "
            f"They must be the same.",
            code="teacher-classes",
        )
    return [known.index(each) for each in wanted]
