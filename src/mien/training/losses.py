"""What a step makes smaller: cross-entropy, and its changes for classes of unequal size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mien.errors import DataError
from mien.evaluation.metrics import Floats
from mien.recipe import Recipe


@dataclass(frozen=True)
class Loss:
    """A loss of logits and labels. With all defaults it is cross-entropy.

    Attributes:
        class_weights: float32 (C,), how much faces of each class count; None counts all alike.
        label_smoothing: fraction of the target that is spread over all classes.
        focal_gamma: focal loss (Lin et al. 2017, equation 5): every part of the cross-entropy is multiplied by
            (1 - p)^gamma, p the probability that the network gives that class; 0 changes nothing.
        shift: float32 (C,), added to the logits: tau times the log of the class frequencies makes it the
            logit-adjusted loss (Menon et al. 2021, equation 10). The network then answers as if all classes were
            equally frequent, without any shift. None adds nothing.
    """

    class_weights: Tensor | None = None
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    shift: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch, weighted as torch's own: by the weights of the labels. float (N, C), int64 (N,)."""
        if self.shift is not None:
            logits = logits + self.shift
        if self.focal_gamma == 0:
            return functional.cross_entropy(
                logits, labels, weight=self.class_weights, label_smoothing=self.label_smoothing
            )
        class_count = logits.shape[1]
        log_probabilities = logits.log_softmax(1)
        targets = functional.one_hot(labels, class_count).to(logits.dtype)
        targets = (1 - self.label_smoothing) * targets + self.label_smoothing / class_count
        weights = logits.new_ones(class_count) if self.class_weights is None else self.class_weights
        # 1 - p from the logarithm, which keeps its digits where p is nearly 1; its power has an infinite slope at 0.
        missing = (-torch.expm1(log_probabilities)).clamp_min(1e-7)
        parts = weights * targets * missing**self.focal_gamma * -log_probabilities
        return parts.sum() / weights[labels].sum()

    def to(self, device: torch.device) -> Loss:
        """The same loss, for logits on ``device``."""
        weights, shift = (None if each is None else each.to(device) for each in (self.class_weights, self.shift))
        return replace(self, class_weights=weights, shift=shift)


def consistency_loss(first: Tensor, second: Tensor, temperature: float = 1.0) -> Tensor:
    """How far two answers about the same faces are from what they say together; 0 where both say the same.

    ``T^2 * (KL(m || p) + KL(m || q)) / 2``, p and q the softmax of the logits at temperature T, m their mean, which is
    a target that no gradient flows into: each is pulled towards the average of both. Mean over the batch.

    Args:
        first: logits, float (N, C).
        second: of the same faces, seen otherwise.
        temperature: T; its square keeps the gradient's size (:class:`mien.training.distillation.Distillation`).
    """
    log_probabilities = [(logits / temperature).log_softmax(1) for logits in (first, second)]
    together = torch.stack([each.exp() for each in log_probabilities]).mean(0).detach()
    apart = [functional.kl_div(each, together, reduction="batchmean") for each in log_probabilities]
    return temperature**2 * torch.stack(apart).mean()


def make_loss(recipe: Recipe, counts: npt.NDArray[np.int64], classes: Sequence[str]) -> Loss:
    """The loss that a recipe asks for.

    Args:
        recipe: its ``class_weights``, ``label_smoothing`` and ``balance`` count.
        counts: int64 (C,), samples of each class to train on, after balancing.
        classes: their names.

    Raises:
        DataError: logits are to be adjusted by the frequency of a class that has no sample.
    """
    weights, shift = None, None
    if recipe.class_weights == "balanced":
        weights = balanced_weights(counts)
    elif recipe.class_weights == "effective":
        weights = effective_weights(counts, recipe.balance.effective_beta)
    if recipe.balance.logit_adjustment:
        if not counts.all():
            raise DataError(
                f"balance.logit_adjustment needs samples of every class; the train split has none of "
                f"'{classes[int(counts.argmin())]}'. Leave that class out with a label scheme.",
                code="class-empty",
            )
        shift = recipe.balance.logit_adjustment * np.log(counts / counts.sum())
    return Loss(_tensor(weights), recipe.label_smoothing, recipe.balance.focal_gamma, _tensor(shift))


def balanced_weights(counts: npt.NDArray[Any]) -> Floats:
    """N / (K n_c) of every class; a class without a face weighs 0. (C,) counts -> float64 (C,)."""
    sizes = counts.astype(np.float64)
    return np.asarray(np.divide(sizes.sum() / len(sizes), sizes, out=np.zeros_like(sizes), where=sizes > 0))


def effective_weights(counts: npt.NDArray[Any], beta: float) -> Floats:
    """Weights by the effective number of faces, (1 - beta) / (1 - beta^n_c): Cui et al. 2019, equation 4.

    They are scaled to sum to the number of classes, as in the paper. beta = 0 weighs all classes alike, beta near 1 as
    :func:`balanced_weights`. A class without a face weighs 0. (C,) counts -> float64 (C,).
    """
    effective = (1 - beta ** counts.astype(np.float64)) / (1 - beta)
    weights = np.divide(1.0, effective, out=np.zeros_like(effective), where=counts > 0)
    return np.asarray(weights * len(counts) / weights.sum())


def _tensor(values: Floats | None) -> Tensor | None:
    return None if values is None else torch.from_numpy(values).to(torch.float32)
