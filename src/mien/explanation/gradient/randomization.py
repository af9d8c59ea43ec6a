"""Does a map depend on what the network learnt? Undo the learning layer by layer, from the top, and compare maps.

The cascading randomisation of Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 3.1. A method
whose maps stay the same shows the image's edges, not the model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mien.errors import DataError
from mien.evaluation.intervals import bootstrap_mean
from mien.explanation.gradient.torch_model import TorchModel, run_order
from mien.explanation.methods import explain
from mien.explanation.similarity import spearman, ssim
from mien.explanation.verdict import RandomizationTest


def check_randomization(
    name: str,
    model: TorchModel,
    images: npt.NDArray[np.uint8],
    targets: npt.NDArray[np.int64] | None = None,
    *,
    maps: npt.NDArray[np.float32] | None = None,
    depths: int = 4,
    seed: int = 0,
) -> RandomizationTest:
    """Compare a method's maps of a network with those of the same network, more and more randomised.

    Args:
        name: a method of :data:`mien.explanation.methods.METHODS`.
        model: the network; it is left as it was.
        images: uint8 (N, size_px, size_px[, 3]).
        targets: int64 (N,), the explained classes; None takes those that the network predicts, before.
        maps: float (N, size_px, size_px), the method's maps of the network as it is, where they are at hand.
        depths: at how many depths to compare, evenly spread over the layers; the last one is the whole network.
        seed: of the randomisation, of the method and of the resampling.

    Raises:
        DataError: no faces, no such method, ``depths`` below 1.
    """
    if not len(images) or depths < 1:
        raise DataError(
            f"The check needs faces and a depth; found {len(images)} faces, {depths} depths.",
            code="randomization-input",
        )
    chosen = model.predict(images).argmax(axis=1) if targets is None else targets
    start = (model.spec.size_px - model.spec.crop_px) // 2
    window = slice(start, start + model.spec.crop_px)

    def maps_of(each: TorchModel) -> npt.NDArray[np.float32]:
        return explain(name, images, chosen, model=each, seed=seed)[:, window, window]

    before = maps_of(model) if maps is None else maps[:, window, window]
    layers, ranks, structures = [], [], []
    for layer, randomised in cascade(model, depths, seed):
        after = maps_of(randomised)
        layers.append(layer)
        ranks.append(spearman(before, after))
        structures.append(ssim(before, after))
    return RandomizationTest(
        faces=len(images),
        layers=tuple(layers),
        spearman=np.array([each.mean() for each in ranks]),
        ssim=np.array([each.mean() for each in structures]),
        final_spearman=bootstrap_mean(ranks[-1], seed=seed),
        final_ssim=bootstrap_mean(structures[-1], seed=seed),
    )


def cascade(model: TorchModel, depths: int, seed: int) -> Iterator[tuple[str, TorchModel]]:
    """Yield the network randomised from its head down to ``depths`` depths, each with its lowest such layer's name.

    A layer is a module with numbers of its own, such as a convolution or a norm. Each of its tensors keeps its
    values and gets them in another order: what was learnt is gone, the size of the activations stays about as it
    was. One network is changed on and on, so use each before taking the next.
    """
    network = copy.deepcopy(model.network)
    randomised = replace(model, network=network)
    layers = [(name, module) for name, module, _ in reversed(run_order(randomised)) if _has_own_tensors(module)]
    stops = {round(share * len(layers)) for share in np.linspace(0, 1, depths + 1)[1:]}
    generator = torch.Generator().manual_seed(seed)
    for done, (name, layer) in enumerate(layers, start=1):
        _shuffle(layer, generator)
        if done in stops:
            yield name, randomised


def _has_own_tensors(module: nn.Module) -> bool:
    return next(module.parameters(recurse=False), None) is not None


@torch.no_grad()
def _shuffle(layer: nn.Module, generator: torch.Generator) -> None:
    for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
        order = torch.randperm(tensor.numel(), generator=generator)
        tensor.copy_(tensor.flatten()[order].reshape(tensor.shape))
