"""Batches of an epoch: the balanced faces in random order, augmented and mixed."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mien.base.arrays import Ints, Pixels
from mien.base.recipe import Recipe
from mien.base.recipe_tables import BalanceRecipe
from mien.data.dataset import Dataset
from mien.data.image_store import expect_random, is_mapped
from mien.training.augment import alternate, augment, mix


def image_tensor(images: Pixels, device: torch.device) -> Tensor:
    """Return a data set's images as a read-only tensor; a mapped file stays one, unless it fits into a GPU's memory."""
    if not is_mapped(images):
        # Only a read-only array is copied, because a copy needs twice the memory.
        return torch.from_numpy(np.require(images, requirements="W")).to(device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        tensor = torch.from_numpy(expect_random(images))
    has_room = device.type == "cuda" and 2 * images.nbytes < torch.cuda.mem_get_info(device)[0]
    return tensor.to(device) if has_room else tensor


@dataclass(frozen=True)
class Batch:
    """The faces of one step as the network sees them.

    Attributes:
        images: float32 (B, channels, S, S), normalised, channels-last.
        chosen: int64 (B,), indices of the faces.
        partner: int64 (B,), index of the face that each is mixed with; None without mixing.
        lam: weight of each image in its mix, 0..1; its partner has 1 - lam.
        index: index of the step in the epoch, from 0.
        weight: factor of the batch's loss in the step; see :meth:`mien.training.device.TrainingFabric.own_part`.
    """

    images: Tensor
    chosen: Tensor
    partner: Tensor | None
    lam: float
    index: int
    weight: float = 1.0

    def part(self, part: slice) -> "Batch":
        """Return the part of the batch from one index to another."""
        partner = None if self.partner is None else self.partner[part]
        return replace(self, images=self.images[part], chosen=self.chosen[part], partner=partner)

    def mixed(self, values: Tensor) -> Tensor:
        """Select the batch's values (B, C) from those of all faces (N, C), mixed like the faces."""
        own = values[self.chosen]
        return own if self.partner is None else self.lam * own + (1 - self.lam) * values[self.partner]


def count_steps(faces: int, batch_size: int) -> int:
    """Count the steps of an epoch. The last, smaller batch is skipped: batch norm is too noisy on a few faces."""
    return max(faces // batch_size, 1)


def epoch_batches(
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    epoch: int,
    mixing: bool,
    side_px: Callable[[int], int] | None = None,
) -> Iterator[Batch]:
    """Yield the batches of one epoch. All random numbers depend only on the recipe's seed and on ``epoch``.

    ``labels`` are on the device of the batches. ``mixing`` allows mixup and cutmix. ``side_px`` returns the side of the
    crop for a step's index.
    """
    device, seed = labels.device, recipe.seed
    generator = torch.Generator(device).manual_seed(epoch_seed(seed, epoch) + 1)
    # Draw numbers that Python needs on the CPU, because reading from a GPU waits for all its pending work.
    host = generator if device.type == "cpu" else torch.Generator().manual_seed(epoch_seed(seed, epoch) + 1)
    if recipe.balance.sampling == "batches":
        order = torch.from_numpy(balanced_order(labels.cpu().numpy(), recipe.batch_size, (seed, epoch))).to(device)
    else:
        order = torch.randperm(len(images), generator=generator, device=device)
    mirrored = alternate(len(images), epoch, seed, device)
    for index in range(count_steps(len(images), recipe.batch_size)):
        chosen = order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
        batch = augment(
            images[chosen.to(images.device)].to(device),
            recipe.augment,
            recipe.input,
            generator,
            mirrored=mirrored[chosen] if recipe.augment.flip else None,
            side_px=None if side_px is None else side_px(index),
        )
        partner, lam = None, 1.0
        if mixing and (recipe.augment.mixup or recipe.augment.cutmix):
            share = recipe.augment.mixup_probability
            # If all batches are mixed, no number is drawn, as in older runs.
            if share == 1 or float(torch.rand((), generator=host)) < share:
                batch, indices, lam = mix(batch, recipe.augment, generator, host)
                partner = chosen[indices]
        yield Batch(batch.contiguous(memory_format=torch.channels_last), chosen, partner, lam, index)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of an epoch. Seeds are spaced so that epochs of different runs do not share random numbers."""
    return 2 * (seed * 100_003 + epoch)


def balance(dataset: Dataset, recipe: BalanceRecipe, seed: int) -> Dataset:
    """Apply ``recipe`` to training faces, of which no class is empty."""
    if recipe.faces_per_class:
        dataset = draw_per_class(dataset, recipe.faces_per_class, seed)
    if recipe.sampling == "undersample":
        return draw_per_class(dataset, int(dataset.counts().min()), seed)
    return oversample(dataset, recipe.share, seed) if recipe.sampling == "oversample" else dataset


def balanced_counts(counts: Ints, recipe: BalanceRecipe) -> Ints:
    """Compute the number of faces per class after :func:`balance` from the number before. int64 (C,) -> int64 (C,)."""
    counts = np.minimum(counts, recipe.faces_per_class) if recipe.faces_per_class else counts
    match recipe.sampling:
        case "none" | "batches":
            return counts
        case "undersample":
            return np.full_like(counts, counts.min())
        case _:
            return np.maximum(counts, round(recipe.share * int(counts.max())))


def draw_per_class(dataset: Dataset, count: int, seed: int) -> Dataset:
    """Draw at most ``count`` faces of each class at random, in their order; a larger count draws additional ones."""
    generator = np.random.default_rng(seed)
    kept = [generator.permutation(members)[:count] for members in _members(dataset.labels, len(dataset.classes))]
    return dataset.subset(np.sort(np.concatenate(kept)))


def oversample(dataset: Dataset, share: float, seed: int) -> Dataset:
    """Repeat faces of smaller classes, all equally often, to ``share`` of the largest; repeated ones are last."""
    generator = np.random.default_rng(seed)
    counts = dataset.counts()
    pending = balanced_counts(counts, BalanceRecipe(sampling="oversample", share=share)) - counts
    members = _members(dataset.labels, len(dataset.classes))
    again = [_cycle(each, int(count), generator) for each, count in zip(members, pending, strict=True)]
    return dataset.subset(np.concatenate([np.arange(len(dataset)), *again]))


def balanced_order(labels: Ints, batch_size: int, seed: Sequence[int]) -> Ints:
    """Return an order of faces, labels int64 (N,), in which every batch has equally many faces of each class, or one
    more.

    An epoch has as many batches as without balancing. No face is repeated before all others of its class were used.
    """
    generator = np.random.default_rng(seed)
    present, labels = np.unique(labels, return_inverse=True)
    length = max(len(labels) // batch_size, 1) * batch_size
    # Classes alternate, so every part of the epoch has faces of all classes.
    turns = np.arange(length) % len(present)
    order = np.empty(length, dtype=np.int64)
    for label, members in enumerate(_members(labels, len(present))):
        indices = np.flatnonzero(turns == label)
        order[indices] = _cycle(members, len(indices), generator)
    return order


def _members(labels: Ints, class_count: int) -> list[Ints]:
    return [np.flatnonzero(labels == label) for label in range(class_count)]


def _cycle(members: Ints, count: int, generator: np.random.Generator) -> Ints:
    """Return ``count`` members: all of them in random order, then all again in another order, and so on."""
    if not count:
        return members[:0]
    return np.concatenate([generator.permutation(members) for _ in range(-(-count // len(members)))])[:count]
