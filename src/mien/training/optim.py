"""Optimiser, learning-rate schedule, and learning rates of single layers in fine-tuning."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from torch import nn, optim

from mien.base.recipe_tables import OptimRecipe, ScheduleRecipe
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
