"""A smaller network from a trained one: of each stage the channels that the rest of the network hears most of.

Structured pruning (Li et al., ICLR 2017, rank filters by the size of their weights). What is left answers a little
worse at once, and is a start for training on (``--from``) that a network of its size at random is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mien.data.dataset import Dataset
from mien.errors import RecipeError, RunError
from mien.labels import parse_scheme
from mien.models.mien import MienNet, SqueezeExcite, Stage
from mien.models.registry import build_model
from mien.preprocess import InputSpec, to_input
from mien.progress import track
from mien.recipe import ModelRecipe
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.state import file_digest

BATCH = 256
LOOKED_AT = 2048
"""Train faces by which channels are weighed, drawn at random."""


def make_pruned(
    run: RunFolder,
    widths: Sequence[int],
    faces: Dataset,
    out: RunFolder,
    environment: dict[str, Any],
    stem_width: int | None = None,
) -> None:
    """Prune a run's best weights into a new run folder, which has no history and cannot be resumed.

    Args:
        run: with a finished epoch, of mien's own network.
        widths: channels of each stage, none more than it has.
        faces: the data it was trained on, at its size.
        out: where to; holds recipe, environment and best weights afterwards.
        environment: facts for environment.json.
        stem_width: channels of the first convolution; None keeps all.

    Raises:
        RunError: a run without a finished epoch, or trained on other data; ``out`` exists.
        RecipeError: another network than mien's own, or widths that do not fit it.
        DataError: the data has no train split, or not the classes of the recipe.
    """
    recipe = run.read_recipe()
    network, facts = checkpoint.load_best(run)
    smaller = pruned_model(run, widths, stem_width)
    assert isinstance(network, MienNet)
    if not faces.matches_training_data(facts["data_fingerprint"]):
        raise RunError(
            f"{run.path} was trained on other data. Give the data that it was trained on.",
            code="run-other-data",
        )
    out.check_free()
    classes = tuple(facts["classes"])
    shown = faces.of_split("train").with_scheme(parse_scheme(recipe.classes)).with_classes(classes)
    chosen = np.random.default_rng(0).permutation(len(shown))[:LOOKED_AT]
    images = np.asarray(shown.images)[np.sort(chosen)]
    target = build_model(smaller, network.head.out_features, *recipe.input.seen_as)
    assert isinstance(target, MienNet)
    prune_into(target, network, images, recipe.input)
    pruned = recipe.model_copy(update={"name": f"{recipe.name}-pruned", "model": smaller})
    kept = {
        "recipe_digest": pruned.digest,
        **faces.provenance,
        "classes": list(classes),
        **checkpoint.kept_outputs(facts),
        "started_from": file_digest(run.best),
        "taught_by": facts.get("taught_by", []),
        "pruned_from": file_digest(run.best),
    }
    out.create(pruned, {**environment, **kept})
    checkpoint.save(out.best, target.state_dict(), {**kept, "epoch": 0})


def pruned_model(run: RunFolder, widths: Sequence[int], stem_width: int | None) -> ModelRecipe:
    """The network that is left of a run's. Raises :class:`RecipeError`, as :func:`make_pruned`."""
    model = run.read_recipe().model
    if model.name != "mien":
        raise RecipeError(
            f"{run.path} holds a {model.name}; only mien's own network ('mien') can be pruned.",
            code="model-not-prunable",
        )
    before, stem_before = model.settings["widths"], model.settings["stem_width"]
    if len(widths) != len(before) or any(not 0 < new <= old for new, old in zip(widths, before, strict=False)):
        raise RecipeError(
            f"The network has {len(before)} stages of {', '.join(map(str, before))} channels. --widths needs "
            f"{len(before)} numbers, each from 1 to its stage's channels; found {', '.join(map(str, widths))}.",
            code="prune-widths",
        )
    if stem_width is None:
        stem_width = stem_before
    if not 0 < stem_width <= stem_before:
        raise RecipeError(
            f"--stem must be 1 to {stem_before}, what the first convolution has; found {stem_width}.", code="prune-stem"
        )
    if (list(widths), stem_width) == (list(before), stem_before):
        raise RecipeError(
            "--widths are the widths of the network; nothing would be pruned. Lower at least one.",
            code="prune-nothing",
        )
    return model.model_copy(update={"widths": list(widths), "stem_width": stem_width})


@torch.no_grad()
def prune_into(target: MienNet, network: MienNet, images: npt.NDArray[np.uint8], spec: InputSpec) -> None:
    """Fill a smaller network with the channels of another that count most.

    A channel counts by how much it varies over faces, times how large the weights are that take it up: of the next
    stage and of its own stage's branch, each by their mean over channels; of the stem, by the first stage. What a
    removed channel gave on average comes off the running means of the norms that follow, and into the head's bias
    (as it is away from the border, where convolutions see less of it); what is removed inside a branch, and what its
    squeeze took up, is not made up for.

    Args:
        target: the same shape, with fewer channels in some stages; changed in place.
        network: what is pruned.
        images: uint8 (N, size_px, size_px[, 3]), faces to weigh the channels by.
        spec: the network's input.
    """
    stem, entered, left = _activity(network, images, spec)
    stages = [stage for stage in network.stages if isinstance(stage, Stage)]
    thin_stages = [stage for stage in target.stages if isinstance(stage, Stage)]
    kept = _strongest(stem.spread * _norms(_weight(stages[0].entry[0])), len(_weight(target.stem[0])))
    _copy_convolution(list(target.stem), list(network.stem), kept, torch.arange(1), None)
    for index, (stage, thin) in enumerate(zip(stages, thin_stages, strict=True)):
        before = kept
        last = index + 1 == len(stages)
        # The softmax does not see what all classes share.
        taken = network.head.weight - network.head.weight.mean(0) if last else _weight(stages[index + 1].entry[0])
        votes = _relative(left[index].spread * _norms(taken))
        if stage.branch is not None:
            votes += _relative(entered[index].spread * _norms(_weight(stage.branch[0])))
        kept = _strongest(votes, len(_weight(thin.entry[0])))
        _copy_convolution(list(thin.entry), list(stage.entry), kept, before, (left[index - 1] if index else stem).mean)
        if stage.branch is not None and thin.branch is not None:
            _prune_branch(thin.branch, stage.branch, kept, entered[index].mean)
    target.head.weight.copy_(network.head.weight[:, kept])
    target.head.bias.copy_(network.head.bias + network.head.weight @ _without(left[-1].mean, kept))


def _prune_branch(thin: nn.Sequential, branch: nn.Sequential, kept: Tensor, means: Tensor) -> None:
    """The branch of a stage whose own channels are ``kept``; those inside the branch are chosen by themselves.

    ``means`` are those of the stage's channels, as the branch takes them up.
    """
    places = [place for place, layer in enumerate(branch) if isinstance(layer, nn.Conv2d)]
    before = kept
    for place, following in zip(places, [*places[1:], None], strict=True):
        after, norm = kept, branch[place + 1]
        assert isinstance(norm, nn.BatchNorm2d)
        if following is not None:
            after = _strongest(norm.weight.abs() * _norms(_weight(branch[following])), len(kept))
        pair = [thin[place], thin[place + 1]], [branch[place], norm]
        _copy_convolution(*pair, after, before, means if place == places[0] else None)
        before = after
    small, large = thin[-1], branch[-1]
    assert isinstance(small, SqueezeExcite)
    assert isinstance(large, SqueezeExcite)
    hidden = _strongest(_norms(large.excite.weight) * _norms(large.squeeze.weight.T), small.squeeze.out_features)
    small.squeeze.weight.copy_(large.squeeze.weight[hidden][:, kept])
    small.squeeze.bias.copy_(large.squeeze.bias[hidden])
    small.excite.weight.copy_(large.excite.weight[kept][:, hidden])
    small.excite.bias.copy_(large.excite.bias[kept])


def _copy_convolution(
    thin: Sequence[nn.Module], whole: Sequence[nn.Module], rows: Tensor, columns: Tensor, given: Tensor | None
) -> None:
    """Copy a convolution and what follows it, of which ``rows`` stay, and ``columns`` of what goes in.

    ``given`` are the means of what goes in, where they are known: the norm's running mean loses what the columns that
    go gave.
    """
    weight = _weight(whole[0])
    _weight(thin[0]).copy_(weight[rows][:, columns])
    for small, large in zip(thin[1:], whole[1:], strict=True):
        for name, value in large.state_dict().items():
            small.state_dict()[name].copy_(value[rows] if value.dim() else value)
        if given is not None and isinstance(small, nn.BatchNorm2d) and small.running_mean is not None:
            small.running_mean -= weight.sum(dim=(2, 3))[rows] @ _without(given, columns)


def _without(means: Tensor, kept: Tensor) -> Tensor:
    """The means of those that go, 0 for those that are kept."""
    rest = means.clone()
    rest[kept] = 0
    return rest


@dataclass(frozen=True)
class _Activity:
    """Mean and standard deviation of each channel over faces and places, (channels,)."""

    mean: Tensor
    spread: Tensor


def _activity(
    network: MienNet, images: npt.NDArray[np.uint8], spec: InputSpec
) -> tuple[_Activity, list[_Activity], list[_Activity]]:
    """Of the stem's channels; of each stage's as they enter its branch, and as they leave it (the last's as pooled)."""
    network.eval()
    seen: dict[nn.Module, list[Tensor]] = {}

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        moments = torch.stack([output.mean(dim=(0, 2, 3)), output.square().mean(dim=(0, 2, 3))])
        seen.setdefault(module, []).append(moments * len(output))

    stages = [stage for stage in network.stages if isinstance(stage, Stage)]
    hooks = [each.register_forward_hook(note) for stage in stages for each in (stage.entry, stage)]
    hooks.append(network.stem.register_forward_hook(note))
    try:
        features = [
            network.features(torch.from_numpy(to_input(images[first : first + BATCH], spec)))
            for first in track(range(0, len(images), BATCH), -(-len(images) // BATCH), "weighing channels", "batches")
        ]
    finally:
        for hook in hooks:
            hook.remove()

    def activity(module: nn.Module) -> _Activity:
        mean, square = (torch.stack(seen[module]).sum(0) / len(images)).unbind()
        return _Activity(mean, (square - mean.square()).clamp_min(0).sqrt())

    every = torch.cat(features)
    left = [*(activity(stage) for stage in stages[:-1]), _Activity(every.mean(0), every.std(0, correction=0))]
    return activity(network.stem), [activity(stage.entry) for stage in stages], left


def _weight(layer: nn.Module) -> Tensor:
    assert isinstance(layer, nn.Conv2d)
    return layer.weight


def _norms(weight: Tensor) -> Tensor:
    """How large the weights are that take up each incoming channel, (out, in, ...) -> (in,)."""
    norms: Tensor = torch.linalg.vector_norm(weight.transpose(0, 1).flatten(1), dim=1)
    return norms


def _relative(votes: Tensor) -> Tensor:
    """By their mean; of those who take up nothing at all, no vote."""
    return votes / votes.mean().clamp_min(1e-12)


def _strongest(votes: Tensor, count: int) -> Tensor:
    return votes.argsort(descending=True)[:count].sort().values
