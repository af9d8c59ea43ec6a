"""Running statistics of batch norms, taken anew: for weights that no step of training had, on faces as they are served.

What a norm remembers of training belongs to other weights than their average, and to faces that were turned, mixed and
partly erased. Wu & Johnson, "Rethinking 'Batch' in BatchNorm", 2021, call the remedy precise batch norm.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mien.models.network import Network
from mien.preprocess import InputSpec, to_input

BATCH = 256
ENOUGH = 4096
"""So many faces give the statistics of all to a few thousandths; taken after each epoch."""


def some_rows(count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The same :data:`ENOUGH` of ``count`` rows each time, in a random order; all where there are fewer."""
    return np.random.default_rng(0).permutation(count)[:ENOUGH]


@torch.no_grad()
def renew_statistics(
    network: Network,
    images: np.ndarray[Any, np.dtype[np.uint8]],
    spec: InputSpec,
    through: nn.Module | None = None,
) -> None:
    """Set the running statistics of all batch norms to the mean over batches of these faces, in a fixed random order.

    Args:
        network: changed in place, and left in evaluation mode.
        images: uint8 (N, size_px, size_px).
        spec: the network's input.
        through: what to call in its place, if it computes by way of another module (in bf16, say).
    """
    network.eval()
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    before = [(norm.momentum, _count(norm)) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        # None: the plain mean over batches.
        norm.momentum = None
        norm.train()
    device = next(network.parameters()).device
    order = np.random.default_rng(0).permutation(len(images))
    for first in range(0, len(images), BATCH):
        inputs = torch.from_numpy(to_input(images[order[first : first + BATCH]], spec)).to(device)
        (through or network)(inputs.contiguous(memory_format=torch.channels_last))
    for norm, (momentum, batches) in zip(norms, before, strict=True):
        norm.momentum = momentum
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.fill_(batches)
    network.eval()


def _count(norm: _BatchNorm) -> int:
    """Batches that it has seen; 0 where it does not count them."""
    return 0 if norm.num_batches_tracked is None else int(norm.num_batches_tracked)
