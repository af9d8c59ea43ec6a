"""Head for labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mien.base.recipe import Recipe
from mien.base.run_folder import HistoryLine
from mien.data.dataset import Dataset
from mien.evaluation import metrics
from mien.evaluation.metrics import Floats
from mien.training.batches import Batch
from mien.training.device import TrainingFabric
from mien.training.heads.head import Head
from mien.training.losses import Loss


class LabelHead(Head):
    """An output for labels.

    Attributes:
        moving: self-adaptive targets, if the recipe enables them.
    """

    moving: SelfAdaptive | None = None

    def __post_init__(self) -> None:
        self.labels = torch.from_numpy(self.dataset.labels.copy()).to(self.device)
        # Self-adaptive targets work only with mien's own loss.
        if self.recipe.self_adaptive and isinstance(self.label_loss, Loss):
            self.moving = SelfAdaptive(self.labels, len(self.output.classes), self.recipe, self.label_loss)

    @staticmethod
    def classes_of(dataset: Dataset) -> tuple[str, ...]:
        """See :class:`Head`."""
        return dataset.classes

    def loss(self, logits: Tensor, batch: Batch, progress: float) -> Tensor:
        """See :class:`Head`."""
        if self.moving is not None:
            return self.distilled(self.moving.loss(logits, batch, progress), logits, batch)
        loss = self.label_loss(logits, self.labels[batch.chosen])
        if batch.partner is not None:
            loss = batch.lam * loss + (1 - batch.lam) * self.label_loss(logits, self.labels[batch.partner])
        return self.distilled(loss, logits, batch)

    def distilled(self, hard: Tensor, logits: Tensor, batch: Batch) -> Tensor:
        """Compute ``alpha * T^2 * KL(taught || softmax(logits / T)) + (1 - alpha) * hard``.

        T^2 keeps the size of the gradient independent of T (Hinton, Vinyals & Dean 2015, section 2).
        """
        if self.taught is None:
            return hard
        alpha, temperature = self.recipe.distill.alpha, self.recipe.distill.temperature
        targets = batch.mixed(self.taught)
        soft = functional.kl_div((logits / temperature).log_softmax(1), targets, reduction="batchmean")
        return alpha * temperature**2 * soft + (1 - alpha) * hard

    def measure(self, values: Floats, validation: Dataset) -> HistoryLine:
        """See :class:`Head`."""
        labels = validation.labels
        confusion = metrics.confusion_matrix(labels, values.argmax(1), len(validation.classes))
        rows = metrics.support(confusion)
        return {
            "validation_loss": metrics.log_loss(labels, values),
            "validation_accuracy": float(metrics.accuracy(confusion)),
            "validation_macro_f1": float(metrics.macro_average(metrics.f1(confusion), rows)),
            "validation_macro_auc": float(metrics.macro_average(metrics.roc_auc(labels, values), rows)),
        }

    def tensors(self) -> dict[str, Tensor]:
        """See :class:`Head`."""
        return {} if self.moving is None else {"targets.label": self.moving.moving}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """See :class:`Head`."""
        if self.moving is not None:
            self.moving.restore(tensors["targets.label"])

    def exchange(self, fabric: TrainingFabric) -> None:
        """See :class:`Head`."""
        if self.moving is not None:
            self.moving.exchange(fabric)


START = 0.3
"""Targets move after this fraction of the steps: 60 of 200 epochs in the paper."""
MOMENTUM = 0.9
"""Each time a face is seen, this fraction of its target is kept, as in the paper."""


class SelfAdaptive:
    """Targets that move from the labels towards the network's own predictions, one for each face of an epoch.

    The network contradicts a wrong label before it memorises it. Unlike in the paper, a part of the label is kept, and
    all faces have the same weight.

    Attributes:
        given: float32 (N, C), smoothed labels.
        moving: float32 (N, C), initially the same; then a moving average of predictions for the augmented faces.
    """

    def __init__(self, labels: Tensor, classes: int, recipe: Recipe, loss: Loss) -> None:
        """Make targets from labels, int64 (N,), on their device, for a loss on that device."""
        smoothing = recipe.label_smoothing
        self.given = functional.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes
        self.moving = self.given.clone()
        self._share, self._loss = recipe.self_adaptive, loss
        self._before = self.moving.clone()

    def loss(self, logits: Tensor, batch: Batch, progress: float) -> Tensor:
        """Compute the loss as :meth:`Head.loss`, and move the targets of the batch. Mixed faces keep targets."""
        if progress < START:
            return self._loss.of_distributions(logits, batch.mixed(self.given))
        if batch.partner is None:
            predicted = self._loss.shifted(logits.detach()).softmax(1)
            self.moving[batch.chosen] = MOMENTUM * self.moving[batch.chosen] + (1 - MOMENTUM) * predicted
        moving, given = batch.mixed(self.moving), batch.mixed(self.given)
        return self._loss.of_distributions(logits, self._share * moving + (1 - self._share) * given)

    def exchange(self, fabric: TrainingFabric) -> None:
        """Combine the targets that the processes moved in this epoch; if several moved one, take the mean."""
        if fabric.world_size > 1:
            change = self.moving - self._before
            movers = fabric.sum(change.any(1, keepdim=True).float())
            self.restore(self._before + fabric.sum(change) / movers.clamp_min(1))

    def restore(self, moving: Tensor) -> None:
        """Restore ``moving`` from a checkpoint or from the other processes."""
        self.moving, self._before = moving.to(self.given.device), moving.to(self.given.device, copy=True)
