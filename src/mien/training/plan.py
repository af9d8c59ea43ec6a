"""A training run before it starts: a recipe and a data set, brought together and checked once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.data.balance import balance, balanced_counts, check_counts
from mien.data.dataset import Dataset
from mien.errors import DataError, Notice
from mien.labels import parse_scheme
from mien.models.registry import completed, starts_from_scratch
from mien.recipe import Recipe
from mien.training.batches import count_steps
from mien.training.losses import Loss, make_loss
from mien.training.outputs import Output, make_outputs
from mien.training.parts import NO_PARTS, Parts

_FEW_STEPS = 100
_SMALL_BATCH = 16
"""What to try where an epoch has few steps."""


@dataclass(frozen=True, eq=False)
class TrainingPlan:
    """What a run trains on, and by what. Made by :func:`plan_training`.

    Attributes:
        recipe: with every setting of its model written out, so that it stays true when defaults change.
        dataset: all faces, under the data's own classes.
        train: the train split under the recipe's label scheme, before balancing.
        validation: the validation split under the recipe's label scheme.
        outputs: of the network, that of the label first.
        class_counts: int64 (C,), samples of each class that an epoch draws from, after balancing.
        loss: of the label output, on the CPU.
        steps_per_epoch: optimiser steps of one epoch.
        parts: what a user gave in place of the recipe's own.
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
        """Class names of the label output, in the order of its logits."""
        return self.train.classes

    @property
    def train_count(self) -> int:
        """Number of samples to train on, after balancing."""
        return int(self.class_counts.sum())

    def balanced_train(self) -> Dataset:
        """The samples to train on: the train split after balancing. Made at each call, not kept."""
        return balance(self.train, self.recipe.balance, self.recipe.seed)


def plan_training(recipe: Recipe, dataset: Dataset, parts: Parts | None = None) -> TrainingPlan:
    """Bring a recipe and a data set together. Neither builds a network nor makes a face.

    Args:
        recipe: what to do.
        dataset: under the data's own classes; the recipe's label scheme is applied here, and nowhere else.
        parts: what a user gave in place of the recipe's own.

    Raises:
        DataError: no train or no validation split; fewer than two classes to train on; images of another size or
            number of channels than the recipe's; too few samples of a class to balance, or to adjust logits by; votes
            that an output needs.
        RecipeError: the recipe names a model or setting that does not exist.
    """
    recipe = completed(recipe)
    scheme = parse_scheme(recipe.classes)
    train, validation = (dataset.of_split(split).with_scheme(scheme) for split in ("train", "validation"))
    if dataset.images.shape[1:] != recipe.input.face_shape:
        size_px, channels = recipe.input.size_px, recipe.input.channels
        raise DataError(
            f"The recipe needs {'grey' if channels == 1 else 'RGB'} images of {size_px} x {size_px} px; these are "
            f"{dataset.images.shape[1:]}. Read them with size_px={size_px}, channels={channels}.",
            code="image-size",
        )
    if np.count_nonzero(train.counts()) < 2:
        raise DataError(
            "The train split has samples of one class only; a classifier needs at least two.", code="one-class"
        )
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
        parts=parts or NO_PARTS,
    )


def recipe_warnings(recipe: Recipe, *, from_run: bool = False, train_faces: int | None = None) -> Iterator[Notice]:
    """What one should know before training by this recipe; one sentence each.

    Args:
        recipe: what to do.
        from_run: the run begins with the weights of another run.
        train_faces: how many faces there are to learn, once classes are balanced, where that is known.

    Raises:
        RecipeError: there is no such model.
    """
    frozen = recipe.tuning.frozen_epochs
    if starts_from_scratch(recipe.model) and not from_run:
        if "pretrained" in recipe.model.settings:
            yield Notice(
                "model.pretrained is false: the backbone begins with RANDOM weights, nothing is transferred.",
                code="weights-random",
            )
        if frozen:
            yield Notice(
                f"tuning.frozen_epochs = {frozen} keeps RANDOM weights frozen: "
                f"start from trained ones with --from RUN or a pretrained backbone.",
                code="weights-random-frozen",
            )
    if recipe.tuning.fit_head:
        return
    if frozen >= recipe.epochs:
        yield Notice(
            f"tuning.frozen_epochs = {frozen} lasts for the whole run of {recipe.epochs}: only the head learns. "
            f"To train the rest too, lower it or set more epochs.",
            code="only-head-learns",
        )
    if train_faces is not None and train_faces < recipe.batch_size:
        yield Notice(
            f"batch_size = {recipe.batch_size} is more than the {train_faces:,} faces of train: an epoch is one step. "
            f"Lower it.",
            code="batch-too-large",
        )
        return
    steps = None if train_faces is None else recipe.epochs * count_steps(train_faces, recipe.batch_size)
    if steps is not None and steps < _FEW_STEPS and recipe.batch_size > _SMALL_BATCH:
        yield Notice(
            f"training has only {steps} steps at batch_size = {recipe.batch_size}. Try --batch-size {_SMALL_BATCH}, or "
            f"more epochs.",
            code="few-steps",
        )
