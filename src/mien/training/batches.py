"""Batches of an epoch: every face once, in a random order, changed and mixed, batch by batch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mien.base.recipe import AugmentRecipe, Recipe
from mien.data.balance import balanced_order
from mien.data.image_store import expect_random, is_mapped
from mien.training.augment import alternate, augment, mix


def image_tensor(images: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """A data set's images for :func:`epoch_batches`, which must not be written into: on the device.

    Those of a mapped file stay where they are, except for a GPU with room for them.
    """
    if not is_mapped(images):
        # Their own memory, unless they are read-only: a copy would double it.
        return torch.from_numpy(np.require(images, requirements="W")).to(device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
        tensor = torch.from_numpy(expect_random(images))
    has_room = device.type == "cuda" and 2 * images.nbytes < torch.cuda.mem_get_info(device)[0]
    return tensor.to(device) if has_room else tensor


@dataclass(frozen=True)
class Batch:
    """Faces as a network sees them in one step.

    Attributes:
        images: float32 (B, channels, S, S), normalised, channels-last.
        chosen: int64 (B,), which of the faces they are.
        partner: int64 (B,), which of the faces each is mixed with; None where none is.
        lam: the weight of each image itself in its mix, 0..1; its partner has 1 - lam.
        index: which step of the epoch, from 0.
    """

    images: Tensor
    chosen: Tensor
    partner: Tensor | None
    lam: float
    index: int

    def part(self, places: slice) -> Batch:
        """Some of these faces."""
        partner = None if self.partner is None else self.partner[places]
        return replace(self, images=self.images[places], chosen=self.chosen[places], partner=partner)

    def mixed(self, values: Tensor) -> Tensor:
        """Return the batch's values (B, C) of those of all faces (N, C), mixed as its faces are."""
        own = values[self.chosen]
        return own if self.partner is None else self.lam * own + (1 - self.lam) * values[self.partner]


def count_steps(faces: int, batch_size: int) -> int:
    """Steps of one epoch. The last, smaller batch is left out: batch norm on a handful of faces is noise."""
    return max(faces // batch_size, 1)


def epoch_batches(
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    *,
    seed: int,
    epoch: int,
    mixing: bool,
    side_px: Callable[[int], int] | None = None,
) -> Iterator[Batch]:
    """The batches of one epoch. All that is random in them comes from ``seed`` and ``epoch``.

    Args:
        images: uint8 (N, size_px, size_px[, 3]), 0..255: from :func:`image_tensor`.
        labels: int64 (N,), on the device that is to hold the batches.
        recipe: its ``augment``, ``input``, ``batch_size`` and ``balance`` count.
        seed: of the run; ``epoch`` is counted from 1.
        epoch: which one.
        mixing: whether images are mixed with one another, where the recipe mixes.
        side_px: of a step's index, the side to show the crop at; None shows it as it is. Where images are not cut and
            pasted (cutmix), the side changes nothing else: the same faces are turned, moved and mixed alike.
    """
    device = labels.device
    generator = torch.Generator(device).manual_seed(epoch_seed(seed, epoch) + 1)
    # Numbers that Python acts on are drawn beside it: each one that it reads from a GPU is a wait for all work so far.
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
        if mixing and (recipe.augment.mixup or recipe.augment.cutmix) and _is_mixed(recipe.augment, host):
            batch, places, lam = mix(batch, recipe.augment, generator, host)
            partner = chosen[places]
        images_shown = batch.contiguous(memory_format=torch.channels_last)
        yield Batch(images_shown, chosen, partner, lam, index)


def _is_mixed(recipe: AugmentRecipe, host: torch.Generator) -> bool:
    """Whether to mix this batch. No number is drawn where all batches are mixed: their sequence stays as it was."""
    return recipe.mixup_probability == 1 or float(torch.rand((), generator=host)) < recipe.mixup_probability


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of one epoch: far enough apart that no epoch of one seed shares its numbers with one of the next."""
    return 2 * (seed * 100_003 + epoch)
