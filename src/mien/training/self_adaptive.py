"""Self-adaptive training: targets that move from the labels towards the network's own predictions.

Source: Huang, Zhang & Zhang, "Self-Adaptive Training: beyond Empirical Risk Minimization", 2020.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from mien.base.recipe import Recipe
from mien.training.batches import Batch
from mien.training.device import TrainingFabric
from mien.training.losses import Loss

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
