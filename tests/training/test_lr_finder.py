"""The learning-rate range test."""

import json
from contextlib import suppress

import numpy as np
import pytest
import torch

from mien.api.trials import find_lr
from mien.base.errors import TrainingError
from mien.base.recipe import Recipe
from mien.training.batches import epoch_batches, epoch_seed
from mien.training.plan import plan_training
from mien.training.probe import RATES, SMOOTHING, range_test, suggested_rate
from mien.training.state import prepare
from support import raises, refused


def _plain(recipe: Recipe) -> Recipe:
    """Plain SGD, without what draws random numbers in the network."""
    tables = recipe.model_dump(exclude_unset=True)
    tables["optim"] = {"name": "sgd", "lr": 0.05, "momentum": 0.0, "weight_decay": 0.0}
    tables["model"] |= {"dropout": 0.0}
    return Recipe.model_validate(tables)


def test_range_test_equals_plain_sgd_with_rising_rates(faces, tiny_recipe):
    """Oracle: torch's own SGD and cross-entropy on the same batches, the running mean as a weighted mean."""
    recipe = _plain(tiny_recipe)
    plan = plan_training(recipe, faces)
    rates, losses, means = range_test(plan)
    assert (rates[0], RATES[-1], len(RATES)) == (1e-6, 10, 100)
    assert np.allclose(np.diff(np.log(rates)), np.log(1e7) / 99)
    state = prepare(plan)
    network, seen = state.network, []
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    network.train()
    for epoch in range(1, 13):
        torch.manual_seed(epoch_seed(recipe.seed, epoch))
        for batch in epoch_batches(state.images, state.labels, recipe, epoch=epoch, mixing=True):
            if len(seen) == len(losses):
                break
            loss = torch.nn.functional.cross_entropy(
                network(batch.images), state.labels[batch.chosen], label_smoothing=recipe.label_smoothing
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.param_groups[0]["lr"] = float(rates[len(seen)])
            optimizer.step()
            seen.append(loss.item())
    weights = [SMOOTHING ** np.arange(count)[::-1] for count in range(1, len(seen) + 1)]
    assert losses == pytest.approx(seen, rel=1e-4)
    assert means == pytest.approx([np.average(seen[: len(each)], weights=each) for each in weights], rel=1e-4)


def test_suggested_rate_is_where_the_loss_still_falls():
    """Oracle: a loss that falls from 0.001 to 0.1, and rises from 1 on, from where it would fall more steeply again."""
    logarithms = np.log10(RATES)
    losses = 2 - np.clip(logarithms + 3, 0, 2) + np.random.default_rng(0).normal(0, 0.03, len(RATES))
    losses[logarithms > 0] = 8 - 4 * logarithms[logarithms > 0]
    assert -2.5 < np.log10(suggested_rate(RATES, losses, losses)) < 0


@pytest.mark.parametrize("losses", [[], [2.0, 3.0], list(np.linspace(1, 2, 60))])
def test_suggested_rate_refuses_a_loss_that_never_falls(losses):
    with raises(TrainingError, "lr-not-found"):
        suggested_rate(RATES[: len(losses)], np.array(losses), np.array(losses))


def test_suggested_rate_refuses_noise():
    """Oracle: where losses fall that differ from batch to batch: from a rate of 0.001 to 0.1, or nowhere."""
    weights = [SMOOTHING ** np.arange(count)[::-1] for count in range(1, len(RATES) + 1)]
    taken_for_falls = 0
    for seed in range(40):
        noise = np.random.default_rng(seed).normal(0, 0.1, len(RATES))
        for fall in (0.0, 0.5):
            losses = 3 + noise - fall * np.clip(np.log10(RATES) + 3, 0, 2)
            means = np.array([np.average(losses[: len(each)], weights=each) for each in weights])
            if fall:
                assert 1e-3 < suggested_rate(RATES, losses, means) < 1
            else:
                with suppress(TrainingError):
                    taken_for_falls += bool(suggested_rate(RATES, losses, means))
    assert taken_for_falls <= 2


def test_find_lr_suggests_the_same_in_python_and_command(
    mien, tmp_path, face_folder, tiny_recipe_text, monkeypatch, charts
):
    """Oracle: each other; that rate lies where the curve itself says."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(tiny_recipe_text)
    answer = mien("train", "tiny.toml", "--data", face_folder, "--find-lr", "--json")
    told = json.loads(answer.out)
    found = find_lr("tiny.toml", face_folder)
    assert (answer.code, told["suggestion"], told["highest"]) == (0, found.suggestion, found.highest)
    assert told["losses"] == found.losses.tolist()
    assert found.suggestion < found.highest == found.rates[found.losses.argmin()]
    assert "learning rate" in found.plot().svg
    shown = mien("train", "tiny.toml", "--data", face_folder, "--find-lr")
    assert (shown.code, f"{found.suggestion:.2g}" in shown.out) == (0, True)
    assert told["chart"] == "runs/tiny-find-lr.svg"
    assert told["chart"] in shown.err
    assert "<svg" in (tmp_path / told["chart"]).read_text()
    assert [each.name for each in tmp_path.glob("runs/*")] == ["tiny-find-lr.svg"]


def test_find_lr_refuses_options_of_a_run(mien, tmp_path):
    for options in (("--out", tmp_path / "run"), ("--resume",), ("--folds", "2"), ("--log", "tensorboard")):
        refused(mien("train", "quick", "--data", tmp_path, "--find-lr", *options), "options", "--find-lr")
