"""Sharpness-aware minimisation: Foret et al., ICLR 2021. A step follows the slope of a worse place nearby."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def sam_perturbation(network: nn.Module, rho: float) -> Iterator[None]:
    """Inside the block the weights lie ``rho`` up the slope that they have, and gradients start from zero.

    The paper's equation 2: w + rho * g / |g|. Batch norms keep their running statistics, which are of the weights
    outside. Afterwards the weights are back, bit for bit, and the gradients are those found inside.
    """
    sloped = [parameter for parameter in network.parameters() if parameter.grad is not None]
    norms: list[Any] = [module for module in network.modules() if getattr(module, "track_running_stats", False)]
    with torch.no_grad():
        own = [parameter.clone() for parameter in sloped]
        slopes = [parameter.grad for parameter in sloped if parameter.grad is not None]
        length = nn.utils.get_total_norm(slopes)
        for parameter, slope in zip(sloped, slopes, strict=True):
            parameter.add_(slope * (rho / (length + 1e-12)))
            parameter.grad = None
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        with torch.no_grad():
            for parameter, value in zip(sloped, own, strict=True):
                parameter.copy_(value)
