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

from mien.base.errors import DataError, RecipeError
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.evaluation.predictions import Predictions, read_predictions
from mien.evaluation.temperature import apply_temperature
from mien.training import checkpoint
from mien.training.batches import Batch
from mien.training.losses import Output
from mien.training.teacher import Teacher

LEAST_AGREEMENT = 0.9
"""Below this share of equal labels, rows of the same numbers are other faces: of strange data about a quarter would be
equal, and a review changes fewer labels."""

Targets = Callable[[Batch], list[Tensor | None]]
"""What teachers predict of a batch: for each output of the student float32 (B, classes), for that of the label softened
by the temperature T: p^(1/T), rescaled. None for an output that no teacher has."""


@dataclass(frozen=True)
class Distillation:
    """How a student learns from teachers.

    Attributes:
        alpha: weight of the teachers, above 0 and up to 1; the rest is that of labels and votes.
        temperature: T, at least greater than 0.
        targets: the teachers' predictions.
    """

    alpha: float
    temperature: float
    targets: Targets

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
    recipe: Recipe, outputs: Sequence[Output], teachers: Sequence[Teacher], faces: Dataset, fabric: Fabric
) -> Distillation:
    """What a recipe makes of teachers. A teacher teaches the label, and each other output that it has by that name.

    Args:
        recipe: the student's.
        outputs: the student's.
        teachers: with predictions of the train split; with ``distill.live`` the weights of runs.
        faces: what an epoch shows, under the student's classes, in its order. A face that balancing repeated or changed
            has the soft label of its row.
        fabric: where networks run.

    Raises:
        DataError: soft labels of other classes or other data, or a face without one.
        RecipeError: a live teacher with another input than the student's, or whose student begins with smaller faces.
        RunError: a live teacher without a finished epoch.
    """
    alpha, temperature = recipe.distill.alpha, recipe.distill.temperature
    if recipe.distill.live:
        networks = [_load_teacher(RunFolder(each.file.parent), recipe, outputs, fabric) for each in teachers]
        return Distillation(alpha, temperature, live_targets(networks, temperature, fabric))
    files = [each.predictions for each in teachers if each.predictions is not None]
    known = [(path, read_predictions(path)) for path in files]
    labels = [(path, _under_scheme(each, recipe, faces.classes)) for path, each in known]
    stored: list[npt.NDArray[np.float64] | None] = [soft_labels(labels, faces, temperature)]
    for output in outputs[1:]:
        votes = [(path, each) for path, each in known if each.votes is not None and each.votes.output == output.name]
        stored.append(_soft_votes(votes, faces, output) if votes else None)
    tensors = [None if each is None else fabric.to_device(torch.from_numpy(each.astype(np.float32))) for each in stored]
    return Distillation(alpha, temperature, stored_targets(tensors))


def stored_targets(predictions: Sequence[Tensor | None]) -> Targets:
    """Of predictions for each face, for each output float32 (N, C). Mixed where faces are, as labels are."""

    def targets(batch: Batch) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        for each in predictions:
            own = None if each is None else each[batch.chosen]
            if own is not None and each is not None and batch.partner is not None:
                own = batch.lam * own + (1 - batch.lam) * each[batch.partner]
            found.append(own)
        return found

    return targets


LiveTeacher = tuple[nn.Module, Sequence[Tensor | None]]
"""A network in evaluation mode, and for each output of the student the network's logits of its classes, int64 (C,)."""


def live_targets(teachers: Sequence[LiveTeacher], temperature: float, fabric: Fabric) -> Targets:
    """Of networks that run on every batch, in the student's precision: on its images before they were degraded."""

    def targets(batch: Batch) -> list[Tensor | None]:
        images = batch.images if batch.clear is None else batch.clear
        with torch.no_grad(), fabric.autocast():
            logits = [network(images).float() for network, _ in teachers]
        found: list[Tensor | None] = []
        for output in range(len(teachers[0][1])):
            divisor = temperature if output == 0 else 1.0
            parts = [
                (own[:, columns[output]] / divisor).softmax(1)
                for own, (_, columns) in zip(logits, teachers, strict=True)
                if columns[output] is not None
            ]
            found.append(torch.stack(parts).mean(0) if parts else None)
        return found

    return targets


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


def _soft_votes(
    predictions: Sequence[tuple[Path, Predictions]], faces: Dataset, output: Output
) -> npt.NDArray[np.float64]:
    """The mean prediction of an output that learns from votes, float64 (N, V); otherwise as :func:`soft_labels`."""
    values = []
    for path, each in predictions:
        assert each.votes is not None
        assert each.votes.probabilities is not None
        values.append(each.votes.probabilities[:, _columns(str(path), each.votes.classes, output.classes)])
    return _mean_by_row(predictions, values, faces)


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


def _load_teacher(run: RunFolder, recipe: Recipe, outputs: Sequence[Output], fabric: Fabric) -> LiveTeacher:
    network, facts = checkpoint.load_best(run)
    spec = run.read_recipe().input
    if spec != recipe.input:
        raise RecipeError(
            f"distill.live shows teacher and student the same images, but {run.path} takes {spec}, and the recipe "
            f"{recipe.input}. Give both the same [input], or leave out distill.live.",
            code="teacher-input",
        )
    if recipe.progressive_resizing:
        raise RecipeError(
            "distill.live cannot be used with progressive_resizing: the faces would be too small for a teacher.",
            code="teacher-live-sizes",
        )
    rows = checkpoint.head_rows(facts)
    columns: list[Tensor | None] = []
    for output in outputs:
        key = "" if output.target == "label" else output.name
        places = [place for place, (name, _) in enumerate(rows) if name == key]
        if not places:
            columns.append(None)
            continue
        order = _columns(str(run.path), [rows[place][1] for place in places], output.classes)
        columns.append(fabric.to_device(torch.tensor([places[each] for each in order])))
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    # Not set up by fabric: nothing of it is trained, and several processes refuse such a module.
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.to(fabric.device).eval(), columns
