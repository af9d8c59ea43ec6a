"""Distillation: a student learns what teachers say of each face, beside its label (Hinton, Vinyals & Dean 2015)."""

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

from mien.data.faceset import FaceSet
from mien.errors import DataError, RecipeError
from mien.evaluation.scores import Scores, read_scores
from mien.evaluation.temperature import apply_temperature
from mien.labels import parse_scheme
from mien.recipe import Recipe
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.batches import Batch
from mien.training.epoch_answers import EpochAnswers, check_fit, read_epoch_answers

LEAST_AGREEMENT = 0.9
"""Below this share of equal labels, rows of the same numbers are other faces: of strange data about a quarter would be
equal, and whoever reviews labels changes fewer."""


@dataclass(frozen=True)
class Lesson:
    """What teachers say of the faces to learn, softened by a temperature T: p^(1/T), rescaled.

    Attributes:
        share: of the loss; the rest is that of the hard labels.
        temperature: T, at least greater than 0.
        targets: softened answers about one batch, float32 (B, C).
        epochs: where the answers are about certain epochs, those; a run then shows them and no others.
    """

    share: float
    temperature: float
    targets: Callable[[Batch], Tensor]
    epochs: EpochAnswers | None = None

    def loss(self, hard: Tensor, logits: Tensor, targets: Tensor) -> Tensor:
        """``share * T^2 * KL(targets || softmax(logits / T)) + (1 - share) * hard``.

        T^2 keeps the gradient's size when T changes (the paper's section 2).
        """
        soft = functional.kl_div((logits / self.temperature).log_softmax(1), targets, reduction="batchmean")
        return self.share * self.temperature**2 * soft + (1 - self.share) * hard


def stored_targets(answers: Tensor) -> Callable[[Batch], Tensor]:
    """Of softened answers about each face, float32 (N, C). Where faces are mixed, answers are, as labels are."""

    def targets(batch: Batch) -> Tensor:
        own = answers[batch.chosen]
        return own if batch.partner is None else batch.share * own + (1 - batch.share) * own[batch.partner]

    return targets


def live_targets(teachers: Sequence[nn.Module], temperature: float) -> Callable[[Batch], Tensor]:
    """Of networks in evaluation mode, whose classes are the student's, that are asked about every batch."""

    def targets(batch: Batch) -> Tensor:
        with torch.no_grad():
            answers = [(teacher(batch.images).float() / temperature).softmax(1) for teacher in teachers]
        return torch.stack(answers).mean(0)

    return targets


def epoch_targets(answers: Tensor) -> Callable[[Batch], Tensor]:
    """Of softened answers about whole epochs, float32 (E, N, C), in the order in which these show their faces."""

    def targets(batch: Batch) -> Tensor:
        first = batch.index * len(batch.chosen)
        return answers[batch.epoch - 1, first : first + len(batch.chosen)]

    return targets


def make_lesson(recipe: Recipe, teachers: Sequence[Path], faces: FaceSet, fabric: Fabric) -> Lesson:
    """What a recipe makes of teachers.

    Args:
        recipe: the student's.
        teachers: scores files of the train split, or one file of answers about epochs; with ``distill.live`` run
            folders.
        faces: what an epoch shows, under the student's classes, in its order. A face that balancing repeated or changed
            has the soft label of its row.
        fabric: where networks are asked.

    Raises:
        DataError: soft labels of other classes or other data, or a face without one; answers about other epochs.
        RecipeError: a live teacher with another input than the student's, or whose student begins with smaller faces.
        RunError: a live teacher without a finished epoch.
    """
    settings = recipe.distill
    if settings.live:
        networks = tuple(_ask(RunFolder(path), recipe, faces.classes, fabric) for path in teachers)
        return Lesson(settings.share, settings.temperature, live_targets(networks, settings.temperature))
    epochs = [(path, read_epoch_answers(path)) for path in teachers]
    for path, found in epochs:
        if found is None:
            continue
        if len(teachers) > 1:
            raise DataError(f"{path} holds all its teachers' answers about whole epochs; give it alone.")
        columns = _columns(str(path), found.classes, faces.classes)
        check_fit(found, str(path), recipe, faces, fabric.device)
        flat = found.probabilities.reshape(-1, len(columns))[:, columns].astype(np.float64)
        softened = apply_temperature(flat, settings.temperature).astype(np.float32).reshape(found.probabilities.shape)
        on_device = fabric.to_device(torch.from_numpy(softened))
        return Lesson(settings.share, settings.temperature, epoch_targets(on_device), found)
    answers = [(path, _under_scheme(read_scores(path), recipe, faces.classes)) for path in teachers]
    stored = torch.from_numpy(soft_labels(answers, faces, settings.temperature).astype(np.float32))
    return Lesson(settings.share, settings.temperature, stored_targets(fabric.to_device(stored)))


def soft_labels(answers: Sequence[tuple[Path, Scores]], faces: FaceSet, temperature: float) -> npt.NDArray[np.float64]:
    """The mean softened answer about each face of those teachers that know its row. -> float64 (N, C).

    So several teachers that each know all rows are averaged, and those of out-of-fold answers complete each other.

    Raises:
        DataError: other classes than the faces', other data, or a face that no teacher knows.
    """
    total = np.zeros((len(faces), len(faces.classes)))
    known = np.zeros(len(faces), dtype=np.int64)
    for path, scores in answers:
        columns = _columns(str(path), scores.classes, faces.classes)
        softened = apply_temperature(scores.probabilities, temperature)[:, columns]
        order = np.argsort(scores.rows)
        place = order[np.searchsorted(scores.rows, faces.rows, sorter=order).clip(max=len(scores) - 1)]
        has = scores.rows[place] == faces.rows
        named = np.array(scores.classes)[scores.labels[place]] == np.array(faces.classes)[faces.labels]
        if has.any() and named[has].mean() < LEAST_AGREEMENT:
            raise DataError(
                f"{path} is of other data: only {named[has].mean():.0%} of its labels are those of the same rows here. "
                f"Make it again with: mien teach RUN --data PATH"
            )
        total[has] += softened[place[has]]
        known += has
    if not known.all():
        raise DataError(
            f"{', '.join(str(path) for path, _ in answers)}: no answer about {(known == 0).sum():,} of {len(faces):,} "
            f"faces of the train split, such as row {faces.rows[known == 0][0]}. Make the file again with: "
            f"mien teach RUN --data PATH"
        )
    return np.asarray(total / known[:, None])


def _under_scheme(scores: Scores, recipe: Recipe, classes: tuple[str, ...]) -> Scores:
    """A teacher of all classes may teach a student of fewer."""
    return scores if set(scores.classes) == set(classes) else scores.with_scheme(parse_scheme(recipe.classes))


def _columns(name: str, known: tuple[str, ...], wanted: tuple[str, ...]) -> list[int]:
    if set(known) != set(wanted):
        raise DataError(
            f"The teacher {name} knows the classes {', '.join(known)}; the student is to learn {', '.join(wanted)}. "
            f"Both need the same."
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
            f"distill.live shows teacher and student the same picture, but {run.path} sees {spec.crop_px} px of "
            f"{spec.size_px}, mean {spec.mean:g}, std {spec.std:g}, unlike the recipe. Give both the same [input], or "
            f"use stored answers: mien teach {run.path} --data PATH"
        )
    if recipe.early_sizes:
        raise RecipeError(
            "distill.live and early_sizes do not go together: a teacher would see faces too small for it."
        )
    asked = _Reordered(network, _columns(str(run.path), tuple(facts["classes"]), classes))
    for parameter in asked.parameters():
        parameter.requires_grad_(False)
    module: nn.Module = fabric.setup_module(asked.to(memory_format=torch.channels_last))  # type: ignore[call-overload]
    return module.eval()
