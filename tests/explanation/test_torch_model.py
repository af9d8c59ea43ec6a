from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from mien.explanation.explainer import Explainer
from mien.inference.predictor import load
from mien.models.network import run_order


def test_torch_model_predicts_as_the_model_file(tiny_model, tiny_run, faces):
    """Oracle: onnxruntime on the exported file."""
    images = np.asarray(faces.images[:70])
    assert tiny_model.predict(images) == pytest.approx(load(tiny_run.path).probabilities(images), abs=1e-5)
    assert tiny_model.predict(images[:0]).shape == (0, 7)


class Recurrent(nn.Module):
    """Rows of a map as a sequence: an LSTM returns a tuple."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
        self.lstm, self.head = nn.LSTM(42, 5, batch_first=True), nn.Linear(5, 7)

    def forward(self, images):
        return self.head(self.lstm(self.maps(images).mean(1))[0][:, -1])


def test_gradcam_accepts_a_module_that_returns_a_tuple(tiny_model, faces):
    model = replace(tiny_model, network=Recurrent())
    shapes = {name: shape for name, _, shape in run_order(model.network, 1, 44)}
    assert (shapes["maps"], shapes["lstm"], shapes["head"]) == ((2, 4, 42, 42), (), (2, 7))
    explainer = Explainer(model.predict, 44, model)
    (found,) = explainer.attribute(np.asarray(faces.images[:1]), np.array([3]), method="gradcam")
    assert found.shape == faces.images.shape[1:]
