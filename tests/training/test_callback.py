"""Ctrl-C, and marks of epochs. Oracle of the marks: the history that training leaves."""

import signal

import pytest

from mien.run_folder import RunFolder
from mien.training.callback import EpochMarks, interruptible
from mien.training.loop import train
from mien.training.plan import plan_training


def test_each_epoch_is_a_mark_and_a_best_one_a_star(tiny_recipe, faces, tmp_path, capsys):
    recipe = tiny_recipe.model_copy(update={"epochs": 4})
    history = train(plan_training(recipe, faces), RunFolder(tmp_path / "run"), callback=EpochMarks()).history
    accuracies = [line["validation_accuracy"] for line in history]
    expected = ["*" if value > max(accuracies[:at], default=-1) else "." for at, value in enumerate(accuracies)]
    assert capsys.readouterr().out == "".join(expected)


def test_the_first_ctrl_c_is_noted_the_second_stops():
    with interruptible() as interrupted:
        assert not interrupted.is_set()
        signal.raise_signal(signal.SIGINT)
        assert interrupted.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_inside_a_block_ends_the_blocks_around_it_too():
    with interruptible() as outer:
        with interruptible() as inner:
            signal.raise_signal(signal.SIGINT)
        assert inner.is_set()
        assert outer.is_set()
    with interruptible() as later:
        assert not later.is_set()
