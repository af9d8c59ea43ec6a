import math

import numpy as np
import pytest
import torch
from scipy import stats

from mien.base.errors import DataError
from mien.evaluation.results import Estimate
from mien.explanation import gradient
from mien.explanation.explainer import METHODS, MapCheck
from mien.explanation.gradient import randomized, rank_correlation, spearman
from support import raises


def edges(model, images, targets):
    """Map the image's edges whatever the network: what the check is there to find."""
    return np.abs(np.diff(images.astype(np.float32), axis=1, append=0))


@pytest.fixture
def images(faces):
    return np.asarray(faces.images[:6])


def test_check_detects_a_method_that_ignores_the_network(explainer, images, monkeypatch):
    monkeypatch.setitem(METHODS, "edges", "gradient")
    monkeypatch.setattr(gradient, "edges", edges, raising=False)
    assert explainer.check(images, "edges").rank_correlation.value == pytest.approx(1)


def test_gradients_depend_on_the_trained_weights(explainer, images):
    found = explainer.check(images, "gradient")
    assert found.faces == len(images)
    assert found.rank_correlation.high < 0.7
    assert rank_correlation("gradient", explainer.network, images, found.maps) == found.rank_correlation
    # The gradient draws nothing itself, and a mean over faces is not resampled: only the shuffled network is another.
    other = rank_correlation("gradient", explainer.network, images, found.maps, seed=1)
    assert other.value != found.rank_correlation.value
    with raises(DataError, "no-faces"):
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


def test_spearman_equals_scipy_with_ties():
    """Oracle: scipy.stats.spearmanr."""
    generator = np.random.default_rng(0)
    first = generator.random((3, 20, 20))
    second = np.round(0.6 * first + 0.4 * generator.random((3, 20, 20)), 1)
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    assert spearman(first, second) == pytest.approx(expected, abs=1e-12)
    assert spearman(first, np.zeros_like(first)).tolist() == [0, 0, 0]


GAIN, NONE, WORSE = Estimate(0.2, 0.1, 0.3), Estimate(0.2, -0.01, 0.3), Estimate(-0.2, -0.3, -0.1)
EQUAL, OTHER, SAME = Estimate(0.0, -0.1, 0.1), Estimate(0.1, 0.0, 0.3), Estimate(0.45, 0.3, 0.55)


@pytest.mark.parametrize(
    ("faces", "deletion", "insertion", "correlation", "verdict"),
    [
        (20, GAIN, EQUAL, OTHER, "passes"),
        (20, GAIN, EQUAL, None, "passes"),
        (20, NONE, EQUAL, None, "fails"),
        (20, GAIN, EQUAL, SAME, "fails"),
        (20, GAIN, EQUAL, Estimate(1.0, math.nan, math.nan), "fails"),
        (20, GAIN, EQUAL, Estimate(0.0, math.nan, math.nan), "passes"),
        (20, GAIN, WORSE, OTHER, "fails"),
        (19, GAIN, EQUAL, OTHER, "undecided"),
    ],
)
def test_verdict_needs_both_checks_and_20_faces(faces, deletion, insertion, correlation, verdict):
    assert MapCheck("gradient", faces, deletion, insertion, correlation).verdict == verdict
