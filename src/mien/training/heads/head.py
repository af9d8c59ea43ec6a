"""Base class of the heads: an output of the network in training, with its targets, loss and validation columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mien.base.recipe import Recipe
from mien.base.run_folder import HistoryLine
from mien.data.dataset import Dataset
from mien.evaluation.metrics import Floats
from mien.training.batches import Batch
from mien.training.device import TrainingFabric
from mien.training.losses import LossFunction


@dataclass(frozen=True)
class Output:
    """An output of the network, as the recipe describes it.

    Attributes:
        name: name in the recipe.
        target: training target: label, votes, majority or sampled; see :class:`mien.base.recipe.OutputRecipe`.
        weight: weight of its loss in the sum.
        classes: class names in the order of the logits.
        answers: whether this is the default output.
    """

    name: str
    target: str
    weight: float
    classes: tuple[str, ...]
    answers: bool = True


@dataclass(eq=False)
class Head:
    """An output of a network in training.

    Attributes:
        output: name, weight and classes of the output.
        recipe: recipe of the run.
        dataset: the N images of an epoch, in its order.
        device: device of the network.
        label_loss: loss of logits (B, C) and labels (B,), on the device.
        taught: predictions of teachers for each image, float32 (N, C); None if no teacher has this output.
    """

    output: Output
    recipe: Recipe
    dataset: Dataset
    device: torch.device
    label_loss: LossFunction
    taught: Tensor | None = None

    chance: ClassVar[float | None] = None
    """Loss of a network that guesses: all logits are equal; None stands for the log of the number of classes."""

    def __post_init__(self) -> None:
        """Make the targets that are the same in all epochs."""

    @staticmethod
    def classes_of(dataset: Dataset) -> tuple[str, ...]:
        """Return the names of the logits for a data set. Raises DataError if the data has no targets."""
        raise NotImplementedError

    def begin_epoch(self, epoch: int) -> None:
        """Choose the targets of an epoch, counted from 1."""

    def loss(self, logits: Tensor, batch: Batch, progress: float) -> Tensor:
        """Compute the mean loss of a batch; ``progress`` is the fraction of the run's steps before this one."""
        raise NotImplementedError

    def values(self, logits: Tensor) -> Tensor:
        """Compute the output's values from logits, (N, C) -> (N, C)."""
        return logits.softmax(1)

    def measure(self, values: Floats, validation: Dataset) -> HistoryLine:
        """Return the history's validation columns, from :meth:`values`, float64 (N, C)."""
        raise NotImplementedError

    def tensors(self) -> dict[str, Tensor]:
        """Return the state to save in checkpoints, by name."""
        return {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""

    def exchange(self, fabric: TrainingFabric) -> None:
        """Combine the state of all processes at the end of an epoch."""
