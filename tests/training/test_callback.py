"""Ctrl-C, and callbacks that change what is trained."""

import signal
from dataclasses import replace

import pytest
import torch

from mien.base.run_folder import RunFolder
from mien.training.callback import Callback, Callbacks, interruptible
from mien.training.loop import train
from mien.training.plan import plan_training


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
    recipe = tiny_recipe.model_copy(update={"epochs": 1})
    train(plan_training(recipe, faces), RunFolder(tmp_path / "run"), callback=Callbacks(stands, None, looks))
    assert all(map(torch.equal, stands.before, looks.network.parameters()))
    assert (told[0], told[-1]) == ((32, 1, 44, 44), "all epochs done")
