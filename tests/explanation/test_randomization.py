import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy import stats

from mien.errors import DataError
from mien.evaluation.results import Estimate
from mien.explanation.faithfulness import LEAST_FACES, judge
from mien.explanation.gradient.randomization import check_randomization, randomized, spearman
from mien.explanation.methods import METHODS, Method
from support import raises


@dataclass(frozen=True)
class Edges(Method):
    """A method that shows the picture's edges whatever the network: what the check is there to find."""

    def load(self):
        return lambda model, images, targets, seed: np.abs(np.diff(images.astype(np.float32), axis=1, append=0))


@pytest.fixture
def images(faces):
    return np.asarray(faces.images[:6])


def test_a_method_that_ignores_the_network_is_found_out(tiny_model, images, monkeypatch):
    monkeypatch.setitem(METHODS, "edges", Edges("", True, ""))
    assert check_randomization("edges", tiny_model, images).spearman.low == pytest.approx(1)


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


EITHER_SIDE = Estimate(0.0, -0.1, 0.1)


@dataclass
class Faithful:
    deletion_gain: Estimate
    insertion_gain: Estimate = EITHER_SIDE
    faces: int = 20


@dataclass
class Likeness:
    spearman: Estimate
    faces: int = 20


def test_the_verdict_needs_both():
    good, bad = Faithful(Estimate(0.2, 0.1, 0.3)), Faithful(Estimate(0.2, -0.01, 0.3))
    other, same = Likeness(Estimate(0.1, 0.0, 0.3)), Likeness(Estimate(0.45, 0.3, 0.55))
    assert judge(good, other).passes
    assert not judge(bad, other).passes
    assert not judge(good, same).passes
    assert judge(good).passes
    assert judge(good).learnt is None
    assert not judge(bad, same).faithful
    assert "0.200 (-0.010 to 0.300)" in judge(bad, same).reason
    assert "0.45 (0.30 to 0.55)" in judge(good, same).reason


def test_a_map_that_is_worse_than_chance_at_insertion_fails():
    gain, other = Estimate(0.2, 0.1, 0.3), Likeness(Estimate(0.1, 0.0, 0.3))
    worse = judge(Faithful(gain, insertion_gain=Estimate(-0.2, -0.3, -0.1)), other)
    assert worse.word == "fails"
    assert "insertion" in worse.reason
    assert "-0.200" in worse.reason
    by_chance = judge(Faithful(gain, insertion_gain=Estimate(-0.2, -0.3, 0.1)), other)
    assert by_chance.word == "passes"
    assert "insertion" not in by_chance.reason


def test_few_faces_decide_nothing():
    gain, alike = Estimate(0.2, 0.1, 0.3), Estimate(0.1, 0.0, 0.3)
    assert judge(Faithful(gain), Likeness(alike)).word == "passes"
    for few in (judge(Faithful(gain, faces=19)), judge(Faithful(gain), Likeness(alike, faces=19))):
        assert (few.word, few.passes, few.faces) == ("undecided", False, 19)
        assert re.findall(r"\d+", few.reason)[:2] == ["19", str(LEAST_FACES)] == ["19", "20"]
