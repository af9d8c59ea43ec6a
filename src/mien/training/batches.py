"""Batches of an epoch: every face once, in random order, augmented and mixed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mien.base.recipe import Recipe
from mien.data.balance import balanced_order
from mien.data.image_store import expect_random, is_mapped
from mien.training.augment import alternate, augment, mix


def image_tensor(images: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """Return a data set's images as a read-only tensor on the device, for :func:`epoch_batches`.

    Images of a memory-mapped file stay in the file, unless they fit into a GPU's memory.
    """
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

    def part(self, part: slice) -> Batch:
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

    ``images`` come from :func:`image_tensor`; ``labels`` are on the device of the batches. ``mixing`` allows mixup and
    cutmix, if the recipe has them. ``side_px`` returns the side of the crop for a step's index. Without cutmix, the
    side has no effect on how faces are augmented and mixed.
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
