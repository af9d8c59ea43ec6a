"""Oracle: torch.optim.swa_utils.update_bn, which torch has for the same end."""

import contextlib

import numpy as np
import torch

from mien.preprocess import to_input
from mien.run_folder import RunFolder
from mien.training import checkpoint
from mien.training.loop import train
from mien.training.norm_statistics import ENOUGH, renew_statistics, some_rows


def test_statistics_leave_the_network_as_it_was_otherwise(tiny_run, faces):
    network, _ = checkpoint.load_best(tiny_run)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    momenta = [module.momentum for module in network.modules() if hasattr(module, "momentum")]
    renew_statistics(network, np.asarray(faces.images), tiny_run.read_recipe().input)
    assert momenta == [module.momentum for module in network.modules() if hasattr(module, "momentum")]
    assert not any(module.training for module in network.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(before[name], value) != ("running" in name), name


def test_the_same_rows_each_time_and_none_twice():
    assert np.array_equal(np.sort(some_rows(50)), np.arange(50))
    many = some_rows(30_000)
    assert len(set(many)) == ENOUGH
    assert np.array_equal(many, some_rows(30_000))


def changed(recipe, **changes):
    return recipe.model_copy(update=changes)


def test_a_run_keeps_weights_with_statistics_of_the_faces_as_served(tmp_path, faces, tiny_recipe):
    """By update_bn on the train faces, for the averaged weights and for a run without an average."""
    train_faces = faces.of_split("train")
    for decay in (0.0, 0.9):
        recipe = changed(tiny_recipe, epochs=2, renew_statistics=True, ema_decay=decay, precision="fp32")
        run = RunFolder(tmp_path / str(decay))
        train(recipe, faces, run)
        network, _ = checkpoint.load_best(run)
        kept = {name: value.clone() for name, value in network.state_dict().items()}
        order = some_rows(len(train_faces))
        order = order[np.random.default_rng(0).permutation(len(order))]
        inputs = torch.from_numpy(to_input(np.asarray(train_faces.images)[order], recipe.input))
        torch.optim.swa_utils.update_bn(inputs.split(256), network)
        for name, value in network.state_dict().items():
            if "running" in name:
                assert torch.allclose(value, kept[name], rtol=1e-4, atol=1e-5), (decay, name)


def test_what_is_learnt_is_the_same_with_and_without(tmp_path, faces, tiny_recipe):
    """Training itself norms by its own batches, so that weights and their average come out alike to the bit."""
    weights = []
    for renewed in (False, True):
        run = RunFolder(tmp_path / str(renewed))
        train(changed(tiny_recipe, epochs=2, renew_statistics=renewed), faces, run)
        tensors = checkpoint.load(run.last)[0]
        weights.append({name: value for name, value in tensors.items() if "running" not in name})
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_a_run_that_was_stopped_ends_with_the_same_bits(tmp_path, faces, tiny_recipe):
    recipe = changed(tiny_recipe, epochs=3, renew_statistics=True)
    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    train(recipe, faces, whole)

    class StopsAfterOne:
        def step(self, epoch, images, loss):
            if epoch == 2:
                raise KeyboardInterrupt

        def epoch(self, line, is_best): ...

    with contextlib.suppress(KeyboardInterrupt):
        train(recipe, faces, parts, watch=StopsAfterOne())
    assert len(checkpoint.load(parts.last)[1]["history"]) == 1
    train(recipe, faces, parts, resume=True)
    for name, value in checkpoint.load(whole.last)[0].items():
        assert torch.equal(value, checkpoint.load(parts.last)[0][name]), name
