"""Plan of a training run: a recipe, a data set and a user's own functions, with all that follows from them."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mien.base.arrays import Ints
from mien.base.errors import DataError, Notice, TrainingError, reason_of
from mien.base.labels import parse_scheme
from mien.base.preprocess import InputSpec, denormalise, normalise
from mien.base.recipe import LOSS_KEYS, Recipe, load_recipe
from mien.base.recipe_tables import MIXES, OWN_PARTS, AugmentRecipe, OptimRecipe, OwnPart
from mien.data.dataset import Dataset
from mien.models.network import Network
from mien.models.own import own_function, taken_keys
from mien.models.registry import completed, starts_from_scratch
from mien.training.batches import Batch, balanced_indices, count_steps
from mien.training.heads import Loss, LossFunction, Output, make_loss, make_outputs
from mien.training.optim import build_optimizer, lr_scales

Augmentation = Callable[[Tensor], Tensor]
OptimizerMaker = Callable[[list[nn.Parameter]], torch.optim.Optimizer]

_REPLACED = {
    "loss": LOSS_KEYS,
    "augment": tuple(key for key in map("augment.{}".format, AugmentRecipe.model_fields) if key not in MIXES),
    "optim": (*(f"optim.{key}" for key in OptimRecipe.model_fields if key != "clip_norm"), "tuning.layer_decay"),
}
"""Keys of a recipe without effect beside a user's part of a table, unless its function takes them."""


@dataclass(frozen=True)
class Parts:
    """A user's functions in place of parts of a recipe, from its files or given in Python, as to :func:`mien.train`.

    Attributes:
        weights: initial weights of the network, by name.
        of_recipe: names of the parts that come from files in the recipe.
    """

    loss: LossFunction | type[nn.Module] | None = None
    augment: Augmentation | None = None
    optimizer: OptimizerMaker | None = None
    weights: Mapping[str, Tensor] | None = None
    of_recipe: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        """Instantiate a loss that is a class."""
        if isinstance(self.loss, type):
            with named(self.loss, "loss"):
                object.__setattr__(self, "loss", self.loss())

    def with_files(self, recipe: Recipe) -> "Parts":
        """Add the functions from files that the recipe names, for parts that are not given."""
        names = {"optimizer" if table == "optim" else table: table for table in recipe.own_parts}
        wanted = {name: table for name, table in names.items() if getattr(self, name) is None}
        found: dict[str, Any] = {name: own_function(recipe.own_parts[table], table) for name, table in wanted.items()}
        return replace(self, of_recipe=frozenset(found), **found)

    def names(self) -> dict[str, str]:
        """Return the name of each given function, which the run records."""
        given = {"loss": self.loss, "augment": self.augment, "optimizer": self.optimizer}
        named = {name: _name(part) for name, part in given.items() if part is not None and name not in self.of_recipe}
        return named | ({} if self.weights is None else {"weights": "of an instance"})

    def label_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the user's loss of a batch. Raises TrainingError: no scalar, or no gradient (``own-part``)."""
        assert self.loss is not None
        try:
            with named(self.loss, "loss"):
                value = self.loss(logits, labels)
        except TrainingError:
            if logits.isfinite().all():
                raise
            return logits.sum() * torch.nan  # The training has diverged; its check of the loss says so.
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            raise _wrong("loss must return a scalar tensor, the mean over the batch", self.loss, value)
        if logits.requires_grad and not value.requires_grad:
            raise _wrong("loss must depend on the logits and have a gradient", self.loss, value)
        return value

    def recipe_shown(self, recipe: Recipe) -> Recipe:
        """Return the recipe for making batches; a user's augmentation leaves only the recipe's mixup and cutmix."""
        if self.augment is None:
            return recipe
        kept = {key.rpartition(".")[2]: attrgetter(key)(recipe) for key in MIXES}
        return recipe.model_copy(update={"augment": AugmentRecipe(**kept)})

    def augmented(self, batches: Iterable[Batch], spec: InputSpec) -> Iterator[Batch]:
        """Apply the user's augmentation to the batches. Raises TrainingError for a wrong result (``own-part``)."""
        assert self.augment is not None
        for batch in batches:
            with named(self.augment, "augment"):
                images = self.augment(denormalise(batch.images, spec) / 255)
            right = isinstance(images, Tensor) and images.shape == batch.images.shape and images.is_floating_point()
            # Noise may pass 1; images of 0 to 255 are a mistake.
            if not right or not bool((images.abs() < 10).all()):
                rule = f"augment must return float images of shape {tuple(batch.images.shape)}, 0..1, all finite"
                rule += f", not up to {float(images.abs().max()):.4g}" if right else ""
                raise _wrong(rule, self.augment, images)
            shown = normalise(255 * images.float(), spec).contiguous(memory_format=torch.channels_last)
            yield replace(batch, images=shown)

    def make_optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        """Make the user's optimiser; ``lr`` is the recipe's. Raises TrainingError for a wrong one (``own-part``)."""
        assert self.optimizer is not None
        with named(self.optimizer, "optimizer"):
            made: Any = self.optimizer([each for each in network.parameters() if each.requires_grad])
        if not isinstance(made, torch.optim.Optimizer):
            raise _wrong("optimizer must return a torch.optim.Optimizer", self.optimizer, made)
        if not set(network.parameters()) & {each for group in made.param_groups for each in group["params"]}:
            raise _wrong("optimizer must use the parameters that it is given", self.optimizer, made)
        for group in made.param_groups:
            group["lr_scale"] = group["lr"] / lr
        return made


NO_PARTS = Parts()


def ignored_keys(recipe: Recipe, from_python: Container[str] = ()) -> Iterator[Notice]:
    """Yield a notice for each user's part that ignores keys changed from the built-in recipe, or from the defaults."""
    origin = load_recipe(recipe.built_in) if recipe.built_in else Recipe()
    for table, part in zip(OWN_PARTS, ("loss", "augment", "optimizer"), strict=True):
        own: OwnPart = getattr(recipe, table)
        if part in from_python or own.file:
            names = set() if part in from_python else OwnPart.model_fields.keys() | taken_keys(own, table)
            taken = {f"{table}.{name}" for name in names} | {f"{table}.file_sha256"}
            changed = [key for key in _REPLACED[table] if attrgetter(key)(recipe) != attrgetter(key)(origin)]
            if ignored := [key for key in changed if key not in taken]:
                yield Notice(f"your own {part} ignores {', '.join(ignored)}.", code=f"{part}-own")


@contextmanager
def named(part: object, argument: str) -> Iterator[None]:
    """Turn any error in a user's function into a TrainingError that names it; without a function, errors stay."""
    try:
        yield
    except Exception as error:
        if part is None:
            raise
        raise TrainingError(f"{argument} {_name(part)} fails: {reason_of(error)}.", code="own-part") from error


def _wrong(rule: str, part: object, returned: object) -> TrainingError:
    found = type(returned).__name__
    if isinstance(returned, Tensor):
        found = f"{tuple(returned.shape)} of {returned.dtype}" + ", not all finite" * (not returned.isfinite().all())
    return TrainingError(f"{rule}; {_name(part)} returns {found}.", code="own-part")


def _name(part: object) -> str:
    part = part.func if isinstance(part, partial) else part
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
        chosen: int64 (M,), indices in ``train`` of an epoch's samples, after balancing.
        loss: loss of the label's output, on the CPU.
        steps_per_epoch: optimiser steps of one epoch.
        parts: user's replacements for parts of the recipe.
    """

    recipe: Recipe
    dataset: Dataset
    train: Dataset
    validation: Dataset
    outputs: tuple[Output, ...]
    chosen: Ints
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
        unchanged = np.array_equal(self.chosen, np.arange(len(self.train)))
        return self.train if unchanged else self.train.subset(self.chosen)


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
    chosen = balanced_indices(train.labels, len(train.classes), recipe.balance, recipe.seed)
    counts = np.bincount(train.labels[chosen], minlength=len(train.classes))
    return TrainingPlan(
        recipe=recipe,
        dataset=dataset,
        train=train,
        validation=validation,
        outputs=outputs,
        chosen=chosen,
        loss=make_loss(recipe, counts, train.classes),
        steps_per_epoch=count_steps(len(chosen), recipe.batch_size),
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
