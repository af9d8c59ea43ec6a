"""Plan of a training run: a recipe and a data set, with all that follows from both."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from mien.base.arrays import Ints
from mien.base.errors import DataError, Notice
from mien.base.labels import parse_scheme
from mien.base.recipe import Recipe
from mien.data.dataset import Dataset
from mien.models.network import Network
from mien.models.registry import completed, starts_from_scratch
from mien.training.batches import balance, balanced_counts, count_steps
from mien.training.heads import Output, make_outputs
from mien.training.losses import Loss, make_loss
from mien.training.optim import build_optimizer, lr_scales
from mien.training.own_parts import NO_PARTS, Parts, ignored_keys

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
    class_counts: Ints
    loss: Loss
    steps_per_epoch: int
    parts: Parts = NO_PARTS

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the label's output, in the order of its logits."""
        return self.train.classes

    @property
    def logits(self) -> int:
        """Number of logits of all outputs."""
        return sum(len(output.classes) for output in self.outputs)

    @property
    def train_count(self) -> int:
        """Number of training samples after balancing."""
        return int(self.class_counts.sum())

    def make_optimizer(self, network: Network) -> torch.optim.Optimizer:
        """Make the optimiser of a network: the user's, or the recipe's."""
        optim, tuning = self.recipe.optim, self.recipe.tuning
        if self.parts.optimizer is not None:
            return self.parts.make_optimizer(network, optim.lr)
        return build_optimizer(network, optim, lr_scales(network, tuning.layer_decay))

    def progress(self, epoch: int, index: int) -> float:
        """Return the fraction of all steps before step ``index`` (from 0) of ``epoch`` (from 1)."""
        return ((epoch - 1) * self.steps_per_epoch + index) / (self.steps_per_epoch * self.recipe.epochs)

    @cached_property
    def balanced_train(self) -> Dataset:
        """The train split after balancing."""
        return balance(self.train, self.recipe.balance, self.recipe.seed)


def plan_training(recipe: Recipe, dataset: Dataset, parts: Parts | None = None) -> TrainingPlan:
    """Make the plan for a recipe and a data set, without building a network or copying faces.

    Raises DataError: a split, a class or votes are missing, images are of another size than the recipe's, or a class is
    too small for balancing or logit adjustment; RecipeError: unknown model or setting.
    """
    recipe = completed(recipe)
    scheme = parse_scheme(recipe.classes)
    train, validation = (dataset.of_split(split).with_scheme(scheme) for split in ("train", "validation"))
    check_images(dataset, recipe)
    if np.count_nonzero(train.counts()) < 2:
        raise DataError("The train split has one class; a classifier needs at least two.", code="too-few-classes")
    outputs = make_outputs(recipe, train)
    make_outputs(recipe, validation)
    if (recipe.balance.sampling != "none" or recipe.balance.logit_adjustment) and not train.counts().all():
        empty = train.classes[int(train.counts().argmin())]
        words = f"The recipe's [balance] needs every class; train has none of '{empty}'. See --classes."
        raise DataError(words, code="class-too-small")
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
        size_px, channels = recipe.input.size_and_channels
        words = f"Images are {dataset.images.shape[1:]}; read them with size_px={size_px}, channels={channels}."
        raise DataError(words, code="image-size")


def recipe_warnings(
    recipe: Recipe, *parts: str, from_run: bool = False, train_faces: int | None = None
) -> Iterator[Notice]:
    """Yield notices to read before training, one sentence each; ``parts`` are given from Python."""
    yield from ignored_keys(recipe, parts)
    frozen = recipe.tuning.frozen_epochs
    if frozen and not from_run and starts_from_scratch(recipe.model):
        words = f"tuning.frozen_epochs = {frozen} keeps RANDOM weights frozen: start from trained ones with --from RUN"
        yield Notice(f"{words} or a pretrained backbone.", code="weights-random-frozen")
    if recipe.tuning.fit_head:
        return
    mixed = (recipe.augment.mixup or recipe.augment.cutmix) and recipe.augment.mixup_probability == 1
    if recipe.self_adaptive and mixed and not recipe.augment.mixup_off_epochs:
        words = "self_adaptive has no effect if every batch is mixed: lower augment.mixup_probability."
        yield Notice(words, code="targets-stay")
    if frozen >= recipe.epochs:
        words = f"tuning.frozen_epochs = {frozen} lasts for the whole run of {recipe.epochs}: only the head is trained."
        yield Notice(f"{words} To train the rest too, lower it or set more epochs.", code="only-head-learns")
    if train_faces is not None and train_faces < recipe.batch_size:
        words = f"batch_size = {recipe.batch_size} is more than train's {train_faces:,} faces: lower it for more steps."
        yield Notice(words, code="batch-too-large")
        return
    steps = None if train_faces is None else recipe.epochs * count_steps(train_faces, recipe.batch_size)
    if steps is not None and steps < _FEW_STEPS and recipe.batch_size > _SMALL_BATCH:
        words = f"few steps of training ({steps}) at batch_size = {recipe.batch_size}. Lower it, or train more epochs."
        yield Notice(words, code="few-steps")
