"""Outputs of a network, their targets, and the loss.

All outputs share one linear head; its first rows are those of the label's output. Outputs differ only in how the logits
are split, so code for one head works for several outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from mien.base.errors import DataError, RecipeError, nearest
from mien.base.recipe import Recipe
from mien.data.dataset import Dataset
from mien.data.votes import check_votes, vote_probabilities, votes_fingerprint
from mien.evaluation.metrics import Floats

DEFAULT_NAME = "label"
"""Name of the only output of a recipe without named outputs."""


@dataclass(frozen=True)
class Output:
    """One output of the network.

    Attributes:
        name: name in the recipe.
        target: training target: label, votes, majority or sampled; see :class:`mien.base.recipe.OutputRecipe`.
        weight: weight of its loss in the sum.
        classes: class names in the order of the logits.
    """

    name: str
    target: str
    weight: float
    classes: tuple[str, ...]

    @property
    def learns_votes(self) -> bool:
        """Whether the output learns from votes, in any form."""
        return self.target != "label"


def make_outputs(recipe: Recipe, faces: Dataset) -> tuple[Output, ...]:
    """Return a recipe's outputs for a data set, the label's first.

    Args:
        recipe: recipe; without named outputs it has one for labels.
        faces: faces with the recipe's label scheme applied.

    Raises:
        DataError: an output learns from votes, and the faces have none or unusable ones.
    """
    if not recipe.outputs:
        return (Output(DEFAULT_NAME, "label", 1.0, faces.classes),)
    if recipe.learns_votes:
        check_votes(faces)
    return tuple(
        Output(name, output.target, output.weight, faces.classes if output.target == "label" else faces.vote_classes)
        for name, output in recipe.outputs.items()
    )


def count_logits(outputs: Sequence[Output]) -> int:
    """Count the logits of all outputs."""
    return sum(len(output.classes) for output in outputs)


def output_facts(recipe: Recipe, outputs: Sequence[Output], faces: Dataset) -> dict[str, Any]:
    """Return metadata of named outputs for checkpoint and environment, JSON-ready; empty without named outputs."""
    if not recipe.outputs:
        return {}
    facts: dict[str, Any] = {
        "outputs": {output.name: {"classes": list(output.classes), "target": output.target} for output in outputs}
    }
    if recipe.learns_votes:
        facts["votes_fingerprint"] = votes_fingerprint(faces)
    return facts


def vote_distributions(outputs: Sequence[Output], faces: Dataset) -> npt.NDArray[np.float64] | None:
    """Return the distribution of each face's votes, float64 (N, V); None if no output learns from votes.

    A face without votes has zeros: without teachers, outputs for votes learn nothing from it.
    """
    return vote_probabilities(check_votes(faces)) if any(output.learns_votes for output in outputs) else None


def epoch_targets(
    outputs: Sequence[Output],
    distributions: npt.NDArray[np.float64] | None,
    seed: int,
    epoch: int,
    device: torch.device,
) -> list[Tensor]:
    """Compute the targets of outputs for votes in one epoch.

    Args:
        outputs: all outputs of the network.
        distributions: float64 (N, V), distribution of votes on each face.
        seed: seed of the run.
        epoch: number of the epoch, from 1; sampled votes differ between epochs.
        device: device of the result.

    Returns:
        A float32 (N, V) distribution for each output after the first; zeros for a face without votes.
    """
    targets = []
    for output in outputs[1:]:
        assert distributions is not None
        if output.target == "majority":
            found = majority_targets(distributions)
        elif output.target == "sampled":
            found = sampled_targets(distributions, seed, epoch)
        else:
            found = distributions
        targets.append(torch.from_numpy(found.astype(np.float32)).to(device))
    return targets


def majority_targets(distributions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give all probability to the class with the most votes, shared between ties. (N, V) -> (N, V)."""
    largest = (distributions == distributions.max(axis=1, keepdims=True)) & (distributions > 0)
    return np.asarray(largest / np.maximum(largest.sum(axis=1, keepdims=True), 1))


def sampled_targets(distributions: npt.NDArray[np.float64], seed: int, epoch: int) -> npt.NDArray[np.float64]:
    """Draw one vote per row from its distribution: probabilistic label drawing of Barsoum et al. 2016.

    (N, V) -> (N, V), with a single 1 in each row that is not all zeros.
    """
    drawn = np.random.default_rng((seed, epoch, 10)).random((len(distributions), 1))
    cumulative = distributions.cumsum(axis=1)
    # Rounding may leave the last cumulative sum below 1, so scale the draw by it.
    chosen = (cumulative <= drawn * cumulative[:, -1:]).sum(axis=1)
    # An extra class for rows without votes, whose sums never exceed the draw.
    return np.asarray(np.eye(distributions.shape[1] + 1)[chosen, :-1])


@dataclass(frozen=True)
class Loss:
    """A loss of logits and labels. With default values it is cross-entropy.

    Attributes:
        class_weights: float32 (C,), weight of each class; None gives equal weights.
        label_smoothing: fraction of the target that is spread over all classes.
        focal_gamma: gamma of the focal loss (Lin et al. 2017, equation 5): each part of the cross-entropy is multiplied
            by (1 - p)^gamma, with p the predicted probability of that class; 0 changes nothing.
        shift: float32 (C,), added to the logits. With tau times the log of the class frequencies it is the
            logit-adjusted loss (Menon et al. 2021, equation 10). The network then predicts, without the shift, as if
            all classes were equally frequent. None adds nothing.
    """

    class_weights: Tensor | None = None
    label_smoothing: float = 0.0
    focal_gamma: float = 0.0
    shift: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the mean loss of a batch, weighted by label as in torch. float (N, C), int64 (N,)."""
        logits = self.shifted(logits)
        if self.focal_gamma == 0:
            weight = None if self.class_weights is None else self.class_weights.to(logits.dtype)
            return functional.cross_entropy(logits, labels, weight=weight, label_smoothing=self.label_smoothing)
        class_count = logits.shape[1]
        targets = functional.one_hot(labels, class_count).to(logits.dtype)
        targets = (1 - self.label_smoothing) * targets + self.label_smoothing / class_count
        weights = logits.new_ones(class_count) if self.class_weights is None else self.class_weights
        return self._parts(logits, targets, weights).sum() / weights[labels].sum()

    def of_distributions(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Compute the loss for target distributions, float (N, C), without smoothing, weighted by their classes."""
        logits = self.shifted(logits)
        if self.focal_gamma == 0 and self.class_weights is None:
            return functional.cross_entropy(logits, targets)
        weights = logits.new_ones(logits.shape[1]) if self.class_weights is None else self.class_weights
        return self._parts(logits, targets, weights).sum() / (weights * targets).sum()

    def shifted(self, logits: Tensor) -> Tensor:
        """Return the shifted logits, float (N, C), whose softmax is fitted to the labels."""
        return logits if self.shift is None else logits + self.shift

    def _parts(self, logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        log_probabilities = logits.log_softmax(1)
        # Compute 1 - p from log p, which is precise for p near 1. The clamp avoids an infinite slope at 0.
        missing = (-torch.expm1(log_probabilities)).clamp_min(1e-7)
        return weights * targets * missing**self.focal_gamma * -log_probabilities

    def to(self, device: torch.device) -> Loss:
        """Return the loss on another device."""
        weights, shift = (None if each is None else each.to(device) for each in (self.class_weights, self.shift))
        return replace(self, class_weights=weights, shift=shift)


def make_loss(recipe: Recipe, counts: npt.NDArray[np.int64], classes: Sequence[str]) -> Loss:
    """Make the loss of a recipe.

    Args:
        recipe: recipe, of which ``class_weights``, ``label_smoothing`` and ``balance`` are used.
        counts: int64 (C,), number of training samples per class after balancing.
        classes: names of the classes.

    Raises:
        RecipeError: a weight is given for an unknown class.
        DataError: logit adjustment needs samples of every class.
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
        if not counts.all():
            raise DataError(
                f"balance.logit_adjustment needs samples of every class; the train split has none of "
                f"'{classes[int(counts.argmin())]}'. Leave that class out with a label scheme.",
                code="class-empty",
            )
        shift = recipe.balance.logit_adjustment * np.log(counts / counts.sum())
    return Loss(_tensor(weights), recipe.label_smoothing, recipe.balance.focal_gamma, _tensor(shift))


def balanced_weights(counts: npt.NDArray[Any]) -> Floats:
    """Compute N / (K n_c) for every class; a class without faces gets 0. (C,) counts -> float64 (C,)."""
    sizes = counts.astype(np.float64)
    return np.asarray(np.divide(sizes.sum() / len(sizes), sizes, out=np.zeros_like(sizes), where=sizes > 0))


def effective_weights(counts: npt.NDArray[Any], beta: float) -> Floats:
    """Compute weights by the effective number of faces, (1 - beta) / (1 - beta^n_c): Cui et al. 2019, equation 4.

    They are scaled to sum to the number of classes, as in the paper. beta = 0 gives equal weights, beta near 1 those of
    :func:`balanced_weights`. A class without faces gets 0. (C,) counts -> float64 (C,).
    """
    effective = (1 - beta ** counts.astype(np.float64)) / (1 - beta)
    weights = np.divide(1.0, effective, out=np.zeros_like(effective), where=counts > 0)
    return np.asarray(weights * len(counts) / weights.sum())


def _tensor(values: Floats | None) -> Tensor | None:
    return None if values is None else torch.from_numpy(values).to(torch.float32)
