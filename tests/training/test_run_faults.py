"""What happens to a run from outside while it is trained: flipped bits, moved folders, other machines."""

import json
import math
import shutil

import pytest
import torch

from mien.errors import RunError, StoppedError, TrainingError
from mien.pipeline import training_run
from mien.recipe_file import dump_recipe
from mien.run_folder import RunFolder
from mien.training import checkpoint, loop, machine
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training
from support import raises, refused


class AfterEpoch(Callback):
    """Does something after an epoch, and stops the run if wanted."""

    def __init__(self, epoch, act=lambda: None, stop=False):
        self.epoch, self.act, self.stop, self.done = epoch, act, stop, 0

    def on_epoch_end(self, line, is_best):
        self.done += 1
        if self.done == self.epoch:
            self.act()

    def should_stop(self):
        return self.stop and self.done >= self.epoch


def begin(run, faces, recipe, epochs, stop_after, act=lambda: None):
    recipe = recipe.model_copy(update={"epochs": epochs})
    train(plan_training(recipe, faces), run, callback=AfterEpoch(stop_after, act, stop=True))
    return recipe


def flip_a_bit(file, at):
    content = bytearray(file.read_bytes())
    content[at] ^= 0x40
    file.write_bytes(content)


@pytest.mark.parametrize("at", [-1, -2000])
def test_one_flipped_bit_of_a_weight_is_a_damaged_checkpoint(tmp_path, at):
    """Oracle: the bit. Without a checksum safetensors reads any bits as floats."""
    facts = {"recipe_digest": "a", "data_fingerprint": "b", "classes": ["ä"], "history": [{"loss": 0.1}]}
    checkpoint.save(tmp_path / "c", {"a": torch.ones(4096), "n": torch.tensor(3)}, facts)
    checkpoint.load(tmp_path / "c")
    flip_a_bit(tmp_path / "c", at)
    with raises(RunError, "checkpoint-damaged"):
        checkpoint.load(tmp_path / "c")


def test_a_damaged_checkpoint_falls_back_to_the_epoch_before_and_ends_bit_identical(tmp_path, faces, tiny_recipe):
    """Oracle: a run that nothing happened to."""
    whole, hurt = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "hurt")
    recipe = tiny_recipe.model_copy(update={"epochs": 4})
    train(plan_training(recipe, faces), whole)
    begin(hurt, faces, tiny_recipe, 4, stop_after=3)
    flip_a_bit(hurt.last, -100)
    assert len(train(plan_training(recipe, faces), hurt, resume=True).history) == 4
    theirs, ours = (checkpoint.load(run.best)[0] for run in (whole, hurt))
    assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
    assert not hurt.previous.exists()
    assert not whole.previous.exists()


def test_a_resumed_run_that_diverges_stays_as_it_was(tmp_path, faces, tiny_recipe):
    """Another command began it, so its recipe is not this one's to discard."""
    run, plan = RunFolder(tmp_path / "run"), plan_training(tiny_recipe, faces)

    class Stop(Callback):
        def should_stop(self):
            return True

    with raises(StoppedError, "stopped-early"):
        train(plan, run, callback=Stop())
    before = {file.name: file.read_bytes() for file in run.path.iterdir()}
    assert "recipe.toml" in before
    with pytest.MonkeyPatch.context() as patch, raises(TrainingError, "loss-not-finite"):
        patch.setattr(loop, "validate", lambda _: {"validation_loss": math.nan})
        train(plan, run, resume=True)
    assert {file.name: file.read_bytes() for file in run.path.iterdir()} == before


def test_without_an_earlier_checkpoint_a_damaged_one_is_refused(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    recipe = begin(run, faces, tiny_recipe, 3, stop_after=1)
    flip_a_bit(run.last, -100)
    with raises(RunError, "checkpoint-damaged"):
        train(plan_training(recipe, faces), run, resume=True)


def test_a_folder_moved_in_mid_training_stops_the_run_and_goes_on_elsewhere(tmp_path, faces, tiny_recipe):
    run, moved = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "moved")
    recipe = tiny_recipe.model_copy(update={"epochs": 3})
    callback = AfterEpoch(1, lambda: run.path.rename(moved.path))
    with raises(RunError, "run-gone"), run.alone():
        train(plan_training(recipe, faces), run, callback=callback)
    assert not run.path.exists()
    assert len(train(plan_training(recipe, faces), moved, resume=True).history) == 3


def test_a_folder_moved_while_the_model_is_written_gets_nothing_more(tmp_path, faces, tiny_recipe, monkeypatch):
    run, moved = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "moved")
    evaluate = training_run.evaluate_predictions

    def move_first(*arguments):
        run.path.rename(moved.path)
        return evaluate(*arguments)

    with monkeypatch.context() as patch, raises(RunError, "run-gone"):
        patch.setattr(training_run, "evaluate_predictions", move_first)
        patch.setattr(training_run, "replace_manifest", lambda *arguments: None)
        training_run.run_recipe(plan_training(tiny_recipe, faces), run)
    assert not run.path.exists()
    assert training_run.run_recipe(plan_training(tiny_recipe, faces), moved, resume=True).run.model.is_file()


def test_a_folder_removed_in_mid_training_stops_the_run_and_leaves_nothing(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    with raises(RunError, "run-gone"), run.alone():
        train(plan_training(tiny_recipe, faces), run, callback=AfterEpoch(1, lambda: shutil.rmtree(run.path)))
    assert not run.path.exists()


def test_resuming_on_another_machine_is_told_kept_and_refused_where_it_must_be_exact(
    tmp_path, faces, tiny_recipe, mien, face_folder, monkeypatch
):
    file, run = tmp_path / "recipe.toml", RunFolder(tmp_path / "run")
    file.write_text(dump_recipe(tiny_recipe))
    words = ("train", file, "--data", face_folder, "--out", run.path)
    assert mien(*words).code == 0
    assert json.loads((run.path / "environment.json").read_text())["processor"] == machine.machine()["processor"]
    same = mien(*words, "--resume", "--exact")
    assert (same.code, "another machine" in same.err) == (0, False)
    monkeypatch.setattr(machine, "_processor", lambda: "Z80")
    refused(mien(*words, "--resume", "--exact"), "run-other-machine", "Z80")
    assert "resumed" not in run.read_environment()
    other = mien(*words, "--resume")
    assert (other.code, "processor Z80" in other.err) == (0, True), other.err
    assert run.read_environment()["resumed"] == [{"after_epoch": 2, "processor": "Z80"}]
    again = mien(*words, "--resume", "--exact")
    assert again.code == 0, again.err
