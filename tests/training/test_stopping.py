"""How runs end: Ctrl-C, callbacks, patience, losses that are not finite, a full disk."""

import os
import resource
import signal
from dataclasses import replace

import pytest
import torch

from mien.base.errors import RunError, TrainingError
from mien.base.run_folder import RunFolder
from mien.training import checkpoint, loop
from mien.training.callback import Callback, Callbacks, interruptible
from mien.training.loop import train
from mien.training.plan import plan_training
from support import raises
from training_support import Recorder, changed, same_weights, trained


def test_ctrl_c_keeps_the_best_model(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    recipe = changed(tiny_recipe, epochs=50)
    outcome = train(
        plan_training(recipe, faces), run, callback=Recorder(25, lambda: os.kill(os.getpid(), signal.SIGINT))
    )
    assert outcome.reason == "interrupted"
    assert len(outcome.history) == 2
    assert run.best.is_file()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_run_stopped_by_a_callback_resumes(tmp_path, faces, tiny_recipe):
    """Oracle: an unbroken run ends with the same weights."""

    class StopAfterTwo(Callback):
        done = 0

        def on_epoch_end(self, metrics, is_best):
            self.done = metrics["epoch"]

        def should_stop(self):
            return self.done >= 2

    plan = plan_training(changed(tiny_recipe, epochs=4), faces)
    cut = RunFolder(tmp_path / "cut")
    outcome = train(plan, cut, callback=StopAfterTwo())
    assert (outcome.reason, outcome.was_stopped, len(outcome.history)) == ("stopped", True, 2)
    assert not train(plan, cut, resume=True).was_stopped
    assert same_weights(cut, trained(changed(tiny_recipe, epochs=4), faces, tmp_path / "whole"))


def test_ctrl_c_in_the_first_epoch_keeps_nothing(tmp_path, faces, tiny_recipe):
    with raises(TrainingError, "stopped"):
        trained(tiny_recipe, faces, tmp_path / "r", callback=Recorder(2, lambda: os.kill(os.getpid(), signal.SIGINT)))


@pytest.mark.parametrize("frozen", [0, 4])
def test_patience_counts_only_epochs_of_all_layers(tmp_path, faces, tiny_recipe, frozen):
    """A rate of almost 0 changes nothing, so the first epoch stays the best."""
    stopping, tuning = {"metric": "macro_f1", "patience": 3}, {"frozen_epochs": frozen}
    recipe = changed(tiny_recipe, epochs=30, ema_decay=0.0, optim={"lr": 1e-12}, stopping=stopping, tuning=tuning)
    outcome = train(plan_training(recipe, faces), RunFolder(tmp_path / "run"))
    assert outcome.reason == "no better macro_f1 for 3 epochs"
    assert len(outcome.history) == max(outcome.best_epoch, frozen) + 3


def test_epoch_with_nan_weights_is_not_kept(tmp_path, faces, tiny_recipe, monkeypatch):
    """Every loss of the epoch was still finite; what validation sees is not."""

    def spoiling_epoch(state, epoch, *others):
        line = train_epoch(state, epoch, *others)
        if epoch == 2:
            with torch.no_grad():
                state.network.head.bias.fill_(float("nan"))
        return line

    train_epoch = loop._train_epoch
    monkeypatch.setattr(loop, "_train_epoch", spoiling_epoch)
    run = RunFolder(tmp_path / "run")
    with raises(TrainingError, "loss-not-finite", "of epoch 1"):
        train(plan_training(changed(tiny_recipe, epochs=3, ema_decay=0.0), faces), run)
    tensors, facts = checkpoint.load(run.best)
    assert facts["epoch"] == 1
    assert all(torch.isfinite(tensor).all() for tensor in tensors.values())
    assert len(run.read_history()) == 1


def test_full_disk_keeps_the_last_checkpoint(tmp_path, faces, tiny_recipe):
    """A file-size limit set after the first epoch makes the checkpoint's write fail as a full disk would."""
    run = RunFolder(tmp_path / "run")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    callback = Recorder(15, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, former[1])))
    try:
        with raises(RunError, "file-unwritable", "safetensors", "File too large"):
            train(plan_training(tiny_recipe, faces), run, callback=callback)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert len(checkpoint.load(run.last)[1]["history"]) == 1
    assert not [file for file in run.path.iterdir() if file.name.endswith(".part")]
    train(plan_training(tiny_recipe, faces), run, resume=True)


def test_first_ctrl_c_is_noted_and_second_raises():
    with interruptible() as interrupted:
        assert not interrupted.is_set()
        signal.raise_signal(signal.SIGINT)
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_nested_interruptible_shares_the_outer_event():
    with interruptible() as outer:
        with interruptible() as inner:
            signal.raise_signal(signal.SIGINT)
        assert all(each.is_set() for each in (inner, outer))
    with interruptible() as later:
        assert not later.is_set()


def test_callbacks_change_rate_and_batch(tmp_path, faces, tiny_recipe):
    """Oracles: weights that stay where the rate is 0; the shapes of the batch; what the next callback is given."""
    told = []

    class Stands(Callback):
        def on_train_begin(self, training):
            self.before = [each.detach().clone() for each in training.network.parameters()]

        def on_step_begin(self, training, batch):
            told.append(batch.images.shape)
            training.optimizer.param_groups[0]["lr"] = training.optimizer.param_groups[1]["lr"] = 0.0
            return replace(batch, images=batch.images * 0)

        def on_train_end(self, reason):
            told.append(reason)

    class Looks(Callback):
        def on_train_begin(self, training):
            self.network = training.network

        def on_step_begin(self, training, batch):
            assert not batch.images.any()

    stands, looks = Stands(), Looks()
    trained(changed(tiny_recipe, epochs=1), faces, tmp_path / "run", callback=Callbacks(stands, None, looks))
    assert all(map(torch.equal, stands.before, looks.network.parameters()))
    assert (told[0], told[-1]) == ((32, 1, 44, 44), "all epochs done")
