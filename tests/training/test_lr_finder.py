"""The learning-rate range test."""

import json
import time
from contextlib import suppress

import numpy as np
import pytest
import torch

from mien.api.study import find_lr
from mien.base.errors import TrainingError
from mien.base.recipe import Recipe
from mien.models.registry import build_model
from mien.training import probe
from mien.training.batches import epoch_batches, epoch_seed
from mien.training.plan import plan_training
from mien.training.probe import RATES, SMOOTHING, range_test, suggested_rate
from mien.training.state import prepare
from support import raises, refused
from training_support import changed


def _plain(recipe):
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
    # Oracle: where losses fall that differ from batch to batch: from a rate of 0.001 to 0.1, or nowhere.
    weights, taken_for_falls = [SMOOTHING ** np.arange(count)[::-1] for count in range(1, len(RATES) + 1)], 0
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


@pytest.mark.parametrize("losses", [[], [2.0, 3.0], list(np.linspace(1, 2, 60))])
def test_suggested_rate_refuses_a_loss_that_never_falls(losses):
    with raises(TrainingError, "lr-not-found"):
        suggested_rate(RATES[: len(losses)], np.array(losses), np.array(losses))


def test_find_lr_suggests_the_same_in_python_and_command(mien, tmp_path, face_folder, recipe_file, monkeypatch, charts):
    """Oracle: each other; that rate lies where the curve itself says."""
    monkeypatch.chdir(tmp_path)
    answer = mien("train", "tiny.toml", "--data", face_folder, "--find-lr", "--json")
    told, found = json.loads(answer.out), find_lr("tiny.toml", face_folder)
    assert (answer.code, told["suggestion"], told["highest"]) == (0, found.suggestion, found.highest)
    assert told["losses"] == found.losses.tolist()
    assert found.suggestion < found.highest == found.rates[found.losses.argmin()]
    assert "learning rate" in found.plot().svg
    shown = mien("train", "tiny.toml", "--data", face_folder, "--find-lr")
    assert (shown.code, f"{found.suggestion:.2g}" in shown.out, told["chart"]) == (0, True, "runs/tiny-find-lr.svg")
    assert told["chart"] in shown.err
    assert "<svg" in (tmp_path / told["chart"]).read_text()
    assert [each.name for each in tmp_path.glob("runs/*")] == ["tiny-find-lr.svg"]


def test_estimate_is_the_time_of_all_steps_and_validations(faces, tiny_recipe, monkeypatch):
    plan = plan_training(changed(tiny_recipe, progressive_resizing=((0.25, 28),)), faces)
    # A clock that ticks a second each time it is read; steps of 28 px take 2 s, those of 44 px 4 s.
    monkeypatch.setattr(probe, "_step_seconds", lambda state, side: {28: 2.0, 44: 4.0}[side])
    ticks = iter(range(1000))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    found = probe.estimate_training(plan)
    assert (found.epochs, found.steps_per_epoch) == (2, plan.steps_per_epoch)
    assert found.seconds == pytest.approx(2 * (plan.steps_per_epoch * (0.25 * 2 + 0.75 * 4) + 1))
    assert found.parameters == sum(each.numel() for each in build_model(plan.recipe.model, 7, 44).parameters())


def test_step_seconds_skips_the_warm_up(faces, tiny_recipe, monkeypatch):
    """Oracle: by hand: read at the start, after each step until more than 3 s have gone, and at the end.

    The recipe has two steps, and seven are done, all at the side.
    """
    state = probe.prepare(plan_training(changed(tiny_recipe, epochs=1, batch_size=150), faces))
    assert state.plan.steps_per_epoch == 2
    ticks, sides, whole = iter(range(1000)), [], probe.forward_loss
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))

    def seen(state, batch):
        sides.append(batch.images.shape[3])
        return whole(state, batch)

    monkeypatch.setattr(probe, "forward_loss", seen)
    assert (probe._step_seconds(state, 28), sides) == (5 / 4, [28] * 7)


def test_dry_run_writes_nothing_and_refuses_options_of_a_run(mien, tmp_path, recipe_file, face_folder, monkeypatch):
    monkeypatch.setattr(probe, "_TIMED_SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/tiny/old").mkdir(parents=True)
    before = sorted(tmp_path.rglob("*"))
    words = ("train", recipe_file, "--data", face_folder, "--dry-run")
    answer = mien(*words, "--json")
    told = json.loads(answer.out)
    assert (answer.code, told["epochs"], told["run"], told["memory_bytes"] > 50e6) == (0, 2, "runs/tiny", True)
    assert f"{told['parameters']:,}" in mien(*words).out
    for option in (("--resume",), ("--log", "tensorboard"), ("--folds", 2), ("--find-lr",)):
        refused(mien(*words, *option), "options", "--dry-run")
    refused(mien(*words, "--set", "model.widths=[4]"), "model-setting")
    assert sorted(tmp_path.rglob("*")) == before
