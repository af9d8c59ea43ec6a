"""Distillation: a student learns from the predictions of teachers and from the labels (Hinton, Vinyals & Dean 2015)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from mien.data.dataset import Dataset
from mien.errors import DataError, RecipeError
from mien.evaluation.predictions import Predictions, read_predictions
from mien.evaluation.temperature import apply_temperature
from mien.labels import parse_scheme
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.batches import Batch
from mien.training.stored_targets import StoredTargets, check_fit, read_stored_targets

LEAST_AGREEMENT = 0.9
"""Below this share of equal labels, rows of the same numbers are other faces: of strange data about a quarter would be
equal, and a review changes fewer labels."""


@dataclass(frozen=True)
class Distillation:
    """Teacher predictions for the training faces, softened by a temperature T: p^(1/T), rescaled.

    Attributes:
        alpha: weight of the teachers in the loss, above 0 and up to 1; the rest is that of the hard labels.
        temperature: T, at least greater than 0.
        targets: softened predictions about one batch, float32 (B, C).
        epochs: where the predictions are about certain epochs, those; a run then shows them and no others.
        votes: predictions of the votes on the faces of one batch, float32 (B, V), where teachers made some. They are
            distributions already, and are not softened.
    """

    alpha: float
    temperature: float
    targets: Callable[[Batch], Tensor]
    epochs: StoredTargets | None = None
    votes: Callable[[Batch], Tensor] | None = None

    def loss(self, hard: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """``alpha * T^2 * KL(targets || softmax(logits / T)) + (1 - alpha) * hard``.

        T^2 keeps the gradient's size when T changes (the paper's section 2).
        """
        soft = functional.kl_div((logits / self.temperature).log_softmax(1), targets, reduction="batchmean")
        return self.alpha * self.temperature**2 * soft + (1 - self.alpha) * hard

    def mixed_votes(self, batch: Batch, votes: Tensor) -> Tensor:
        """``alpha`` of what the teachers predict of the votes and the rest of the votes themselves, float32 (B, V).

        The part of an image that has no votes is the teachers' alone: each row sums to 1.
        """
        if self.votes is None:
            return votes
        missing = 1 - votes.sum(1, keepdim=True)
        return (self.alpha + (1 - self.alpha) * missing) * self.votes(batch) + (1 - self.alpha) * votes


def stored_targets(predictions: Tensor) -> Callable[[Batch], Tensor]:
    """Of softened predictions about each face, float32 (N, C). Mixed where faces are, as labels are."""

    def targets(batch: Batch) -> Tensor:
        own = predictions[batch.chosen]
        return own if batch.partner is None else batch.lam * own + (1 - batch.lam) * predictions[batch.partner]

    return targets


def live_targets(teachers: Sequence[nn.Module], temperature: float) -> Callable[[Batch], Tensor]:
    """Of networks in evaluation mode, whose classes are the student's, that are asked about every batch."""

    def targets(batch: Batch) -> Tensor:
        with torch.no_grad():
            predictions = [(teacher(batch.images).float() / temperature).softmax(1) for teacher in teachers]
        return torch.stack(predictions).mean(0)

    return targets


def epoch_targets(predictions: Tensor) -> Callable[[Batch], Tensor]:
    """Of softened predictions about whole epochs, float32 (E, N, C), in the order in which these show their faces."""

    def targets(batch: Batch) -> Tensor:
        return predictions[batch.epoch - 1, batch.first : batch.first + len(batch.chosen)]

    return targets


def make_distillation(recipe: Recipe, teachers: Sequence[Path], faces: Dataset, fabric: Fabric) -> Distillation:
    """What a recipe makes of teachers.

    Args:
        recipe: the student's.
        teachers: predictions files of the train split, or one file of predictions about epochs; with ``distill.live``
            run folders.
        faces: what an epoch shows, under the student's classes, in its order. A face that balancing repeated or changed
            has the soft label of its row.
        fabric: where networks are asked.

    Raises:
        DataError: soft labels of other classes or other data, or a face without one; predictions about other epochs.
        RecipeError: a live teacher with another input than the student's, or whose student begins with smaller faces.
        RunError: a live teacher without a finished epoch.
    """
    settings = recipe.distill
    if settings.live:
        networks = tuple(_ask(RunFolder(path), recipe, faces.classes, fabric) for path in teachers)
        return Distillation(settings.alpha, settings.temperature, live_targets(networks, settings.temperature))
    epochs = [(path, read_stored_targets(path)) for path in teachers]
    for path, found in epochs:
        if found is None:
            continue
        if len(teachers) > 1:
            raise DataError(
                f"{path} holds soft labels for whole epochs, averaged over its teachers; give no other teacher.",
                code="teacher-file-not-alone",
            )
        columns = _columns(str(path), found.classes, faces.classes)
        check_fit(found, str(path), recipe, faces, fabric.device)
        flat = found.probabilities.reshape(-1, len(columns))[:, columns].astype(np.float64)
        softened = apply_temperature(flat, settings.temperature).astype(np.float32).reshape(found.probabilities.shape)
        on_device = fabric.to_device(torch.from_numpy(softened))
        votes = None
        if found.votes is not None and recipe.learns_distribution:
            columns = _columns(str(path), found.vote_classes, faces.vote_classes, "choices of the voters")
            votes = epoch_targets(fabric.to_device(torch.from_numpy(found.votes[:, :, columns].astype(np.float32))))
        return Distillation(settings.alpha, settings.temperature, epoch_targets(on_device), found, votes)
    predictions = [(path, _under_scheme(read_predictions(path), recipe, faces.classes)) for path in teachers]
    stored = torch.from_numpy(soft_labels(predictions, faces, settings.temperature).astype(np.float32))
    return Distillation(settings.alpha, settings.temperature, stored_targets(fabric.to_device(stored)))


def soft_labels(
    predictions: Sequence[tuple[Path, Predictions]], faces: Dataset, temperature: float
) -> npt.NDArray[np.float64]:
    """The mean softened answer about each face of those teachers that know its row. -> float64 (N, C).

    So several teachers that each know all rows are averaged, and those of out-of-fold predictions complete each other.

    Raises:
        DataError: other classes than the faces', other data, or a face that no teacher knows.
    """
    total = np.zeros((len(faces), len(faces.classes)))
    known = np.zeros(len(faces), dtype=np.int64)
    for path, teacher in predictions:
        columns = _columns(str(path), teacher.classes, faces.classes)
        softened = apply_temperature(teacher.probabilities, temperature)[:, columns]
        order = np.argsort(teacher.sample_ids)
        place = order[np.searchsorted(teacher.sample_ids, faces.rows, sorter=order).clip(max=len(teacher) - 1)]
        has = teacher.sample_ids[place] == faces.rows
        named = np.array(teacher.classes)[teacher.labels[place]] == np.array(faces.classes)[faces.labels]
        if has.any() and named[has].mean() < LEAST_AGREEMENT:
            raise DataError(
                f"{path} is of other data: only {named[has].mean():.0%} of its labels are the same as here. "
                f"Make it again with: mien soft-labels RUN --data PATH",
                code="teacher-other-data",
            )
        total[has] += softened[place[has]]
        known += has
    if not known.all():
        raise DataError(
            f"{', '.join(str(path) for path, _ in predictions)}: no prediction for {(known == 0).sum():,} of "
            f"{len(faces):,} faces of the train split, such as row {faces.rows[known == 0][0]}. Make the file "
            f"again with: mien soft-labels RUN --data PATH",
            code="teacher-incomplete",
        )
    return np.asarray(total / known[:, None])


def _under_scheme(predictions: Predictions, recipe: Recipe, classes: tuple[str, ...]) -> Predictions:
    """A teacher of all classes may teach a student of fewer."""
    if set(predictions.classes) == set(classes):
        return predictions
    return predictions.with_scheme(parse_scheme(recipe.classes))


def _columns(name: str, known: tuple[str, ...], wanted: tuple[str, ...], what: str = "classes") -> list[int]:
    if set(known) != set(wanted):
        raise DataError(
            f"The teacher {name} has the {what} {', '.join(known)}; the student has {', '.join(wanted)}. "
            f"They must be the same.",
            code="teacher-classes",
        )
    return [known.index(each) for each in wanted]


class _Reordered(nn.Module):
    """A network whose logits stand in another order."""

    def __init__(self, network: nn.Module, columns: list[int]) -> None:
        super().__init__()
        self.network = network
        self.columns = columns

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images)[:, self.columns]
        return logits


def _ask(run: RunFolder, recipe: Recipe, classes: tuple[str, ...], fabric: Fabric) -> nn.Module:
    network, facts = checkpoint.load_best(run)
    spec = run.read_recipe().input
    if spec != recipe.input:
        raise RecipeError(
            f"distill.live shows teacher and student the same images, but {run.path} takes {spec}, unlike the recipe. "
            f"Give both the same [input], or use stored predictions: mien soft-labels {run.path} --data PATH",
            code="teacher-input",
        )
    if recipe.progressive_resizing:
        raise RecipeError(
            "distill.live cannot be used with progressive_resizing: the faces would be too small for a teacher.",
            code="teacher-live-sizes",
        )
    ordered = _Reordered(network, _columns(str(run.path), tuple(facts["classes"]), classes))
    for parameter in ordered.parameters():
        parameter.requires_grad_(False)
    module: nn.Module = fabric.setup_module(ordered.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    return module.eval()
