import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from mien.base.errors import DataError
from mien.base.preprocess import InputSpec, to_input
from mien.base.recipe_tables import ModelRecipe
from mien.evaluation.results import Estimate
from mien.explanation.explainer import METHODS, Explainer, MapCheck
from mien.explanation.gradient import TorchModel, gradcam, gradient, last_maps, randomized, rank_correlation, spearman
from mien.inference.predictor import load
from mien.models.network import Network, run_order
from mien.models.registry import build_model
from support import raises


def test_gradcam_equals_the_class_activation_map(tiny_model, faces):
    """In a network that ends in average pooling and a head, a mean gradient is the head's weight / places.

    Then Grad-CAM is the class activation map of Zhou et al. 2016, here with the head's own weights.
    """
    images, targets = np.asarray(faces.images[:4]), np.array([3, 0, 6, 3])
    with torch.no_grad():
        network = tiny_model.network
        a = network.stages(network.stem(torch.from_numpy(to_input(images, tiny_model.spec))))
        weights = network.head.weight[torch.from_numpy(targets)] / (a.shape[2] * a.shape[3])
        by_hand = torch.relu(torch.einsum("nk,nkij->nij", weights, a))[:, None]
        expected = functional.interpolate(by_hand, (44, 44), mode="bilinear", align_corners=False)[:, 0].numpy()
    maps = gradcam(tiny_model, images, targets)
    assert expected.max() > 0
    assert (maps[:, 2:46, 2:46], maps[:, :2].max()) == (pytest.approx(expected, rel=1e-4, abs=1e-7), 0)


@pytest.mark.parametrize("name", ["mien", "study-a", "study-b", "vgg11", "resnet18", "joined"])
def test_last_maps_exist_for_every_family(name):
    settings = {"width": 4} if name.startswith(("vgg", "resnet", "joined")) else {}
    model = TorchModel(build_model(ModelRecipe.model_validate({"name": name, **settings}), 7, 48).eval(), InputSpec())
    layer, side = last_maps(model)
    assert not isinstance(layer, nn.Conv2d), "after norm and activation"
    assert side >= 4, "and before pooling leaves too few places"
    maps = gradcam(model, np.random.default_rng(0).integers(0, 256, (2, 48, 48), dtype=np.uint8), np.array([0, 3]))
    assert maps.shape == (2, 48, 48)
    assert np.isfinite(maps).all()


@pytest.mark.parametrize("shape", [(2, 65, 8), (6, 6, 32), (3, 36, 36)])
def test_gradcam_rejects_a_map_without_channels(tiny_model, monkeypatch, shape):
    """As a transformer's heads of tokens, maps with their channels last, and attention, which follow the maps."""
    network, (layer, _), later = tiny_model.network, last_maps(tiny_model), nn.Identity()
    features = network.features
    monkeypatch.setattr(network, "later", later, raising=False)
    monkeypatch.setattr(network, "features", lambda images: features(images) + later(torch.zeros(1, *shape)).sum())
    assert last_maps(tiny_model)[0] is layer


class Hidden(Network):
    """A hidden layer behind the maps, maybe with the activation of the maps; what comes after these may be in place."""

    def __init__(self, shares, in_place):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.hidden, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 6), nn.Linear(6, 3)
        self.activation, self.in_place = nn.SiLU(), in_place
        self.second = self.activation if shares else nn.SiLU()

    def features(self, images):
        maps = functional.relu(self.activation(self.conv(images)), inplace=self.in_place)
        return self.second(self.hidden(maps.mean((2, 3))))


@pytest.mark.parametrize(("shares", "in_place"), [(True, False), (False, True)])
def test_gradcam_is_unchanged_by_shared_and_inplace_activations(squares, shares, in_place):
    """Oracle: the same network without either."""
    networks = Hidden(shares, in_place), Hidden(shares=False, in_place=False)
    models = [TorchModel(each.eval(), InputSpec(size_px=16, crop_px=12)) for each in networks]
    found, expected = (gradcam(each, squares, np.array([0, 1, 2, 0, 1])) for each in models)
    assert expected.max() > 0
    assert found.tolist() == expected.tolist()


def test_gradient_equals_the_closed_form_of_a_linear_network(linear, squares):
    """Oracle: for p = softmax((W x + b) / T): dp_c / dx = p_c (W_c - sum_k p_k W_k) / T."""
    targets = np.array([0, 1, 2, 0, 1])
    weights, p = linear.network.head.weight.detach().numpy(), linear.predict(squares)
    slopes = p[np.arange(5), targets, None] * (weights[targets] - p @ weights) / linear.temperature
    maps = gradient(linear, squares, targets)
    assert maps[:, 2:14, 2:14] == pytest.approx(np.abs(slopes).reshape(-1, 12, 12), rel=1e-4, abs=1e-9)


def edges(model, images, targets):
    """Map the image's edges whatever the network: what the check is there to find."""
    return np.abs(np.diff(images.astype(np.float32), axis=1, append=0))


@pytest.fixture
def images(faces):
    return np.asarray(faces.images[:6])


def test_check_detects_a_method_that_ignores_the_network(explainer, images, monkeypatch):
    monkeypatch.setattr("mien.explanation.explainer.METHODS", (*METHODS, "edges"))
    monkeypatch.setattr("mien.explanation.gradient.edges", edges, raising=False)
    assert explainer.check(images, "edges").rank_correlation.value == pytest.approx(1)


def test_gradients_depend_on_the_trained_weights(explainer, images):
    found = explainer.check(images, "gradient")
    assert found.faces == len(images)
    assert found.rank_correlation.high < 0.7
    assert rank_correlation("gradient", explainer.network, images, found.maps) == found.rank_correlation
    # The gradient draws nothing itself, and a mean over faces is not resampled: only the shuffled network is another.
    other = rank_correlation("gradient", explainer.network, images, found.maps, seed=1)
    assert other.value != found.rank_correlation.value
    with raises(DataError, "no-face"):
        explainer.check(images[:0], "gradient")


def test_randomized_shuffles_each_tensor_of_a_copy(tiny_model):
    before = {name: tensor.clone() for name, tensor in tiny_model.network.state_dict().items()}
    first, same, other = (randomized(tiny_model, seed).network.state_dict() for seed in (0, 0, 1))
    for name, tensor in first.items():
        assert torch.equal(tensor, same[name])
        assert torch.equal(tensor.flatten().sort().values, before[name].flatten().sort().values)
        if name.endswith("0.weight") or name.startswith("head"):
            assert not torch.equal(tensor, before[name])
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])
    assert all(torch.equal(before[name], tensor) for name, tensor in tiny_model.network.state_dict().items())
    # Oracle: scipy.stats.spearmanr.
    generator = np.random.default_rng(0)
    first = generator.random((3, 20, 20))
    second = np.round(0.6 * first + 0.4 * generator.random((3, 20, 20)), 1)
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    assert spearman(first, second) == pytest.approx(expected, abs=1e-12)
    assert spearman(first, np.zeros_like(first)).tolist() == [0, 0, 0]


GAIN, NONE, WORSE = Estimate(0.2, 0.1, 0.3), Estimate(0.2, -0.01, 0.3), Estimate(-0.2, -0.3, -0.1)
EQUAL, OTHER, SAME = Estimate(0.0, -0.1, 0.1), Estimate(0.1, 0.0, 0.3), Estimate(0.45, 0.3, 0.55)


@pytest.mark.parametrize(("faces", "deletion", "insertion", "correlation", "verdict"), [
    (20, GAIN, EQUAL, OTHER, "passes"),
    (20, GAIN, EQUAL, None, "passes"),
    (20, NONE, EQUAL, None, "fails"),
    (20, GAIN, EQUAL, SAME, "fails"),
    (20, GAIN, EQUAL, Estimate(1.0, math.nan, math.nan), "fails"),
    (20, GAIN, EQUAL, Estimate(0.0, math.nan, math.nan), "passes"),
    (20, GAIN, WORSE, OTHER, "fails"),
    (19, GAIN, EQUAL, OTHER, "undecided"),
])  # fmt: skip
def test_verdict_needs_both_checks_and_20_faces(faces, deletion, insertion, correlation, verdict):
    assert MapCheck("gradient", faces, deletion, insertion, correlation).verdict == verdict


def test_torch_model_predicts_as_the_model_file(tiny_model, tiny_run, faces, linear):
    """Oracle: onnxruntime on the exported file."""
    images = np.asarray(faces.images[:70])
    assert tiny_model.predict(images) == pytest.approx(load(tiny_run.path).probabilities(images), abs=1e-5)
    assert tiny_model.predict(images[:0]).shape == (0, 7)
    with raises(DataError, "no-convolutional-maps"):
        last_maps(linear)


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
