"""Losses of logits and labels, and the weights of classes in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mien.base.arrays import Array, Floats, Ints
from mien.base.errors import RecipeError, nearest
from mien.base.recipe import Recipe

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""Function of logits, float32 (B, C), and labels, int64 (B,), that returns the mean over the batch."""


@dataclass(frozen=True)
class Loss:
    """A loss of logits and labels. With default values it is cross-entropy.

    Attributes:
        class_weights: float32 (C,), weight of each class; None gives equal weights.
        label_smoothing: fraction of the target that is spread over all classes.
        focal_gamma: gamma of the focal loss (Lin et al. 2017, equation 5): each part of the cross-entropy is multiplied
            by (1 - p)^gamma, with p the predicted probability of that class; 0 changes nothing.
        shift: float32 (C,), added to the logits. With tau times the log of the class frequencies it is the
            logit-adjusted loss (Menon et al. 2021, equation 10). Without the shift, the network then predicts as if all
            classes were equally frequent. If None, no logits are shifted.
    """

    class_weights: Tensor | None = None
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    shift: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the mean loss of a batch, weighted by label as in torch. float (N, C), int64 (N,)."""
        logits = self.shifted(logits)
        if self.focal_gamma == 0:
            if self.class_weights is None:
                return functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)
            weight = self.class_weights.to(logits.dtype)
            settings: Any = {"label_smoothing": self.label_smoothing, "reduction": "sum"}
            return _mean(functional.cross_entropy(logits, labels, weight, **settings), weight[labels])
        class_count = logits.shape[1]
        targets = functional.one_hot(labels, class_count).to(logits.dtype)
        targets = (1 - self.label_smoothing) * targets + self.label_smoothing / class_count
        weights = logits.new_ones(class_count) if self.class_weights is None else self.class_weights
        return _mean(self._parts(logits, targets, weights).sum(), weights[labels])

    def of_distributions(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss for target distributions, float (N, C), without smoothing, weighted by their classes."""
        logits = self.shifted(logits)
        if self.focal_gamma == 0 and self.class_weights is None:
            return functional.cross_entropy(logits, targets)
        weights = logits.new_ones(logits.shape[1]) if self.class_weights is None else self.class_weights
        return _mean(self._parts(logits, targets, weights).sum(), weights * targets)

    def shifted(self, logits: Tensor) -> Tensor:
        """Return the shifted logits, float (N, C), whose softmax is fitted to the labels."""
        return logits if self.shift is None else logits + self.shift

    def _parts(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        log_probabilities = logits.log_softmax(1)
        # Compute 1 - p from log p, which is precise for p near 1. The clamp avoids an infinite slope at 0.
        missing = (-torch.expm1(log_probabilities)).clamp_min(1e-7)
        return weights * targets * missing**self.focal_gamma * -log_probabilities

    def to(self, device: torch.device) -> "Loss":
        """Return the loss on another device."""
        weights, shift = (None if each is None else each.to(device) for each in (self.class_weights, self.shift))
        return replace(self, class_weights=weights, shift=shift)


def _mean(total: Tensor, weights: Tensor) -> Tensor:
    """Divide a sum by its weights; 0 if all are 0, as in a batch of classes that weigh nothing."""
    weight = weights.sum()
    return total * (weight > 0) / weight.clamp_min(1e-12)


def make_loss(recipe: Recipe, counts: Ints, classes: Sequence[str]) -> Loss:
    """Make the loss of a recipe, for the number of training samples per class after balancing.

    Logit adjustment needs samples of every class. Raises RecipeError for the weight of an unknown class.
    """
    weights, shift = None, None
    if recipe.class_weights == "balanced":
        weights = balanced_weights(counts)
    elif recipe.class_weights == "effective":
        weights = effective_weights(counts, recipe.balance.effective_beta)
    elif isinstance(recipe.class_weights, dict):
        for name in set(recipe.class_weights) - set(classes):
            words = f"class_weights names '{name}', which is not a class of the data."
            raise RecipeError(words + nearest(name, classes), code="class-unknown")
        weights = np.array([recipe.class_weights.get(name, 1.0) for name in classes])
    if recipe.balance.logit_adjustment:
        shift = recipe.balance.logit_adjustment * np.log(counts / counts.sum())
    return Loss(as_tensor(weights), recipe.label_smoothing, recipe.balance.focal_gamma, as_tensor(shift))


def balanced_weights(counts: Array) -> Floats:
    """Compute N / (K n_c) for every class; a class without faces gets 0. (C,) counts -> float64 (C,)."""
    sizes = counts.astype(np.float64)
    return np.asarray(np.divide(sizes.sum() / len(sizes), sizes, out=np.zeros_like(sizes), where=sizes > 0))


def effective_weights(counts: Array, beta: float) -> Floats:
    """Compute weights by the effective number of faces, (1 - beta) / (1 - beta^n_c): Cui et al. 2019, equation 4.

    They are scaled to sum to the number of classes, as in the paper. beta = 0 gives equal weights, beta near 1 those of
    :func:`balanced_weights`. A class without faces gets 0. (C,) counts -> float64 (C,).
    """
    effective = (1 - beta ** counts.astype(np.float64)) / (1 - beta)
    weights = np.divide(1.0, effective, out=np.zeros_like(effective), where=counts > 0)
    return np.asarray(weights * len(counts) / weights.sum())


def as_tensor(values: Floats | None, device: torch.device | str = "cpu") -> Tensor | None:
    """Convert values to float32 on a device; return None if they are None."""
    return None if values is None else torch.from_numpy(values.astype(np.float32)).to(device)
