import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from mien.base.errors import DataError
from mien.evaluation.results import Estimate
from mien.explanation.faithfulness import judge
from mien.explanation.gradient import gradients
from mien.explanation.gradient.randomization import check_randomization, randomized, spearman
from mien.explanation.methods import METHODS
from support import raises


def edges(model, images, targets):
    """Map the image's edges whatever the network: what the check is there to find."""
    return np.abs(np.diff(images.astype(np.float32), axis=1, append=0))


@pytest.fixture
def images(faces):
    return np.asarray(faces.images[:6])


def test_a_method_that_ignores_the_network_is_found_out(tiny_model, images, monkeypatch):
    monkeypatch.setitem(METHODS, "edges", "gradient.gradients")
    monkeypatch.setattr(gradients, "edges", edges, raising=False)
    assert check_randomization("edges", tiny_model, images).spearman.value == pytest.approx(1)


def test_gradients_depend_on_what_was_learnt(tiny_model, images):
    result = check_randomization("gradient", tiny_model, images)
    assert result.faces == len(images)
    assert result.spearman.high < 0.7
    assert check_randomization("gradient", tiny_model, images).to_dict() == result.to_dict()
    # The gradient draws nothing itself, and a mean over faces is not resampled: only the shuffled network is another.
    assert check_randomization("gradient", tiny_model, images, seed=1).spearman.value != result.spearman.value
    with raises(DataError, "no-faces"):
        check_randomization("gradient", tiny_model, images[:0])


def test_every_tensor_keeps_its_values_in_another_order_and_the_network_is_left_alone(tiny_model):
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


def test_rank_correlation_with_ties():
    """Oracle: scipy.stats.spearmanr."""
    generator = np.random.default_rng(0)
    first = generator.random((3, 20, 20))
    second = np.round(0.6 * first + 0.4 * generator.random((3, 20, 20)), 1)
    expected = [stats.spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
    assert spearman(first, second) == pytest.approx(expected, abs=1e-12)
    assert spearman(first, np.zeros_like(first)).tolist() == [0, 0, 0]


measured = partial(SimpleNamespace, insertion_gain=Estimate(0.0, -0.1, 0.1), faces=20)
GAIN, DIFFERENT = Estimate(0.2, 0.1, 0.3), Estimate(0.1, 0.0, 0.3)
GOOD, BAD = measured(deletion_gain=GAIN), measured(deletion_gain=Estimate(0.2, -0.01, 0.3))
OTHER, SAME = measured(spearman=DIFFERENT), measured(spearman=Estimate(0.45, 0.3, 0.55))


@pytest.mark.parametrize(
    ("faithful", "likeness", "verdict"),
    [
        (GOOD, OTHER, "passes"),
        (GOOD, None, "passes"),
        (BAD, OTHER, "fails"),
        (BAD, None, "fails"),
        (GOOD, SAME, "fails"),
        (GOOD, measured(spearman=Estimate(1.0, math.nan, math.nan)), "fails"),
        (GOOD, measured(spearman=Estimate(0.0, math.nan, math.nan)), "passes"),
        (measured(deletion_gain=GAIN, insertion_gain=Estimate(-0.2, -0.3, -0.1)), OTHER, "fails"),
        (measured(deletion_gain=GAIN, insertion_gain=Estimate(-0.2, -0.3, 0.1)), OTHER, "passes"),
        (measured(deletion_gain=GAIN, faces=19), OTHER, "undecided"),
        (GOOD, measured(spearman=DIFFERENT, faces=19), "undecided"),
    ],
)
def test_the_verdict_needs_both_and_faces_enough(faithful, likeness, verdict):
    assert judge(faithful, likeness) == verdict
