"""Outputs of a network in training: targets, loss and validation columns of each kind.

To add a kind of output, write a class and add it to :data:`HEADS`. All outputs share one linear layer; its rows are the
logits of the label's output, then those of the others. The loss of a step is the weighted sum of their losses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mien.base.arrays import Array, Floats, Ints
from mien.base.errors import DataError, RecipeError, nearest
from mien.base.heads import NAMES, answering
from mien.base.recipe import Recipe
from mien.base.run_folder import HistoryLine
from mien.data.dataset import Dataset
from mien.data.votes import check_votes, ratings_fingerprint, read_ratings, vote_probabilities, votes_fingerprint
from mien.evaluation import metrics
from mien.training.batches import Batch
from mien.training.device import TrainingFabric

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


@dataclass(frozen=True)
class Output:
    """An output of the network, as the recipe describes it; ``answers`` says whether it is the default one."""

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
        dataset: the N images of an epoch, in its order.
        label_loss: loss of logits (B, C) and labels (B,), on the device.
        taught: predictions of teachers for each image, float32 (N, C); None if no teacher has this output.
        moving: self-adaptive targets, if the recipe enables them for this output.
    """

    output: Output
    recipe: Recipe
    dataset: Dataset
    device: torch.device
    label_loss: LossFunction
    taught: Tensor | None = None
    moving: "SelfAdaptive | None" = None

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
        return {} if self.moving is None else {"targets.label": self.moving.moving}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the state from a checkpoint."""
        if self.moving is not None:
            self.moving.restore(tensors["targets.label"])


class LabelHead(Head):
    """An output for labels."""

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
        """Compute ``alpha * T^2 * KL(taught || softmax(logits / T)) + (1 - alpha) * hard`` (Hinton et al. 2015, 2)."""
        if self.taught is None:
            return hard
        alpha, temperature = self.recipe.distill.alpha, self.recipe.distill.temperature
        soft = functional.kl_div((logits / temperature).log_softmax(1), batch.mixed(self.taught), reduction="batchmean")
        return alpha * temperature**2 * soft + (1 - alpha) * hard

    def measure(self, values: Floats, validation: Dataset) -> HistoryLine:
        """See :class:`Head`."""
        labels = validation.labels
        confusion = metrics.confusion_matrix(labels, values.argmax(1), len(validation.classes))
        rows = confusion.sum(axis=-1)
        return {
            "validation_loss": metrics.log_loss(labels, values),
            "validation_accuracy": float(metrics.accuracy(confusion)),
            "validation_macro_f1": float(metrics.macro_average(metrics.f1(confusion), rows)),
            "validation_macro_auc": float(metrics.macro_average(metrics.roc_auc(labels, values), rows)),
        }


START = 0.3
"""Targets move after this fraction of the steps: 60 of 200 epochs in the paper."""
MOMENTUM = 0.9
"""Each time a face is seen, this fraction of its target is kept, as in the paper."""


class SelfAdaptive:
    """Targets that move from the labels towards the network's own predictions, one for each face of an epoch.

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


class VotesHead(Head):
    """An output for annotators' votes: their distribution, their majority, or one vote drawn in each epoch.

    Attributes:
        targets: distributions of an epoch, float32 (N, V). Images without votes have zeros, and no loss.
    """

    targets: Tensor

    def __post_init__(self) -> None:
        self._shares = vote_probabilities(check_votes(self.dataset))

    @staticmethod
    def classes_of(dataset: Dataset) -> tuple[str, ...]:
        """See :class:`Head`."""
        check_votes(dataset)
        return dataset.vote_classes

    def begin_epoch(self, epoch: int) -> None:
        """See :class:`Head`. Sampled votes are drawn again in each epoch."""
        targets = self._shares
        if self.output.target == "majority":
            targets = majority_targets(targets)
        elif self.output.target == "sampled":
            targets = sampled_targets(targets, self.recipe.seed, epoch)
        self.targets = torch.from_numpy(targets.astype(np.float32)).to(self.device)

    def loss(self, logits: Tensor, batch: Batch, progress: float) -> Tensor:
        """See :class:`Head`."""
        return functional.cross_entropy(logits, self.blended(batch))

    def blended(self, batch: Batch) -> Tensor:
        """Mix teachers' predictions of votes, weight ``alpha``, and any votes: float32 (B, V), rows sum to 1."""
        votes = batch.mixed(self.targets)
        if self.taught is None:
            return votes
        alpha = self.recipe.distill.alpha
        missing = 1 - votes.sum(1, keepdim=True)
        return (alpha + (1 - alpha) * missing) * batch.mixed(self.taught) + (1 - alpha) * votes

    def measure(self, values: Floats, validation: Dataset) -> HistoryLine:
        """See :class:`Head`. Only the default output is measured."""
        if not self.output.answers:
            return {}
        votes = check_votes(validation)
        voted = votes.any(axis=1)
        losses = metrics.sample_cross_entropies(vote_probabilities(votes[voted]), values[voted])
        return {
            "validation_votes_loss": float(losses.mean()),
            "validation_majority_accuracy": metrics.majority_accuracy(votes, values, validation.vote_classes),
        }


def majority_targets(distributions: Floats) -> Floats:
    """Give all probability to the class with the most votes, shared between ties. (N, V) -> (N, V)."""
    largest = (distributions == distributions.max(axis=1, keepdims=True)) & (distributions > 0)
    return np.asarray(largest / np.maximum(largest.sum(axis=1, keepdims=True), 1))


def sampled_targets(distributions: Floats, seed: int, epoch: int) -> Floats:
    """Draw a vote per row from its distribution (Barsoum et al. 2016): (N, V) -> (N, V), at most one 1 in a row."""
    drawn = np.random.default_rng((seed, epoch, 10)).random((len(distributions), 1))
    cumulative = distributions.cumsum(axis=1)
    # Rounding may leave the last cumulative sum below 1, so scale the draw by it.
    chosen = (cumulative <= drawn * cumulative[:, -1:]).sum(axis=1)
    # The extra class is for rows without votes, whose sums never exceed the draw.
    return np.asarray(np.eye(distributions.shape[1] + 1)[chosen, :-1])


class AffectHead(Head):
    """An output for ratings of valence and arousal. The loss is the mean of 1 - CCC over both, on rated images."""

    chance = 1.0

    def __post_init__(self) -> None:
        self.ratings = torch.from_numpy(_ratings(self.dataset).astype(np.float32)).to(self.device)

    @staticmethod
    def classes_of(dataset: Dataset) -> tuple[str, ...]:
        """See :class:`Head`."""
        _ratings(dataset)
        return NAMES

    def loss(self, logits: Tensor, batch: Batch, progress: float) -> Tensor:
        """See :class:`Head`. A mixed image is used only if both of its images have ratings."""
        ratings = batch.mixed(self.ratings)
        known = ~ratings.isnan()
        weights = known / known.sum(0).clamp_min(1)
        x, y = self.values(logits), ratings.nan_to_num()
        covariance = (weights * (x - (weights * x).sum(0)) * (y - (weights * y).sum(0))).sum(0)
        # This is the sum of both variances and of the squared difference of the means.
        spread = (weights * (x - y).square()).sum(0) + 2 * covariance
        return (1 - 2 * covariance / spread.clamp_min(1e-8)).mean()

    def values(self, logits: Tensor) -> Tensor:
        """See :class:`Head`."""
        return logits.tanh()

    def measure(self, values: Floats, validation: Dataset) -> HistoryLine:
        """See :class:`Head`."""
        pairs = zip(NAMES, values.T, _ratings(validation).T, strict=True)
        return {f"validation_{name}_ccc": metrics.concordance(own, rated) for name, own, rated in pairs}


def _ratings(dataset: Dataset) -> Floats:
    ratings = read_ratings(dataset, NAMES)
    blank = [name for at, name in enumerate(NAMES) if ratings is None or np.isnan(ratings[:, at]).all()]
    if ratings is None or blank:
        words = f"The {dataset.split[0]} split has no ratings, -1 to 1, in the columns {' and '.join(blank)}."
        raise DataError(words, code="ratings-missing")
    return ratings


HEADS: dict[str, type[Head]] = {
    "label": LabelHead,
    "affect": AffectHead,
    **dict.fromkeys(("votes", "majority", "sampled"), VotesHead),
}
"""Class of an output, by its training target."""


def make_outputs(recipe: Recipe, dataset: Dataset) -> tuple[Output, ...]:
    """Return a recipe's outputs for a data set, the label's first; DataError without usable targets for one."""
    if not recipe.outputs:
        return (Output("label", "label", 1.0, dataset.classes),)
    answer = answering([output.target for output in recipe.outputs.values()])
    return tuple(
        Output(name, output.target, output.weight, HEADS[output.target].classes_of(dataset), at == answer)
        for at, (name, output) in enumerate(recipe.outputs.items())
    )


def target_fingerprints(recipe: Recipe, dataset: Dataset) -> dict[str, str]:
    """Return fingerprints of the votes and ratings that outputs are trained on; empty for labels alone."""
    found = {"votes_fingerprint": votes_fingerprint(dataset)} if recipe.learns_votes else {}
    if any(output.target == "affect" for output in recipe.outputs.values()):
        found["ratings_fingerprint"] = ratings_fingerprint(dataset, NAMES)
    return found
