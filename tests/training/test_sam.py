"""Oracle: the paper's equations on a function whose gradient is known."""

import pytest
import torch
from torch import nn

from mien.models.registry import build_model
from mien.recipe import ModelRecipe
from mien.run_folder import RunFolder
from mien.training import checkpoint, step
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.optim import sam_perturbation
from mien.training.outputs import epoch_targets, to_tensors
from mien.training.plan import plan_training
from mien.training.state import prepare


def test_the_slope_is_that_of_the_place_rho_further_up():
    """f(w) = sum of a w^4: the slope at w is 4 a w^3, at w + rho g / |g| the same formula at that place."""
    layer = nn.Linear(3, 1, bias=False)
    a = torch.tensor([[1.0, 2.0, 0.5]])
    start = layer.weight.detach().clone()
    (a * layer.weight**4).sum().backward()
    slope = 4 * a * start**3
    with sam_perturbation(layer, 0.05):
        up = start + 0.05 * slope / slope.norm()
        assert torch.allclose(layer.weight, up)
        (a * layer.weight**4).sum().backward()
    assert torch.allclose(layer.weight.grad, 4 * a * up**3, rtol=1e-5)
    assert torch.equal(layer.weight, start)


def test_running_statistics_are_those_of_the_weights_outside():
    network = build_model(ModelRecipe(name="mien", widths=[4], convolutions=[2], stem_width=4), 3, 16).train()
    images = torch.randn(8, 1, 16, 16)
    network(images).sum().backward()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ZeroDivisionError), sam_perturbation(network, 0.1):
        network(images).sum().backward()
        raise ZeroDivisionError
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    network(images)
    assert not torch.equal(before["stem.1.running_mean"], network.state_dict()["stem.1.running_mean"])


def test_a_run_with_sam_resumes_bit_identical_and_is_another_than_without(tmp_path, faces, tiny_recipe):
    recipe = tiny_recipe.model_copy(update={"optim": tiny_recipe.optim.model_copy(update={"sam_rho": 0.05})})

    class Cut(Callback):
        def on_epoch_end(self, line, is_best):
            raise ConnectionResetError

    whole, cut, plain = (RunFolder(tmp_path / name) for name in ("whole", "cut", "plain"))
    train(plan_training(recipe, faces), whole)
    with pytest.raises(ConnectionResetError):
        train(plan_training(recipe, faces), cut, callback=Cut())
    train(plan_training(recipe, faces), cut, resume=True)
    train(plan_training(tiny_recipe, faces), plain)
    ours, again, other = (checkpoint.load(run.last)[0] for run in (whole, cut, plain))
    assert all(torch.equal(ours[name], again[name]) for name in ours)
    assert not torch.equal(ours["model.head.weight"], other["model.head.weight"])


def test_a_step_in_fp16_is_that_in_fp32(faces, tiny_recipe):
    """Oracle: the step in fp32. The place further up does not depend on the scale of the loss."""
    moved = []
    for precision in ("fp32", "fp16"):
        optim = tiny_recipe.optim.model_copy(update={"sam_rho": 0.05, "lr": 0.1, "weight_decay": 0.0})
        recipe = tiny_recipe.model_copy(update={"optim": optim, "precision": precision})
        recipe = recipe.model_copy(update={"model": recipe.model.model_copy(update={"dropout": 0.0})})
        state = prepare(plan_training(recipe, faces))
        start = torch.cat([each.detach().flatten().clone() for each in state.network.parameters()])
        batch = next(step.recipe_batches(state, 1))
        targets = to_tensors(epoch_targets(state.plan.outputs, state.vote_distributions, 0, 1), state.fabric.device)
        step.take_step(state, batch, 1.0, step.forward_loss(state, batch, targets)[1], targets)
        moved.append(torch.cat([each.detach().flatten() for each in state.network.parameters()]) - start)
    assert moved[0].norm() > 1e-3
    assert (moved[1] - moved[0]).norm() < 0.05 * moved[0].norm()
