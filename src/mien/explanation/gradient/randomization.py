"""Test whether a map depends on the trained weights: shuffle the weights and compare the maps.

This is the model randomisation test of Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018, section 3.1, for
all layers. A method whose maps do not change shows the edges of the image, not the model.
"""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.stats import rankdata

from mien.evaluation.intervals import bootstrap_mean
from mien.evaluation.results import Estimate
from mien.explanation.explainer import Explainer
from mien.explanation.faithfulness import Floats
from mien.explanation.gradient.torch_model import TorchModel
from mien.models.network import run_order


def rank_correlation(
    method: str, model: TorchModel, images: npt.NDArray[np.uint8], maps: npt.NDArray[np.float32], seed: int = 0
) -> Estimate:
    """Compare a method's maps for a network with those for the same network with shuffled weights.

    ``maps`` explain the classes that the network predicts; the others explain the same classes. Returns the mean rank
    correlation over faces, -1..1, with an interval over faces.
    """
    chosen, window, shuffled = model.predict(images).argmax(axis=1), model.spec.window, randomized(model, seed)
    after = Explainer(shuffled.predict, model.spec.crop_px, shuffled).attribute(images, chosen, method=method)
    return bootstrap_mean(spearman(maps[:, window, window], after[:, window, window]))


def randomized(model: TorchModel, seed: int) -> TorchModel:
    """Return a copy of the network with the values of each tensor shuffled, starting with the head.

    Shuffling destroys what was learned, but roughly keeps the size of the activations.
    """
    shuffled = replace(model, network=copy.deepcopy(model.network))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer, _ in reversed(run_order(shuffled.network, model.spec.channels, model.spec.crop_px)):
            for tensor in (*layer.parameters(recurse=False), *layer.buffers(recurse=False)):
                order = torch.randperm(tensor.numel(), generator=generator)
                tensor.copy_(tensor.flatten()[order].reshape(tensor.shape))
    return shuffled


def spearman(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> Floats:
    """Compute Spearman's rank correlation of each pair of maps, with mean ranks for ties.

    Two (N, ...) -> float64 (N,), -1..1; 0 if either map is constant, because it has no order.
    """
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    a, b = (each - each.mean(axis=1, keepdims=True) for each in ranks)
    length = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    return np.asarray(np.divide((a * b).sum(axis=1), length, out=np.zeros(len(a)), where=length > 0))
