"""Self-adaptive training: labels give way to what the network says of each face.

Huang, Zhang & Zhang, "Self-Adaptive Training: beyond Empirical Risk Minimization", 2020. A wrong label is contradicted
by the faces around it before the network has learnt it by heart. Here, unlike in the paper, a part of the label stays,
and all faces count alike.
"""

from __future__ import annotations

from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional

from mien.base.recipe import Recipe
from mien.training.batches import Batch
from mien.training.device import sum_of_processes
from mien.training.losses import Loss

START = 0.3
"""Share of the steps after which targets move: the paper's 60 of 200 epochs."""
MOMENTUM = 0.9
"""Share of a target that stays when its face is seen: the paper's value."""


class SelfAdaptive:
    """The targets of the label output, for each face that an epoch shows: a repeated one has several.

    Attributes:
        given: float32 (N, C), the labels, smoothed.
        moving: float32 (N, C), the same at first; then a moving average of the predictions for each face as augmented.
    """

    def __init__(self, labels: Tensor, classes: int, recipe: Recipe, loss: Loss) -> None:
        """Targets of these labels, int64 (N,), on their device, for a loss there."""
        smoothing = recipe.label_smoothing
        self.given = functional.one_hot(labels, classes).float() * (1 - smoothing) + smoothing / classes
        self.moving = self.given.clone()
        self._share, self._loss = recipe.self_adaptive, loss
        self._before = self.moving.clone()

    def loss(self, logits: Tensor, batch: Batch, progress: float) -> Tensor:
        """Mean loss of a batch. Moves the targets of its faces; those of mixed faces stay.

        Args:
            logits: float32 (B, C).
            batch: what the network saw.
            progress: share of the run's steps before this one, 0..1.
        """
        if progress < START:
            return self._loss.of_distributions(logits, batch.mixed(self.given))
        if batch.partner is None:
            predicted = self._loss.shifted(logits.detach()).softmax(1)
            self.moving[batch.chosen] = MOMENTUM * self.moving[batch.chosen] + (1 - MOMENTUM) * predicted
        moving, given = batch.mixed(self.moving), batch.mixed(self.given)
        return self._loss.of_distributions(logits, self._share * moving + (1 - self._share) * given)

    def exchange(self, fabric: Fabric) -> None:
        """Give every process what the others moved in this epoch: the mean, where several moved one target."""
        if fabric.world_size > 1:
            change = self.moving - self._before
            movers = sum_of_processes(fabric, change.any(1, keepdim=True).float())
            self.restore(self._before + sum_of_processes(fabric, change) / movers.clamp_min(1))

    def restore(self, moving: Tensor) -> None:
        """Put back what a checkpoint or the other processes have as ``moving``."""
        self.moving, self._before = moving.to(self.given.device), moving.to(self.given.device, copy=True)
