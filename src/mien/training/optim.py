"""How weights change: optimiser, schedule, layers in fine-tuning, moving average, and statistics of batch norms."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn, optim
from torch.nn.modules.batchnorm import _BatchNorm

from mien.base.arrays import Floats32, Pixels
from mien.base.preprocess import InputSpec, to_input
from mien.base.progress import slices
from mien.base.recipe_tables import OptimRecipe, ScheduleRecipe
from mien.data.dataset import Dataset
from mien.models.network import Network


def build_optimizer(
    model: nn.Module, recipe: OptimRecipe, lr_scales: Mapping[nn.Parameter, float] | None = None
) -> optim.Optimizer:
    """Make the optimiser. Weight decay applies only to weights with two or more dimensions, not to norms and biases.

    ``lr_scales`` has a factor of the learning rate for each parameter, by default 1. Each group stores its factor as
    ``lr_scale``, which the loop multiplies with the rate of a step.
    """
    shares = {p: (lr_scales or {}).get(p, 1.0) for p in model.parameters() if p.requires_grad}
    groups: list[dict[str, Any]] = []
    for share in sorted(set(shares.values())):
        decayed = [p for p in shares if shares[p] == share and p.ndim > 1]
        plain = [p for p in shares if shares[p] == share and p.ndim <= 1]
        groups.append({"params": decayed, "weight_decay": recipe.weight_decay, "lr_scale": share})
        groups.append({"params": plain, "weight_decay": 0.0, "lr_scale": share})
    match recipe.name:
        case "sgd":
            # torch raises an error for Nesterov without momentum.
            nesterov = recipe.nesterov and recipe.momentum > 0
            return optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=nesterov)
        case "adam":
            return optim.Adam(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.epsilon)
        case "adamw":
            return optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, eps=recipe.epsilon)
        case _:  # rmsprop
            return optim.RMSprop(groups, lr=recipe.lr, momentum=recipe.momentum, eps=recipe.epsilon)


def set_rate(optimizer: optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step, greater than 0; each group applies its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["lr_scale"]


def rate_factor(recipe: ScheduleRecipe, step: int, steps_per_epoch: int, epochs: int) -> float:
    """Return the rate at ``step`` of the run, from 0, as a fraction of the recipe's, without plateau or state."""
    total = steps_per_epoch * epochs
    warm = recipe.warmup * total
    if step < warm:
        return (step + 1) / (warm + 1)
    progress = (step - warm) / max(total - warm, 1)
    match recipe.name:
        case "constant" | "plateau":
            return 1.0
        case "step":
            return float(recipe.factor ** (step // steps_per_epoch // recipe.step_epochs))
        case "cosine":
            return recipe.final + (1 - recipe.final) * 0.5 * (1 + math.cos(math.pi * progress))
        case "one-cycle":
            return recipe.final + (1 - recipe.final) * (1 - progress)


def plateau_factor(recipe: ScheduleRecipe, validation_losses: Sequence[float]) -> float:
    """Return the factor of the learning rate that the schedule ``plateau`` has reached after these epochs."""
    if recipe.name != "plateau":
        return 1.0
    factor, best, waited = 1.0, math.inf, 0
    for loss in validation_losses:
        if loss < best:
            best, waited = loss, 0
        else:
            waited += 1
        if waited >= recipe.patience:
            factor, waited = factor * recipe.factor, 0
    return factor


def lr_scales(network: Network, layer_decay: float) -> dict[nn.Parameter, float]:
    """Return each parameter's rate factor, ``layer_decay ** k`` in block k below the head (ULMFiT, ACL 2018, 3.2)."""
    found = blocks(network)
    return {
        parameter: layer_decay ** (len(found) - 1 - number) for number, block in enumerate(found) for parameter in block
    }


def blocks(network: Network) -> list[list[nn.Parameter]]:
    """Group a network's parameters into blocks, from the images to the head, which is the last block.

    Sequences are divided, down to residual blocks and single convolutions. A part without matrices, such as the norm
    after a convolution, joins the previous block; a parameter outside all parts joins the first.
    """
    found: list[list[nn.Parameter]] = []
    for part in _opened(network.parts()):
        parameters = list(part.parameters())
        if parameters and (not found or any(parameter.ndim > 1 for parameter in parameters)):
            found.append([])
        if parameters:
            found[-1] += parameters
    placed = {parameter for block in found for parameter in block}
    found[0] += [parameter for parameter in network.parameters() if parameter not in placed]
    return found


def _opened(parts: Iterable[nn.Module]) -> Iterator[nn.Module]:
    for part in parts:
        if isinstance(part, nn.Sequential | nn.ModuleList):
            yield from _opened(part)
        else:
            yield part


def freeze(network: Network, optimizer: optim.Optimizer, frozen: bool) -> None:
    """Train only the head, or all parameters in the optimiser; frozen batch norms keep their running statistics."""
    head = set(network.head.parameters())
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.requires_grad_(not frozen or parameter in head)
    if frozen:
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.eval()


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
    """Set the running statistics of all batch norms to their mean over batches of faces; evaluation mode stays on.

    A norm's own statistics belong to the current weights and to augmented images (precise batch norm: Wu & Johnson,
    "Rethinking 'Batch' in BatchNorm", 2021). torch.optim.swa_utils.update_bn gives the same if no dropout precedes a
    norm, but leaves dropout on and resets the count of batches. The network is called through ``through``, such as a
    module that computes in bf16.
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
