"""Does a map depend on what the network learnt? Shuffle its weights, and compare maps.

The randomisation of Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 3.1, of all layers. A method
whose maps stay the same shows the image's edges, not the model.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mien.base.errors import DataError
from mien.evaluation.intervals import bootstrap_mean
from mien.explanation.faithfulness import Floats, RandomizationTest
from mien.explanation.gradient.torch_model import TorchModel, run_order
from mien.explanation.methods import explain


def check_randomization(
    name: str,
    model: TorchModel,
    images: npt.NDArray[np.uint8],
    *,
    maps: npt.NDArray[np.float32] | None = None,
    seed: int = 0,
) -> RandomizationTest:
    """Compare a method's maps of a network with those of the same network with shuffled weights.

    Both are of the classes that the network predicts as it is.

    Args:
        name: a method of :data:`mien.explanation.methods.METHODS`.
        model: the network; it is left as it was.
        images: uint8 (N, size_px, size_px[, 3]).
        maps: float (N, size_px, size_px), the method's maps of the network as it is, where they are at hand.
        seed: of the randomisation.

    Raises:
        DataError: no faces, no such method.
    """
    if not len(images):
        raise DataError("The check of randomised weights needs at least one face.", code="no-faces")
    chosen = model.predict(images).argmax(axis=1)
    window = model.spec.window
    before = explain(name, images, chosen, model=model) if maps is None else maps
    after = explain(name, images, chosen, model=randomized(model, seed))
    alike = spearman(before[:, window, window], after[:, window, window])
    return RandomizationTest(len(images), bootstrap_mean(alike))


def randomized(model: TorchModel, seed: int) -> TorchModel:
    """A copy of the network in which each tensor has its values in another order, the head's first.

    What was learnt is gone, the size of the activations stays about as it was.
    """
    shuffled = replace(model, network=copy.deepcopy(model.network))
    generator = torch.Generator().manual_seed(seed)
    for _, layer, _ in reversed(run_order(shuffled)):
        _shuffle(layer, generator)
    return shuffled


def spearman(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Floats:
    """Spearman's rank correlation of each pair of maps, ties by mean ranks: two (N, ...) -> float64 (N,), -1..1.

    0 where either map is the same everywhere: it orders nothing, so there is nothing to agree with.
    """
    ranks = [_mean_ranks(maps.reshape(len(maps), -1)) for maps in (first, second)]
    a, b = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    length = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), length, out=np.zeros(len(a)), where=length > 0))


def _mean_ranks(values: npt.NDArray[Any]) -> Floats:
    """Rank of each value in its sample, equal values sharing the mean of theirs: (N, P) -> float64 (N, P)."""
    ranks = np.empty(values.shape)
    for row, of_row in zip(ranks, values, strict=True):
        _, place, count = np.unique(of_row, return_inverse=True, return_counts=True)
        row[:] = (np.cumsum(count) - (count - 1) / 2)[place.ravel()]
    return ranks


@torch.no_grad()
def _shuffle(layer: nn.Module, generator: torch.Generator) -> None:
    for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
        order = torch.randperm(tensor.numel(), generator=generator)
        tensor.copy_(tensor.flatten()[order].reshape(tensor.shape))
