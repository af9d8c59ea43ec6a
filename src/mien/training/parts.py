"""Parts of a run that are not of its recipe: a user's loss, augmentation, optimiser and first weights, from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mien.errors import TrainingError
from mien.preprocess import InputSpec, denormalise, normalise
from mien.recipe import AugmentRecipe, Recipe
from mien.training.batches import Batch

LossFunction = Callable[[Tensor, Tensor], Tensor]
Augmentation = Callable[[Tensor], Tensor]
OptimizerMaker = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Parts:
    """What takes the place of a recipe's own; None leaves that.

    Attributes:
        loss: logits float32 (B, C) and labels int64 (B,) -> a scalar; in place of the recipe's loss of the label.
        augment: images float32 (B, channels, S, S), 0..1 -> the same shape; in place of the recipe's augmentation
            except mixup and cutmix.
        optimizer: the trainable parameters -> an optimiser. The recipe's schedule multiplies its learning rates.
        weights: the network's first weights, by name.
    """

    loss: LossFunction | None = None
    augment: Augmentation | None = None
    optimizer: OptimizerMaker | None = None
    weights: Mapping[str, Tensor] | None = None

    def names(self) -> dict[str, str]:
        """What the run records: the name of each part that there is."""
        given = {"loss": self.loss, "augment": self.augment, "optimizer": self.optimizer}
        named = {name: _name(part) for name, part in given.items() if part is not None}
        return named | ({} if self.weights is None else {"weights": "of an instance"})

    def label_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The user's loss of a batch.

        Raises:
            TrainingError: it is no scalar (``loss-not-scalar``).
        """
        assert self.loss is not None
        value = self.loss(logits, labels)
        if not isinstance(value, Tensor) or value.ndim or not value.is_floating_point():
            found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise TrainingError(
                f"loss must return a scalar tensor, the mean over the batch; {_name(self.loss)} returns {found}.",
                code="loss-not-scalar",
            )
        return value

    def recipe_shown(self, recipe: Recipe) -> Recipe:
        """The recipe by which batches are made: with a user's augmentation, only mixup and cutmix of its own."""
        if self.augment is None:
            return recipe
        kept = {name: getattr(recipe.augment, name) for name in AugmentRecipe.model_fields if name.startswith("mixup")}
        return recipe.model_copy(update={"augment": AugmentRecipe(**kept, cutmix=recipe.augment.cutmix)})

    def augmented(self, batches: Iterable[Batch], spec: InputSpec) -> Iterator[Batch]:
        """The batches with the user's augmentation.

        Raises:
            TrainingError: it returns another shape, or what is not finite (``augment-output``).
        """
        for batch in batches:
            if self.augment is None:
                yield batch
                continue
            images = self.augment(denormalise(batch.images, spec) / 255)
            right = isinstance(images, Tensor) and images.shape == batch.images.shape and images.is_floating_point()
            if not right or not bool(torch.isfinite(images).all()):
                found = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
                raise TrainingError(
                    f"augment must return finite float images of shape {tuple(batch.images.shape)}, 0..1; "
                    f"{_name(self.augment)} returns {found}{', not all finite' if right else ''}.",
                    code="augment-output",
                )
            shown = normalise(255 * images, spec).contiguous(memory_format=torch.channels_last)
            yield replace(batch, images=shown)

    def make_optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        """The user's optimiser; ``lr`` is the recipe's, by which the loop's rates are shares.

        Raises:
            TrainingError: it is none (``optimizer-type``).
        """
        assert self.optimizer is not None
        made: Any = self.optimizer([each for each in network.parameters() if each.requires_grad])
        if not isinstance(made, torch.optim.Optimizer):
            raise TrainingError(
                f"optimizer must return a torch.optim.Optimizer; {_name(self.optimizer)} returns "
                f"{type(made).__name__}.",
                code="optimizer-type",
            )
        for group in made.param_groups:
            group["lr_scale"] = group["lr"] / lr
        return made


NO_PARTS = Parts()


def _name(part: object) -> str:
    named = part if hasattr(part, "__qualname__") else type(part)
    return f"{named.__module__}.{named.__qualname__}"
