"""Weights that are kept: a moving average, with batch-norm statistics recalculated for it.

The statistics of a batch norm belong to the current weights and to augmented images. Wu & Johnson, "Rethinking 'Batch'
in BatchNorm", 2021, recalculate them (precise batch norm). torch.optim.swa_utils.update_bn gives identical statistics
if no dropout precedes a norm. However, it leaves dropout switched on, and resets the count of batches.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mien.base.arrays import Floats32, Pixels
from mien.base.preprocess import InputSpec, to_input
from mien.base.progress import slices
from mien.data.dataset import Dataset
from mien.models.network import Network

BATCH = 256
MAX_IMAGES = 4096
"""Number of faces used after each epoch: `fast` is as accurate with so many as with all (docs/lab-notebook.md)."""


class WeightAverage:
    """Exponential moving average of a network's weights and running statistics, updated once per step.

    ``average <- d * average + (1 - d) * weights`` with ``d = min(decay, (1 + step) / (10 + step))``. With a decay of 0,
    the average is the network itself.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = {name: value for name, value in network.state_dict().items() if value.is_floating_point()}
        self.tensors: dict[str, Tensor] = (
            {name: value.detach().clone() for name, value in self._live.items()} if decay else {}
        )

    def update(self, step: int) -> None:
        """Include the weights after ``step`` (0-based)."""
        if self.tensors:
            decay = min(self._decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.tensors.values()), list(self._live.values()), 1 - decay)

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Restore the average from a checkpoint."""
        for name, value in tensors.items():
            self.tensors[name].copy_(value)

    def take_statistics(self) -> None:
        """Copy the network's current running statistics; call it inside :meth:`in_place`."""
        for name, value in self.tensors.items():
            if name.endswith(("running_mean", "running_var")):
                value.copy_(self._live[name])

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Give the network the averaged weights in the ``with`` block."""
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


def some_images(images: Pixels) -> Pixels:
    """Return a copy of at most :data:`MAX_IMAGES` faces, uint8 (N, ...); the random choice is always the same."""
    return images[np.sort(np.random.default_rng(0).permutation(len(images))[:MAX_IMAGES])]


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """Return the batch norms that keep running statistics."""
    return [each for each in network.modules() if isinstance(each, _BatchNorm) and each.track_running_stats]


@torch.inference_mode()
def compute_logits(network: Network, images: Pixels, spec: InputSpec) -> Floats32:
    """Compute logits of face crops, float32 (N, C), with a network on the CPU in evaluation mode."""
    parts = (to_input(np.asarray(images[part]), spec) for part in slices(len(images), BATCH))
    return np.concatenate([network(torch.from_numpy(part)).numpy() for part in parts])


def accuracy(network: Network, dataset: Dataset, spec: InputSpec) -> float:
    """Compute the accuracy, 0..1, of the label's output of a network on the CPU."""
    logits = compute_logits(network, dataset.images, spec)[:, : len(dataset.classes)]
    return float((logits.argmax(1) == dataset.labels).mean())


@torch.no_grad()
def recalibrate_bn(network: Network, images: Pixels, spec: InputSpec, *, through: nn.Module | None = None) -> None:
    """Set the running statistics of all batch norms to their mean over batches of these faces; leave evaluation mode
    on.

    The network is called through ``through``, such as a module that computes in bf16.
    """
    network.eval()
    norms = batch_norms(network)
    if not norms:
        return
    order = np.random.default_rng(0).permutation(len(images))
    # Restore these tensors afterwards, because the measurement changes them.
    before = [(norm.momentum, norm.state_dict()["num_batches_tracked"].clone()) for norm in norms]
    device = next(network.parameters()).device
    try:
        for norm in norms:
            norm.reset_running_stats()
            # None gives the plain mean over batches.
            norm.momentum = None
            norm.train()
        # Use batches of almost equal size, because each has the same weight.
        for rows in np.array_split(order, -(-len(order) // BATCH)):
            inputs = torch.from_numpy(to_input(images[rows], spec)).to(device)
            (through or network)(inputs.contiguous(memory_format=torch.channels_last))
    finally:
        for norm, (momentum, batches) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.state_dict()["num_batches_tracked"].copy_(batches)
        network.eval()
