"""Fine-tuning: which layers learn when, and how fast. What is nearer to the images is more general, and keeps more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import nn
from torch.optim import Optimizer

from mien.errors import Notice
from mien.models.network import Network
from mien.models.registry import starts_from_scratch
from mien.recipe import Recipe
from mien.training.batches import count_steps

FEW_STEPS = 100
SMALL_BATCH = 16
"""What to try where an epoch has few steps."""


def lr_scales(network: Network, layer_decay: float) -> dict[nn.Parameter, float]:
    """Each parameter's share of the learning rate: ``layer_decay ** k`` in the k-th block below the head.

    The discriminative rates of Howard & Ruder, ULMFiT, ACL 2018, section 3.2 (who take 1 / 2.6).
    """
    found = blocks(network)
    return {
        parameter: layer_decay ** (len(found) - 1 - number) for number, block in enumerate(found) for parameter in block
    }


def blocks(network: Network) -> list[list[nn.Parameter]]:
    """A network's parameters in blocks from the images to the head, which is the last block; each is in one of them.

    A block is a part of the network; a sequence of parts is opened, down to residual blocks and single convolutions.
    A part without matrices, such as the norm after a convolution, belongs to the block before it; a parameter in no
    part, such as a position embedding, to the first.
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


def freeze(network: Network, optimizer: Optimizer, frozen: bool) -> None:
    """Let only the head of a network in training mode learn, or everything that the optimiser has.

    A frozen weight has no gradient, so neither decay nor momentum moves it. Frozen batch norms keep their running
    statistics and work by them: they belong to the weights that stay.
    """
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.requires_grad_(not frozen)
    network.head.requires_grad_(True)
    if frozen:
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.eval()


def recipe_warnings(recipe: Recipe, *, from_run: bool = False, train_faces: int | None = None) -> Iterator[Notice]:
    """What one should know before training by this recipe; one sentence each.

    Args:
        recipe: what to do.
        from_run: the run begins with the weights of another run.
        train_faces: how many faces there are to learn, once classes are balanced, where that is known.

    Raises:
        RecipeError: there is no such model.
    """
    frozen = recipe.tuning.frozen_epochs
    if starts_from_scratch(recipe.model) and not from_run:
        if "pretrained" in recipe.model.settings:
            yield Notice(
                "model.pretrained is false: the backbone begins with RANDOM weights, nothing is transferred.",
                code="weights-random",
            )
        if frozen:
            yield Notice(
                f"tuning.frozen_epochs = {frozen} keeps RANDOM weights frozen: "
                f"start from trained ones with --from RUN or a pretrained backbone.",
                code="weights-random-frozen",
            )
    if frozen >= recipe.epochs:
        yield Notice(
            f"tuning.frozen_epochs = {frozen} lasts for the whole run of {recipe.epochs}: only the head learns. "
            f"To train the rest too, lower it or set more epochs.",
            code="only-head-learns",
        )
    if train_faces is not None and train_faces < recipe.batch_size:
        yield Notice(
            f"batch_size = {recipe.batch_size} is more than the {train_faces:,} faces of train: an epoch is one step. "
            f"Lower it.",
            code="batch-too-large",
        )
        return
    steps = None if train_faces is None else recipe.epochs * count_steps(train_faces, recipe.batch_size)
    if steps is not None and steps < FEW_STEPS and recipe.batch_size > SMALL_BATCH:
        yield Notice(
            f"training has only {steps} steps at batch_size = {recipe.batch_size}. Try --batch-size {SMALL_BATCH}, or "
            f"more epochs.",
            code="few-steps",
        )
