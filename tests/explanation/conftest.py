"""Small models whose maps are known."""

import numpy as np
import pytest
import torch
from torch import nn

from mien.base.model_file import read_manifest
from mien.base.preprocess import InputSpec
from mien.explanation.explainer import Explainer
from mien.explanation.gradient import TorchModel, load_torch_model
from mien.models.network import Network

SIDE, CROP = 16, 12


class LinearNet(Network):
    """Logits = W x + b: the gradient of its probabilities has a closed form."""

    def __init__(self):
        super().__init__()
        self.flat = nn.Flatten()
        self.head = nn.Linear(CROP * CROP, 3).double()

    def features(self, images):
        return self.flat(images).double()


@pytest.fixture
def linear():
    torch.manual_seed(0)
    return TorchModel(LinearNet().eval(), InputSpec(size_px=SIDE, crop_px=CROP), temperature=2.0)


@pytest.fixture
def squares():
    """Five noisy squares of the size of ``linear``."""
    return np.random.default_rng(3).integers(0, 256, (5, SIDE, SIDE), dtype=np.uint8)


@pytest.fixture(scope="session")
def tiny_model(tiny_run):
    return load_torch_model(tiny_run, read_manifest(tiny_run.model).temperature)


@pytest.fixture
def explainer(tiny_model):
    return Explainer(tiny_model.predict, tiny_model.spec.crop_px, tiny_model)


@pytest.fixture
def spot():
    """A model that goes by the brightness of the 4 x 4 spot at (6, 6), and by nothing else."""

    def predict(images):
        share = images[:, 6:10, 6:10].mean(axis=(1, 2)) / 255
        return np.stack([share, 1 - share], axis=1)

    return predict
