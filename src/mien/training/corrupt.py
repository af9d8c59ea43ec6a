"""Blur, noise and low resolution as augmentation: what webcams and distant faces do to an image.

Hendrycks & Dietterich 2019 measure such corruptions. The strengths here span about the first four of the five that
:mod:`mien.evaluation.corruptions` measures, so a robustness figure of a network trained with them is of known kinds.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from mien.recipe import AugmentRecipe

REFERENCE_PX = 48
"""Lengths in pixels are those of a face of this side."""

SMALLEST_SIGMA_PX, LARGEST_SIGMA_PX = 0.3, 2.0
SMALLEST_RESOLUTION = 0.25
LARGEST_NOISE = 0.15
"""Standard deviation, as a fraction of white."""


def corrupt(pixels: Tensor, recipe: AugmentRecipe, generator: torch.Generator) -> Tensor:
    """Blur some images, show some at a lower resolution, add noise to some; each of a random strength.

    Args:
        pixels: float32 (N, channels, S, S), 0..255.
        recipe: its ``blur``, ``low_resolution`` and ``noise`` are the fractions of images.
        generator: source of all randomness, on the images' device.

    Returns:
        float32 (N, channels, S, S), 0..255.
    """
    count, side, device = len(pixels), pixels.shape[-1], pixels.device
    unchanged = torch.eye(side, device=device)

    def uniform() -> Tensor:
        return torch.rand(count, generator=generator, device=device)

    if recipe.blur:
        chosen, drawn = uniform() < recipe.blur, uniform()
        sigmas = (SMALLEST_SIGMA_PX + (LARGEST_SIGMA_PX - SMALLEST_SIGMA_PX) * drawn) * side / REFERENCE_PX
        pixels = _both_ways(pixels, torch.where(chosen.view(-1, 1, 1), blur_matrices(sigmas, side), unchanged))
    if recipe.low_resolution:
        table = resolution_matrices(side).to(device)
        chosen, size = uniform() < recipe.low_resolution, (uniform() * len(table)).long()
        pixels = _both_ways(pixels, torch.where(chosen.view(-1, 1, 1), table[size], unchanged))
    if recipe.noise:
        deviation = 255 * LARGEST_NOISE * uniform() * (uniform() < recipe.noise)
        noise = torch.randn(pixels.shape, generator=generator, device=device)
        pixels = pixels + deviation.view(-1, 1, 1, 1) * noise
    return pixels.clamp(0, 255)


def blur_matrices(sigmas: Tensor, side: int) -> Tensor:
    """Gaussian blur of one axis as matrices: float32 (N,) standard deviations in pixels -> float32 (N, side, side).

    Beyond the border there is nothing: rows are scaled to sum to 1, so that a grey image stays as it is.
    """
    places = torch.arange(side, device=sigmas.device, dtype=torch.float32)
    apart = (places.view(-1, 1) - places.view(1, -1)) ** 2
    weights = torch.exp(-apart / (2 * sigmas.clamp_min(1e-3).view(-1, 1, 1) ** 2))
    return weights / weights.sum(dim=2, keepdim=True)


@lru_cache(maxsize=8)
def resolution_matrices(side: int) -> Tensor:
    """Shrinking one axis and enlarging it again, for each size from a quarter of the side up: (K, side, side).

    Both steps are linear and separable, so their effect on unit vectors is the whole filter.
    """
    unit = torch.eye(side).unsqueeze(0)
    matrices = []
    for fewer in range(max(round(SMALLEST_RESOLUTION * side), 1), side):
        small = functional.adaptive_avg_pool1d(unit, fewer)
        large = functional.interpolate(small, size=side, mode="linear", align_corners=False)
        matrices.append(large[0].T)
    return torch.stack(matrices)


def _both_ways(pixels: Tensor, matrices: Tensor) -> Tensor:
    """One linear filter an image, on its rows and its columns: (N, C, S, S), (N, S, S) -> (N, C, S, S)."""
    return matrices.unsqueeze(1) @ pixels @ matrices.transpose(1, 2).unsqueeze(1)
