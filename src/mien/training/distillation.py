"""Distillation: a student learns from teachers' predictions and from labels (Hinton, Vinyals & Dean 2015)."""

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
"""Smallest fraction of equal labels for predictions on the same data. For other data about a quarter would be equal by
chance; a review of labels changes fewer."""


@dataclass(frozen=True)
class Distillation:
    """Distillation targets and settings.

    Attributes:
        alpha: weight of the distillation loss, above 0 and at most 1; the loss on labels and votes has 1 - alpha.
        temperature: temperature T, greater than 0.
        predictions: teachers' predictions for each face and each output of the student, float32 (N, classes). Those for
            the label's output are softened by T: p^(1/T), rescaled. None for an output that no teacher has.
    """

    alpha: float
    temperature: float
    predictions: Sequence[Tensor | None]

    def targets(self, batch: Batch) -> list[Tensor | None]:
        """Return the targets of a batch, mixed like its faces."""
        return [None if each is None else batch.mixed(each) for each in self.predictions]

    def loss(self, hard: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute ``alpha * T^2 * KL(targets || softmax(logits / T)) + (1 - alpha) * hard``.

        T^2 keeps the size of the gradient independent of T (section 2 of the paper).
        """
        soft = functional.kl_div((logits / self.temperature).log_softmax(1), targets, reduction="batchmean")
        return self.alpha * self.temperature**2 * soft + (1 - self.alpha) * hard

    def mixed_votes(self, predicted: Tensor, votes: Tensor) -> Tensor:
        """Mix teachers' predictions of votes with weight ``alpha`` and the votes themselves, float32 (B, V).

        Where an image has no votes, only the teachers count, so each row sums to 1.
        """
        missing = 1 - votes.sum(1, keepdim=True)
        return (self.alpha + (1 - self.alpha) * missing) * predicted + (1 - self.alpha) * votes


def make_distillation(
    recipe: Recipe, outputs: Sequence[Output], teachers: Sequence[Teacher], faces: Dataset, device: torch.device
) -> Distillation:
    """Compute distillation targets from teachers.

    A teacher provides targets for the label's output, and for each other output that it has by the same name.

    Args:
        recipe: recipe of the student.
        outputs: outputs of the student.
        teachers: teachers with their predictions for the train split.
        faces: faces of an epoch, with the student's classes, in its order. Repeated or relabelled faces use the soft
            label of their row.
        device: device of the student.

    Raises:
        DataError: soft labels for other classes or data, or a face without a soft label.
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
                # The scheme may drop samples, and also drops votes, whose classes it cannot merge.
                kept = np.isin(each.sample_ids, shown.sample_ids)
                taught.append((path, shown))
                values.append(votes.probabilities[kept][:, _columns(str(path), votes.classes, output.classes)])
        stored.append(_mean_by_row(taught, values, faces) if taught else None)
    tensors = [None if each is None else torch.from_numpy(each.astype(np.float32)).to(device) for each in stored]
    return Distillation(alpha, temperature, tensors)


def soft_labels(
    predictions: Sequence[tuple[Path, Predictions]], faces: Dataset, temperature: float
) -> npt.NDArray[np.float64]:
    """Average the softened predictions for each face over the teachers that have its row. -> float64 (N, C).

    So teachers that all know every row are averaged, and out-of-fold predictions complement each other.

    Raises:
        DataError: other classes than the faces', other data, or a face without predictions.
    """
    softened = []
    for path, each in predictions:
        columns = _columns(str(path), each.classes, faces.classes)
        softened.append(apply_temperature(each.probabilities, temperature)[:, columns])
    return _mean_by_row(predictions, softened, faces)


def _mean_by_row(
    predictions: Sequence[tuple[Path, Predictions]], values: Sequence[npt.NDArray[np.float64]], faces: Dataset
) -> npt.NDArray[np.float64]:
    """Average values for each face over the teachers that have its row."""
    total = np.zeros((len(faces), values[0].shape[1]))
    known = np.zeros(len(faces), dtype=np.int64)
    for (path, teacher), own in zip(predictions, values, strict=True):
        order = np.argsort(teacher.sample_ids)
        place = order[np.searchsorted(teacher.sample_ids, faces.rows, sorter=order).clip(max=len(teacher) - 1)]
        has = teacher.sample_ids[place] == faces.rows
        named = np.array(teacher.classes)[teacher.labels[place]] == np.array(faces.classes)[faces.labels]
        if has.any() and named[has].mean() < LEAST_AGREEMENT:
            raise DataError(
                f"{path} is for other data: only {named[has].mean():.0%} of its labels are equal. "
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
    """Apply the recipe's label scheme to a teacher's predictions, unless they have the student's classes."""
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
