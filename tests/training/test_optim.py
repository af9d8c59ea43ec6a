import math
from itertools import pairwise

import pytest
import torch
from torch import nn, optim

from mien.base.recipe_tables import ModelRecipe, OptimRecipe, ScheduleRecipe
from mien.models.registry import build_model
from mien.training.optim import build_optimizer, plateau_factor, rate_factor


def rates(recipe, epochs=10, steps=10):
    return [rate_factor(recipe, step, steps, epochs) for step in range(epochs * steps)]


def torch_rates(schedule, optimizer, count):
    seen = []
    for _ in range(count):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return seen


def one_parameter():
    return optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


def test_cosine_equals_torchs_schedule():
    """Oracle: torch.optim.lr_scheduler.CosineAnnealingLR."""
    optimizer = one_parameter()
    theirs = torch_rates(optim.lr_scheduler.CosineAnnealingLR(optimizer, 100, eta_min=0.1), optimizer, 100)
    assert rates(ScheduleRecipe(name="cosine", final=0.1)) == pytest.approx(theirs, abs=1e-6)


def test_step_equals_torchs_schedule():
    """Oracle: torch.optim.lr_scheduler.StepLR, counted in steps of 30."""
    optimizer = one_parameter()
    theirs = torch_rates(optim.lr_scheduler.StepLR(optimizer, 30, gamma=0.5), optimizer, 100)
    assert rates(ScheduleRecipe(name="step", step_epochs=3, factor=0.5)) == pytest.approx(theirs)


def test_one_cycle_rises_and_falls_linearly():
    """Oracle: Smith & Topin 2018, figure 1a."""
    seen = rates(ScheduleRecipe(name="one-cycle", warmup=0.2, final=0.05))
    assert max(seen) == pytest.approx(1.0)
    assert seen.index(max(seen)) == 20
    up = [second - first for first, second in pairwise(seen[:20])]
    down = [second - first for first, second in pairwise(seen[20:])]
    assert max(up) - min(up) == pytest.approx(0, abs=1e-9)
    assert max(down) - min(down) == pytest.approx(0, abs=1e-9)
    assert 0.05 < seen[-1] < 0.07


def test_constant_rises_during_warmup():
    seen = rates(ScheduleRecipe(warmup=0.1))
    assert seen[0] > 0
    assert seen[:10] == sorted(seen[:10])
    assert set(seen[10:]) == {1.0}


@pytest.mark.parametrize("losses", [[5, 4, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8], [3, 2, 1], []])
def test_plateau_equals_torchs_schedule(losses):
    """Oracle: torch's ReduceLROnPlateau without threshold; its patience counts one less than ours."""
    optimizer = one_parameter()
    theirs = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=0.0, eps=0)
    for loss in losses:
        theirs.step(loss)
    recipe = ScheduleRecipe(name="plateau", factor=0.5, patience=3)
    assert plateau_factor(recipe, losses) == pytest.approx(optimizer.param_groups[0]["lr"])


def test_plateau_factor_is_1_for_other_schedules():
    assert plateau_factor(ScheduleRecipe(name="cosine"), [1.0] * 50) == 1.0
    assert not math.isnan(plateau_factor(ScheduleRecipe(name="plateau"), [math.nan] * 3))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sgd", {"momentum": 0.7, "nesterov": False}),
        ("adam", {"betas": (0.8, 0.9), "eps": 1e-4}),
        ("adamw", {"betas": (0.8, 0.9), "eps": 1e-4}),
        ("rmsprop", {"momentum": 0.7, "eps": 1e-4}),
    ],
)
def test_build_optimizer_uses_the_recipes_settings(name, expected):
    """None of them is torch's own default."""
    recipe = OptimRecipe(name=name, lr=0.03, momentum=0.7, nesterov=False, betas=(0.8, 0.9), epsilon=1e-4)
    optimizer = build_optimizer(nn.Linear(2, 2), recipe)
    assert type(optimizer).__name__.lower() == name
    for group in optimizer.param_groups:
        assert {key: group[key] for key in expected} == expected
        assert group["lr"] == 0.03


def test_sgd_without_momentum_ignores_nesterov():
    assert not build_optimizer(nn.Linear(2, 2), OptimRecipe(momentum=0.0)).param_groups[0]["nesterov"]


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "rmsprop"])
def test_optimizer_groups_have_lr_scale_and_no_decay_for_vectors(name):
    network = build_model(ModelRecipe(name="study-b"), 7, 48)
    shares = {network.head.weight: 1.0, network.head.bias: 1.0}
    shares = {p: shares.get(p, 0.5) for p in network.parameters()}
    optimizer = build_optimizer(network, OptimRecipe(name=name, weight_decay=0.1, lr=0.01), shares)
    seen = {id(p): (g["lr_scale"], g["weight_decay"]) for g in optimizer.param_groups for p in g["params"]}
    assert len(seen) == len(list(network.parameters()))
    for key, parameter in network.named_parameters():
        is_weight = key.endswith("weight") and parameter.ndim > 1
        assert seen[id(parameter)] == (shares[parameter], 0.1 if is_weight else 0.0), key


def test_optimizer_without_scales_has_two_groups():
    """Their order is that of the optimiser's state in last.safetensors: runs of an older mien are resumed."""
    network = build_model(ModelRecipe(name="study-b"), 7, 48)
    first, second = build_optimizer(network, OptimRecipe()).param_groups
    assert [id(p) for p in first["params"]] == [id(p) for p in network.parameters() if p.ndim > 1]
    assert [id(p) for p in second["params"]] == [id(p) for p in network.parameters() if p.ndim <= 1]
    assert first["lr_scale"] == second["lr_scale"] == 1.0
