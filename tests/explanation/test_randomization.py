import re
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from mien.errors import DataError
from mien.evaluation.results import Estimate
from mien.explanation.gradient.randomization import cascade, check_randomization
from mien.explanation.methods import METHODS, Method
from mien.explanation.verdict import LEAST_FACES, judge
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
    result = check_randomization("edges", tiny_model, images)
    assert result.spearman == pytest.approx(1)
    assert result.ssim == pytest.approx(1)
    assert result.final_spearman.low == pytest.approx(1)


def test_gradients_depend_on_what_was_learnt(tiny_model, images):
    result = check_randomization("gradient", tiny_model, images, depths=3)
    assert len(result.layers) == len(result.spearman) == len(result.ssim) == 3
    assert result.layers[-1] == "stem.0"
    assert result.final_spearman.high < 0.7
    assert result.spearman[-1] == pytest.approx(result.final_spearman.value)
    again = check_randomization("gradient", tiny_model, images, depths=3)
    assert again.to_dict() == result.to_dict()
    # The gradient draws nothing itself, and a mean over faces is not resampled: only the cascade is another.
    other = check_randomization("gradient", tiny_model, images, depths=3, seed=1)
    assert not np.isclose(other.spearman, result.spearman, atol=1e-6).any()


def test_the_cascade_goes_from_the_head_down_and_leaves_the_network_alone(tiny_model):
    """Each tensor keeps its values; below the layer that is named nothing has changed yet."""
    before = {name: tensor.clone() for name, tensor in tiny_model.network.state_dict().items()}
    depths = [
        (layer, {name: tensor.clone() for name, tensor in model.network.state_dict().items()})
        for layer, model in cascade(tiny_model, depths=100, seed=0)
    ]
    assert depths[0][0] == "head"
    assert [name for name, tensor in depths[0][1].items() if not torch.equal(tensor, before[name])] == [
        "head.weight",
        "head.bias",
    ]
    for name, tensor in depths[-1][1].items():
        assert torch.equal(tensor.flatten().sort().values, before[name].flatten().sort().values)
        if name.endswith("0.weight"):
            assert not torch.equal(tensor, before[name])
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny_model.network.state_dict().items())


def test_the_cascade_goes_by_its_seed(tiny_model):
    first, same, other = (
        {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
        for seed in (0, 0, 1)
        for _, model in cascade(tiny_model, depths=1, seed=seed)
    )
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


def test_it_needs_faces_and_a_depth(tiny_model, images):
    with raises(DataError, "randomization-input"):
        check_randomization("gradient", tiny_model, images[:0])
    with raises(DataError, "randomization-input"):
        check_randomization("gradient", tiny_model, images, depths=0)


EITHER_SIDE = Estimate(0.0, -0.1, 0.1)


@dataclass
class Faithful:
    deletion_gain: Estimate
    insertion_gain: Estimate = EITHER_SIDE
    faces: int = 20
    baseline: str = "moved"


@dataclass
class Likeness:
    final_spearman: Estimate
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
    assert judge(good, other).to_dict()["faithful"] is True


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
