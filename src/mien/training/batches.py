"""Batches of an epoch: the balanced faces in random order, augmented and mixed."""

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mien.base.arrays import Ints, Pixels
from mien.base.preprocess import InputSpec, in_pixels, normalise
from mien.base.recipe import Recipe
from mien.base.recipe_tables import AugmentRecipe, BalanceRecipe
from mien.data.image_store import expect_random, is_mapped

REFERENCE_PX = 48
"""Lengths in pixels refer to a face of this side."""

MIN_SIGMA_PX, MAX_SIGMA_PX = 0.3, 2.0
MIN_RESOLUTION = 0.25
MAX_NOISE = 0.15
"""Largest standard deviation of the noise, as a fraction of white."""


def augment(
    images: Tensor,
    recipe: AugmentRecipe,
    spec: InputSpec,
    generator: torch.Generator,
    *,
    mirrored: Tensor | None = None,
    side_px: int | None = None,
) -> Tensor:
    """Crop, augment and normalise one batch, uint8 (N, size_px, size_px[, 3]); mixup and cutmix are in :func:`mix`.

    ``generator`` is on the images' device, ``mirrored`` bool (N,). Returns float32 (N, channels, side_px, side_px).
    """
    side_px = side_px or spec.crop_px
    pixels = (images.unsqueeze(1) if images.ndim == 3 else images.permute(0, 3, 1, 2)).to(torch.float32)
    if recipe.translate or recipe.rotation_degrees or recipe.scale or recipe.shear:
        pixels = _warp(pixels, recipe, spec, generator, mirrored, side_px)
    else:
        pixels = pixels[:, :, spec.window, spec.window]
        if mirrored is not None:
            pixels = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(3), pixels)
        if side_px != spec.crop_px:
            pixels = functional.interpolate(pixels, size=side_px, mode="bilinear", antialias=True, align_corners=False)
    if recipe.brightness_range != (1, 1):
        pixels = (pixels * _uniform(pixels, generator, *recipe.brightness_range)).clamp_(0, 255)
    if recipe.brightness or recipe.contrast:
        gain = _uniform(pixels, generator, 1 - recipe.contrast, 1 + recipe.contrast)
        offset = 255 * _uniform(pixels, generator, -recipe.brightness, recipe.brightness)
        centre = pixels.mean(dim=(2, 3), keepdim=True)
        pixels = ((pixels - centre) * gain + centre + offset).clamp_(0, 255)
    if recipe.blur or recipe.noise or recipe.low_resolution:
        pixels = corrupt(pixels, recipe, generator)
    batch = normalise(pixels, spec)
    return _erase(batch, recipe.random_erasing, generator) if recipe.random_erasing else batch


def corrupt(pixels: Tensor, recipe: AugmentRecipe, generator: torch.Generator) -> Tensor:
    """Blur some images, reduce the resolution of others, and add noise to others, with random strength.

    The strengths are about the first four of five in :mod:`mien.evaluation.robustness`. Pixels are float32 (N,
    channels, S, S), 0..255.
    """
    count, side, device = len(pixels), pixels.shape[-1], pixels.device
    unchanged = torch.eye(side, device=device)

    def uniform() -> Tensor:
        return torch.rand(count, generator=generator, device=device)

    if recipe.blur:
        chosen, drawn = uniform() < recipe.blur, uniform()
        sigmas = (MIN_SIGMA_PX + (MAX_SIGMA_PX - MIN_SIGMA_PX) * drawn) * side / REFERENCE_PX
        pixels = _both_ways(pixels, torch.where(chosen.view(-1, 1, 1), blur_matrices(sigmas, side), unchanged))
    if recipe.low_resolution:
        table = resolution_matrices(side).to(device)
        chosen, size = uniform() < recipe.low_resolution, (uniform() * len(table)).long()
        pixels = _both_ways(pixels, torch.where(chosen.view(-1, 1, 1), table[size], unchanged))
    if recipe.noise:
        deviation = 255 * MAX_NOISE * uniform() * (uniform() < recipe.noise)
        pixels = pixels + deviation.view(-1, 1, 1, 1) * torch.randn(pixels.shape, generator=generator, device=device)
    return pixels.clamp(0, 255)


def blur_matrices(sigmas: Tensor, side: int) -> Tensor:
    """Return matrices of a Gaussian blur along one axis: deviations in pixels, float32 (N,) -> float32 (N, side, side).

    Rows are scaled to sum to 1, so that a uniform image stays unchanged at the border.
    """
    positions = torch.arange(side, device=sigmas.device, dtype=torch.float32)
    apart = (positions.view(-1, 1) - positions.view(1, -1)) ** 2
    weights = torch.exp(-apart / (2 * sigmas.clamp_min(1e-3).view(-1, 1, 1) ** 2))
    return weights / weights.sum(dim=2, keepdim=True)


@lru_cache(maxsize=8)
def resolution_matrices(side: int) -> Tensor:
    """Return matrices that shrink an axis and enlarge it again, for sizes of a quarter or more: (K, side, side).

    Both steps are linear and separable, so their effect on unit vectors gives the whole filter.
    """
    unit = torch.eye(side).unsqueeze(0)
    matrices = []
    for fewer in range(max(round(MIN_RESOLUTION * side), 1), side):
        small = functional.adaptive_avg_pool1d(unit, fewer)
        matrices.append(functional.interpolate(small, size=side, mode="linear", align_corners=False)[0].T)
    return torch.stack(matrices)


def _both_ways(pixels: Tensor, matrices: Tensor) -> Tensor:
    """Apply one linear filter per image to rows and columns: (N, C, S, S), (N, S, S) -> (N, C, S, S)."""
    return matrices.unsqueeze(1) @ pixels @ matrices.transpose(1, 2).unsqueeze(1)


def as_shown(images: Pixels, recipe: Recipe, seed: int = 0) -> Pixels:
    """Return faces, uint8 (N, crop_px, crop_px[, 3]), augmented as in training, without mixup and cutmix."""
    spec = recipe.input
    mirrored = alternate(len(images), 1, seed, torch.device("cpu")) if recipe.augment.flip else None
    # Copy, because torch warns about read-only arrays.
    pixels = torch.from_numpy(np.array(images))
    batch = augment(pixels, recipe.augment, spec, torch.Generator().manual_seed(seed), mirrored=mirrored)
    return in_pixels(batch.numpy(), spec)


def mix(
    batch: Tensor, recipe: AugmentRecipe, generator: torch.Generator, host: torch.Generator
) -> tuple[Tensor, Tensor, float]:
    """Mix each image with a partner by mixup (Zhang et al. 2018), cutmix (Yun et al. 2019), or one of them at random.

    ``generator``, on the batch's device, draws the partners; ``host``, on the CPU, draws method and strength. Returns
    the mixed batch; int64 (N,) the partner of each image; and lam, the weight of each image's own label, 0..1. The loss
    is ``lam * loss(labels) + (1 - lam) * loss(labels[partner])``.
    """
    partner = torch.randperm(len(batch), generator=generator, device=batch.device)
    use_cutmix = _scalar(host) < 0.5 if recipe.cutmix and recipe.mixup else recipe.cutmix > 0
    lam = _beta(recipe.cutmix if use_cutmix else recipe.mixup, host)
    if not use_cutmix:
        return torch.lerp(batch[partner], batch, lam), partner, lam
    side = batch.shape[-1]
    cut = round(side * math.sqrt(1 - lam))
    top, left = (int(_scalar(host) * (side - cut + 1)) for _ in range(2))
    mixed = batch.clone()
    mixed[:, :, top : top + cut, left : left + cut] = batch[partner, :, top : top + cut, left : left + cut]
    return mixed, partner, 1 - (cut / side) ** 2


def alternate(count: int, epoch: int, seed: int, device: torch.device) -> Tensor:
    """Return which images to mirror in an epoch, bool (count,): half of them, and the other half in the next.

    This is the alternating flip (Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds").
    """
    return ((torch.rand(count, generator=torch.Generator().manual_seed(seed)) < 0.5) ^ (epoch % 2 == 1)).to(device)


def _warp(
    pixels: Tensor,
    recipe: AugmentRecipe,
    spec: InputSpec,
    generator: torch.Generator,
    mirrored: Tensor | None,
    side_px: int,
) -> Tensor:
    """Apply rotation, scale, shear, shift, mirroring and the crop in one resampling, with repeated border pixels."""
    count = len(pixels)
    angle = _uniform(pixels, generator, -1, 1).view(count) * math.radians(recipe.rotation_degrees)
    zoom = 1 / _uniform(pixels, generator, 1 - recipe.scale, 1 + recipe.scale).view(count)
    sign = torch.ones_like(zoom) if mirrored is None else 1 - 2 * mirrored.to(zoom.dtype)
    # affine_grid spans -1..1 over the output. The crop covers this fraction of the image; its start is rounded down.
    share = spec.crop_px / spec.size_px
    off_centre = (2 * spec.window.start + spec.crop_px - spec.size_px) / spec.size_px
    shift = off_centre + 2 * recipe.translate * (
        torch.rand(count, 2, generator=generator, device=pixels.device) * 2 - 1
    )
    cosine, sine = share * zoom * angle.cos(), share * zoom * angle.sin()
    # Vectors in the image (column, row) of a step to the right and of a step down in the output.
    right, down = (cosine, sine), (-sine, cosine)
    if recipe.shear:
        slant = _uniform(pixels, generator, -recipe.shear, recipe.shear).view(count)
        down = (down[0] + slant * cosine, down[1] + slant * sine)
    rows = torch.stack([sign * right[0], down[0], shift[:, 0], sign * right[1], down[1], shift[:, 1]], dim=1)
    shape = [count, pixels.shape[1], side_px, side_px]
    grid = functional.affine_grid(rows.view(count, 2, 3), shape, align_corners=False)
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _erase(batch: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Replace a rectangle of 2 to 20% of the area by grey in some images (Zhong et al. 2020)."""
    side = batch.shape[-1]
    area = _uniform(batch, generator, 0.02, 0.2)
    stretch = _uniform(batch, generator, math.log(0.5), math.log(2.0)).exp()
    height, width = (area * stretch).sqrt() * side, (area / stretch).sqrt() * side
    top = _uniform(batch, generator, 0, 1) * (side - height)
    left = _uniform(batch, generator, 0, 1) * (side - width)
    chosen = _uniform(batch, generator, 0, 1) < probability
    position = torch.arange(side, device=batch.device, dtype=batch.dtype)
    down, across = position.view(1, 1, side, 1), position.view(1, 1, 1, side)
    inside = (down >= top) & (down < top + height) & (across >= left) & (across < left + width) & chosen
    return batch.masked_fill(inside, 0.0)


def _uniform(like: Tensor, generator: torch.Generator, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(len(like), 1, 1, 1, generator=generator, device=like.device)


def _scalar(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def _beta(alpha: float, generator: torch.Generator) -> float:
    """Draw from Beta(alpha, alpha) by two gamma draws, because torch.distributions takes no generator."""
    drawn: list[float] = torch._standard_gamma(torch.full((2,), alpha), generator=generator).tolist()
    first, second = drawn
    if max(first, second) <= torch.finfo(torch.float32).tiny:
        # With a small alpha, both draws can underflow to 0. The result is then 0 or 1 with equal probability.
        return float(_scalar(generator) < 0.5)
    return first / (first + second)


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


def balanced_indices(labels: Ints, classes: int, recipe: BalanceRecipe, seed: int) -> Ints:
    """Choose the training faces of an epoch, int64 (M,), from those with these labels, int64 (N,) in 0..classes - 1.

    They are in their order; faces of smaller classes that are repeated, all equally often, are last.
    """
    members = _members(labels, classes)
    if recipe.faces_per_class:
        members = _drawn(members, recipe.faces_per_class, seed)
    if recipe.sampling == "undersample":
        members = _drawn(members, min(map(len, members)), seed)
    chosen = np.sort(np.concatenate(members))
    if recipe.sampling != "oversample":
        return chosen
    generator, wanted = np.random.default_rng(seed), round(recipe.share * max(map(len, members)))
    return np.concatenate([chosen, *(_cycle(each, max(wanted - len(each), 0), generator) for each in members)])


def _drawn(members: Sequence[Ints], count: int, seed: int) -> list[Ints]:
    """Draw at most ``count`` faces of each class at random, in their order; a larger count draws additional ones."""
    generator = np.random.default_rng(seed)
    return [np.sort(generator.permutation(each)[:count]) for each in members]


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
