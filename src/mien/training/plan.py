"""Plan of a training run: a recipe, a data set, and the user's replacements for parts of the recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mien.base.errors import DataError, Notice, TrainingError
from mien.base.labels import parse_scheme
from mien.base.preprocess import InputSpec, denormalise, normalise
from mien.base.recipe import AugmentRecipe, Recipe
from mien.data.balance import balance, balanced_counts, check_counts
from mien.data.dataset import Dataset
from mien.models.own import own_function, reason_of
from mien.models.registry import completed, starts_from_scratch
from mien.training.batches import Batch, count_steps
from mien.training.heads import Loss, LossFunction, Output, make_loss, make_outputs

Augmentation = Callable[[Tensor], Tensor]
OptimizerMaker = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Parts:
    """Functions of the user that replace parts of a recipe; None means that the recipe's part is used.

    Attributes:
        loss: function, or class of ``nn.Module``, of logits float32 (B, C) and labels int64 (B,) that returns a scalar;
            replaces the label's loss.
        augment: function of images float32 (B, channels, S, S), 0..1, that returns the same shape; replaces the
            recipe's augmentation except mixup and cutmix.
        optimizer: function of the trainable parameters that returns an optimiser. The schedule multiplies its rates.
        weights: initial weights of the network, by name.
        of_recipe: names of the parts that come from files in the recipe.
    """

    loss: LossFunction | type[nn.Module] | None = None
    augment: Augmentation | None = None
    optimizer: OptimizerMaker | None = None
    weights: Mapping[str, Tensor] | None = None
    of_recipe: frozenset[str] = frozenset()

    def with_files(self, recipe: Recipe) -> Parts:
        """Add the functions from files that the recipe names, for parts that are not given; make a loss of a class."""
        loss = self.loss
        if isinstance(loss, type):
            with named(loss, "loss"):
                loss = loss()
        own = {"optimizer" if table == "optim" else table: (part, table) for table, part in recipe.own_parts.items()}
        found: dict[str, Any] = {name: own_function(*at) for name, at in own.items() if getattr(self, name) is None}
        return replace(self, of_recipe=frozenset(found), **{"loss": loss, **found})

    def names(self) -> dict[str, str]:
        """Return the name of each given function, which the run records."""
        given = {"loss": self.loss, "augment": self.augment, "optimizer": self.optimizer}
        named = {name: _name(part) for name, part in given.items() if part is not None and name not in self.of_recipe}
        return named | ({} if self.weights is None else {"weights": "of an instance"})

    def label_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the user's loss of a batch.

        Raises TrainingError: the loss is no scalar (``loss-not-scalar``), or has no gradient
        (``loss-without-gradient``).
        """
        assert self.loss is not None
        try:
            with named(self.loss, "loss"):
                value = self.loss(logits, labels)
        except TrainingError:
            if logits.isfinite().all():
                raise
            return logits.sum() * torch.nan  # The training has diverged; its check of the loss says so.
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            rule = "loss must return a scalar tensor, the mean over the batch"
            raise _wrong(rule, self.loss, value, "loss-not-scalar")
        if logits.requires_grad and not value.requires_grad:
            words = f"loss must depend on the logits; {_name(self.loss)} returns a tensor without a gradient."
            raise TrainingError(words, code="loss-without-gradient")
        return value

    def recipe_shown(self, recipe: Recipe) -> Recipe:
        """Return the recipe for making batches; a user's augmentation leaves only the recipe's mixup and cutmix."""
        if self.augment is None:
            return recipe
        kept = {name: getattr(recipe.augment, name) for name in AugmentRecipe.model_fields if name.startswith("mixup")}
        return recipe.model_copy(update={"augment": AugmentRecipe(**kept, cutmix=recipe.augment.cutmix)})

    def augmented(self, batches: Iterable[Batch], spec: InputSpec) -> Iterator[Batch]:
        """Apply the user's augmentation to the batches.

        Raises TrainingError: the result has another shape, or values far from 0..1 or not finite (``augment-output``).
        """
        assert self.augment is not None
        for batch in batches:
            with named(self.augment, "augment"):
                images = self.augment(denormalise(batch.images, spec) / 255)
            right = isinstance(images, Tensor) and images.shape == batch.images.shape and images.is_floating_point()
            # Noise may pass 1; images of 0 to 255 are a mistake.
            if not right or not bool((images.abs() < 10).all()):
                rule = f"augment must return float images of shape {tuple(batch.images.shape)}, 0..1, all finite"
                rule += f", not up to {float(images.abs().max()):.4g}" if right else ""
                raise _wrong(rule, self.augment, images, "augment-output")
            shown = normalise(255 * images.float(), spec).contiguous(memory_format=torch.channels_last)
            yield replace(batch, images=shown)

    def make_optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        """Make the user's optimiser; ``lr`` is the recipe's; the schedule gives factors of it.

        Raises TrainingError: no optimiser (``optimizer-type``), or of other parameters (``optimizer-parameters``).
        """
        assert self.optimizer is not None
        with named(self.optimizer, "optimizer"):
            made: Any = self.optimizer([each for each in network.parameters() if each.requires_grad])
        if not isinstance(made, torch.optim.Optimizer):
            raise _wrong("optimizer must return a torch.optim.Optimizer", self.optimizer, made, "optimizer-type")
        if not set(network.parameters()) & {each for group in made.param_groups for each in group["params"]}:
            rule = "optimizer must use the parameters that it is given"
            raise _wrong(rule, self.optimizer, made, "optimizer-parameters")
        for group in made.param_groups:
            group["lr_scale"] = group["lr"] / lr
        return made


NO_PARTS = Parts()


@contextmanager
def named(part: object, argument: str) -> Iterator[None]:
    """Turn any error in a user's function into a TrainingError that names it; without a function, errors stay."""
    try:
        yield
    except Exception as error:
        if part is None:
            raise
        raise TrainingError(f"{argument} {_name(part)} fails: {reason_of(error)}.", code=f"{argument}-fails") from error


def _wrong(rule: str, part: object, returned: object, code: str) -> TrainingError:
    found = type(returned).__name__
    if isinstance(returned, Tensor):
        found = f"{tuple(returned.shape)} of {returned.dtype}" + ", not all finite" * (not returned.isfinite().all())
    return TrainingError(f"{rule}; {_name(part)} returns {found}.", code=code)


def _name(part: object) -> str:
    named = part if hasattr(part, "__qualname__") else type(part)
    # A recipe's own file is a module with a digest as its name.
    return named.__qualname__ if "mien_own_" in named.__module__ else f"{named.__module__}.{named.__qualname__}"


_FEW_STEPS = 100
_SMALL_BATCH = 16
"""Batch size that is suggested if an epoch has few steps."""


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """Data and settings of a run. :func:`plan_training` makes it.

    Attributes:
        recipe: recipe with every setting of its model, so that it stays valid when defaults change.
        dataset: all faces, with the data's own classes.
        train: train split with the recipe's label scheme, before balancing.
        validation: validation split with the recipe's label scheme.
        outputs: outputs of the network, the label's first.
        class_counts: int64 (C,), number of samples per class in an epoch, after balancing.
        loss: loss of the label's output, on the CPU.
        steps_per_epoch: optimiser steps of one epoch.
        parts: user's replacements for parts of the recipe.
    """

    recipe: Recipe
    dataset: Dataset
    train: Dataset
    validation: Dataset
    outputs: tuple[Output, ...]
    class_counts: npt.NDArray[np.int64]
    loss: Loss
    steps_per_epoch: int
    parts: Parts = NO_PARTS

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the label's output, in the order of its logits."""
        return self.train.classes

    @property
    def train_count(self) -> int:
        """Number of training samples after balancing."""
        return int(self.class_counts.sum())

    def progress(self, epoch: int, index: int) -> float:
        """Return the fraction of all steps before step ``index`` (from 0) of ``epoch`` (from 1)."""
        return ((epoch - 1) * self.steps_per_epoch + index) / (self.steps_per_epoch * self.recipe.epochs)

    @cached_property
    def balanced_train(self) -> Dataset:
        """The train split after balancing."""
        return balance(self.train, self.recipe.balance, self.recipe.seed)


def plan_training(recipe: Recipe, dataset: Dataset, parts: Parts | None = None) -> TrainingPlan:
    """Make the plan for a recipe and a data set, without building a network or copying faces.

    Raises:
        DataError: there is no train or validation split; train has fewer than two classes; images of another size or
            number of channels than the recipe's; too few samples of a class for balancing or logit adjustment; or
            missing votes for an output.
        RecipeError: unknown model or setting.
    """
    recipe = completed(recipe)
    scheme = parse_scheme(recipe.classes)
    train, validation = (dataset.of_split(split).with_scheme(scheme) for split in ("train", "validation"))
    check_images(dataset, recipe)
    if np.count_nonzero(train.counts()) < 2:
        words = "The train split has samples of one class only; a classifier needs at least two."
        raise DataError(words, code="one-class")
    outputs = make_outputs(recipe, train)
    make_outputs(recipe, validation)
    check_counts(train, recipe.balance)
    counts = balanced_counts(train.counts(), recipe.balance)
    return TrainingPlan(
        recipe=recipe,
        dataset=dataset,
        train=train,
        validation=validation,
        outputs=outputs,
        class_counts=counts,
        loss=make_loss(recipe, counts, train.classes),
        steps_per_epoch=count_steps(int(counts.sum()), recipe.batch_size),
        parts=(parts or NO_PARTS).with_files(recipe),
    )


def check_images(dataset: Dataset, recipe: Recipe) -> None:
    """Raise :class:`DataError` for images of another size or number of channels than the recipe's."""
    if dataset.images.shape[1:] != recipe.input.face_shape:
        size_px, channels = recipe.input.stored_as
        words = f"The recipe needs {'grey' if channels == 1 else 'RGB'} images of {size_px} x {size_px} px; these are "
        words += f"{dataset.images.shape[1:]}. Read them with size_px={size_px}, channels={channels}."
        raise DataError(words, code="image-size")


def recipe_warnings(recipe: Recipe, *, from_run: bool = False, train_faces: int | None = None) -> Iterator[Notice]:
    """Yield notices to read before training with this recipe, one sentence each. Raises RecipeError: unknown model."""
    frozen = recipe.tuning.frozen_epochs
    if frozen and not from_run and starts_from_scratch(recipe.model):
        yield Notice(
            f"tuning.frozen_epochs = {frozen} keeps RANDOM weights frozen: "
            "start from trained ones with --from RUN or a pretrained backbone.",
            code="weights-random-frozen",
        )
    if recipe.tuning.fit_head:
        return
    mixed = (recipe.augment.mixup or recipe.augment.cutmix) and recipe.augment.mixup_probability == 1
    if recipe.self_adaptive and mixed and not recipe.augment.mixup_off_epochs:
        yield Notice(
            "self_adaptive has no effect if every batch is mixed: lower augment.mixup_probability.", code="targets-stay"
        )
    if frozen >= recipe.epochs:
        yield Notice(
            f"tuning.frozen_epochs = {frozen} lasts for the whole run of {recipe.epochs}: only the head is trained. "
            f"To train the rest too, lower it or set more epochs.",
            code="only-head-learns",
        )
    if train_faces is not None and train_faces < recipe.batch_size:
        yield Notice(
            f"batch_size = {recipe.batch_size} is more than train's {train_faces:,} faces: lower it for more steps.",
            code="batch-too-large",
        )
        return
    steps = None if train_faces is None else recipe.epochs * count_steps(train_faces, recipe.batch_size)
    if steps is not None and steps < _FEW_STEPS and recipe.batch_size > _SMALL_BATCH:
        yield Notice(
            f"few steps of training ({steps}) at batch_size = {recipe.batch_size}. Lower it, or train more epochs.",
            code="few-steps",
        )
