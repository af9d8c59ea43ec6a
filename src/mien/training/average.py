"""The weights that are kept: a moving average, with batch norms that are measured for it.

The statistics of a norm belong to other weights than their average, and to images that were augmented. Wu &
Johnson, "Rethinking 'Batch' in BatchNorm", 2021, call the remedy precise batch norm. torch.optim.swa_utils.update_bn
gives the same statistics to the bit where no dropout comes before a norm; it runs dropout while it measures, and resets
the count of batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mien.base.preprocess import InputSpec, to_input
from mien.models.network import Network

BATCH = 256
ENOUGH = 4096
"""So many faces are used after each epoch: `fast` is as accurate with them as with all (docs/lab-notebook.md)."""


class WeightAverage:
    """Exponential moving average of a network's weights and running statistics, updated once a step.

    ``average <- d * average + (1 - d) * weights`` with ``d = min(decay, (1 + step) / (10 + step))``, so that
    the first steps do not hold on to the random start. With a decay of 0 it is the network itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
        self.tensors: dict[str, Tensor] = (
            {name: value.detach().clone() for name, value in self._live.items()} if decay else {}
        )

    def update(self, step: int) -> None:
        """Take in the weights after ``step`` (0-based)."""
        if self.tensors:
            decay = min(self._decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.tensors.values()), list(self._live.values()), 1 - decay)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Put back the average that a checkpoint kept."""
        for name, value in tensors.items():
            self.tensors[name].copy_(value)

    def take_statistics(self) -> None:
        """Take the running statistics that the network has now; to be called inside :meth:`in_place`."""
        for name, value in self.tensors.items():
            if name.endswith(("running_mean", "running_var")):
                value.copy_(self._live[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside the block the network has the averaged weights."""
        if not self.tensors:
            yield
            return
        with torch.no_grad():
            own = {name: value.clone() for name, value in self._live.items()}
            for name, value in self._live.items():
                value.copy_(self.tensors[name])
            try:
                yield
            finally:
                for name, value in self._live.items():
                    value.copy_(own[name])


def enough_of(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A copy of at most :data:`ENOUGH` of these faces, uint8 (N, ...), drawn at random, always the same."""
    return images[np.sort(np.random.default_rng(0).permutation(len(images))[:ENOUGH])]


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Its layers that keep statistics of what they saw."""
    return [each for each in network.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]


@torch.no_grad()
def recalibrate_bn(
    network: Network, images: npt.NDArray[np.uint8], spec: InputSpec, *, through: nn.Module | None = None
) -> None:
    """Set the running statistics of all batch norms to the mean over batches of these faces, in a fixed random order.

    Args:
        network: changed in place, and left in evaluation mode.
        images: uint8 (N, size_px, size_px[, 3]), two or more.
        spec: the network's input.
        through: what to call in its place, if it computes by way of another module (in bf16, say).
    """
    network.eval()
    norms = batch_norms(network)
    if not norms:
        return
    order = np.random.default_rng(0).permutation(len(images))
    # The tensors themselves are counted on while it measures.
    before = [(norm.momentum, norm.state_dict()["num_batches_tracked"].clone()) for norm in norms]
    device = next(network.parameters()).device
    try:
        for norm in norms:
            norm.reset_running_stats()
            # None: the plain mean over batches.
            norm.momentum = None
            norm.train()
        # Of nearly the same size, since each counts alike.
        for rows in np.array_split(order, -(-len(order) // BATCH)):
            inputs = torch.from_numpy(to_input(images[rows], spec)).to(device)
            (through or network)(inputs.contiguous(memory_format=torch.channels_last))
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.state_dict()["num_batches_tracked"].copy_(batches)
        network.eval()
