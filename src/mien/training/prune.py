"""A thinner network from a trained one: of each stage the channels that the rest of the network hears most of.

Structured pruning (Li et al., ICLR 2017, rank filters by the size of their weights). What is left answers a little
worse at once, and is a start for training on (``--from``) that a network of its size at random is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mien.data.faceset import FaceSet
from mien.errors import RecipeError, RunError
from mien.labels import parse_scheme
from mien.models.mien import MienNet, SqueezeExcite, Stage
from mien.models.registry import build_model
from mien.preprocess import InputSpec, to_input
from mien.recipe import ModelRecipe
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.soup import BATCH, renew_statistics
from mien.training.state import file_digest

LOOKED_AT = 2048
"""Train faces by which channels are weighed, drawn at random."""


def make_pruned(
    run: RunFolder, widths: Sequence[int], faces: FaceSet, out: RunFolder, environment: dict[str, Any]
) -> None:
    """Prune a run's best weights into a new run folder, which has no history and cannot be resumed.

    Args:
        run: with a finished epoch, of mien's own network.
        widths: channels of each stage, none more than it has.
        faces: the data it was trained on, at its size.
        out: where to; holds recipe, environment and best weights afterwards.
        environment: facts for environment.json.

    Raises:
        RunError: a run without a finished epoch, or trained on other data; ``out`` exists.
        RecipeError: another network than mien's own, or widths that do not fit it.
        DataError: the data has no train split, or not the classes of the recipe.
    """
    recipe = run.read_recipe()
    network, facts = checkpoint.load_best(run)
    if not isinstance(network, MienNet):
        raise RecipeError(f"{run.path} holds a {recipe.model.name}; only mien's own network ('mien') can be pruned.")
    if not faces.is_of(facts["data_fingerprint"]):
        raise RunError(f"{run.path} was trained on other data than this; its channels are weighed by its own.")
    thinner = _thinner(recipe.model, widths)
    out.check_free()
    classes = tuple(facts["classes"])
    shown = faces.of_split("train").with_scheme(parse_scheme(recipe.classes)).with_classes(classes)
    chosen = np.random.default_rng(0).permutation(len(shown))[:LOOKED_AT]
    images = np.asarray(shown.images)[np.sort(chosen)]
    target = build_model(thinner, len(classes), recipe.input.crop_px)
    assert isinstance(target, MienNet)
    prune_into(target, network, images, recipe.input)
    pruned = recipe.model_copy(update={"name": f"{recipe.name}-pruned", "model": thinner})
    kept = {
        "recipe_digest": pruned.digest,
        "data_fingerprint": facts["data_fingerprint"],
        "classes": list(classes),
        "started_from": file_digest(run.best),
        "taught_by": facts.get("taught_by", []),
        "pruned_from": file_digest(run.best),
    }
    out.create(pruned, {**environment, **kept})
    checkpoint.save(out.best, target.state_dict(), {**kept, "epoch": 0})


def _thinner(model: ModelRecipe, widths: Sequence[int]) -> ModelRecipe:
    before = model.settings["widths"]
    if len(widths) != len(before) or any(not 0 < new <= old for new, old in zip(widths, before, strict=False)):
        raise RecipeError(
            f"The network has stages of {', '.join(map(str, before))} channels; give as many widths, none larger. "
            f"Found {', '.join(map(str, widths))}."
        )
    return model.model_copy(update={"widths": list(widths)})


@torch.no_grad()
def prune_into(target: MienNet, network: MienNet, images: npt.NDArray[np.uint8], spec: InputSpec) -> None:
    """Fill a thinner network with the channels of another that count most.

    A channel counts by how much it varies over faces, times how large the weights are that take it up: of the next
    stage and of its own stage's branch, each by their mean over channels. What a removed channel gave on average goes
    into the head's bias; running statistics are taken anew.

    Args:
        target: the same shape, with fewer channels in some stages; changed in place.
        network: what is pruned.
        images: uint8 (N, size_px, size_px), faces to weigh the channels by.
        spec: the network's input.
    """
    entered, left, means = _activity(network, images, spec)
    stages = [stage for stage in network.stages if isinstance(stage, Stage)]
    thin_stages = [stage for stage in target.stages if isinstance(stage, Stage)]
    target.stem.load_state_dict(network.stem.state_dict())
    kept = torch.arange(len(_weight(network.stem[0])))
    for index, (stage, thin) in enumerate(zip(stages, thin_stages, strict=True)):
        before = kept
        last = index + 1 == len(stages)
        # The softmax does not see what all classes share.
        taken = network.head.weight - network.head.weight.mean(0) if last else _weight(stages[index + 1].entry[0])
        votes = left[index] * _norms(taken)
        votes = votes / votes.mean()
        if stage.branch is not None:
            own = entered[index] * _norms(_weight(stage.branch[0]))
            votes += own / own.mean()
        kept = _strongest(votes, _weight(thin.entry[0]).shape[0])
        _weight(thin.entry[0]).copy_(_weight(stage.entry[0])[kept][:, before])
        _copy_rows(thin.entry, stage.entry, kept, past=1)
        if stage.branch is not None and thin.branch is not None:
            _prune_branch(thin.branch, stage.branch, kept)
    gone = torch.ones(network.head.in_features, dtype=torch.bool)
    gone[kept] = False
    target.head.weight.copy_(network.head.weight[:, kept])
    target.head.bias.copy_(network.head.bias + network.head.weight[:, gone] @ means[gone])
    renew_statistics(target, images, spec)


def _prune_branch(thin: nn.Sequential, branch: nn.Sequential, kept: Tensor) -> None:
    """The branch of a stage whose own channels are ``kept``; those inside the branch are chosen by themselves."""
    convolutions = [place for place, layer in enumerate(branch) if isinstance(layer, nn.Conv2d)]
    before = kept
    for place, following in zip(convolutions, [*convolutions[1:], None], strict=True):
        after = kept
        if following is not None:
            norm = branch[place + 1]
            assert isinstance(norm, nn.BatchNorm2d)
            after = _strongest(norm.weight.abs() * _norms(_weight(branch[following])), len(kept))
        _weight(thin[place]).copy_(_weight(branch[place])[after][:, before])
        _copy_rows([thin[place + 1]], [branch[place + 1]], after)
        before = after
    small, large = thin[-1], branch[-1]
    assert isinstance(small, SqueezeExcite)
    assert isinstance(large, SqueezeExcite)
    hidden = _strongest(_norms(large.excite.weight) * _norms(large.squeeze.weight.T), small.squeeze.out_features)
    small.squeeze.weight.copy_(large.squeeze.weight[hidden][:, kept])
    small.squeeze.bias.copy_(large.squeeze.bias[hidden])
    small.excite.weight.copy_(large.excite.weight[kept][:, hidden])
    small.excite.bias.copy_(large.excite.bias[kept])


def _copy_rows(thin: Iterable[nn.Module], whole: Iterable[nn.Module], rows: Tensor, past: int = 0) -> None:
    """Copy what has one number a channel: batch norms, from the layer ``past`` on."""
    for small, large in zip(list(thin)[past:], list(whole)[past:], strict=True):
        for name, value in large.state_dict().items():
            small.state_dict()[name].copy_(value[rows] if value.dim() else value)


def _activity(
    network: MienNet, images: npt.NDArray[np.uint8], spec: InputSpec
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """Standard deviations of each channel, as it enters and as it leaves each stage, and the features' means."""
    network.eval()
    seen: dict[nn.Module, list[Tensor]] = {}

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        moments = torch.stack([output.mean(dim=(0, 2, 3)), output.square().mean(dim=(0, 2, 3))])
        seen.setdefault(module, []).append(moments * len(output))

    stages = [stage for stage in network.stages if isinstance(stage, Stage)]
    hooks = [each.register_forward_hook(note) for stage in stages for each in (stage.entry, stage)]
    try:
        features = [
            network.features(torch.from_numpy(to_input(images[first : first + BATCH], spec)))
            for first in range(0, len(images), BATCH)
        ]
    finally:
        for hook in hooks:
            hook.remove()

    def spread(module: nn.Module) -> Tensor:
        mean, square = (torch.stack(seen[module]).sum(0) / len(images)).unbind()
        return (square - mean.square()).clamp_min(0).sqrt()

    every = torch.cat(features)
    left = [spread(stage) for stage in stages]
    # The head sees each channel's mean over the picture.
    left[-1] = every.std(0, correction=0)
    return [spread(stage.entry) for stage in stages], left, every.mean(0)


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    return layer.weight


def _norms(weight: Tensor) -> Tensor:
    """How large the weights are that take up each incoming channel, (out, in, ...) -> (in,)."""
    norms: Tensor = torch.linalg.vector_norm(weight.transpose(0, 1).flatten(1), dim=1)
    return norms


def _strongest(votes: Tensor, count: int) -> Tensor:
    return votes.argsort(descending=True)[:count].sort().values
