"""How long a training will take. Oracles: a clock around the same steps, torch's own count of parameters."""

import json
import time

import pytest

from mien.models.registry import build_model
from mien.training import probe
from mien.training.plan import plan_training
from support import refused
from training_support import changed


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
    assert probe._step_seconds(state, 28) == 5 / 4
    assert sides == [28] * 7


def test_dry_run_writes_nothing_and_refuses_options_of_a_run(
    mien, tmp_path, tiny_recipe_text, face_folder, monkeypatch
):
    recipe_file = tmp_path / "tiny.toml"
    recipe_file.write_text(tiny_recipe_text)
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
