"""What happens to a run while it is trained: losses that are not numbers, moved and removed folders."""

import math
import shutil

from mien.base.errors import RunError, TrainingError
from mien.base.run_folder import RunFolder
from mien.pipeline import training_run
from mien.training import loop
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training
from support import raises


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


def test_a_run_whose_first_epoch_diverges_leaves_nothing(tmp_path, faces, tiny_recipe, monkeypatch):
    """The same folder may do with a lower learning rate."""
    run = RunFolder(tmp_path / "run")
    monkeypatch.setattr(loop, "validate", lambda _: {"validation_loss": math.nan})
    with raises(TrainingError, "loss-not-finite"):
        train(plan_training(tiny_recipe, faces), run)
    assert not run.exists


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
    export = training_run.export_calibrated

    def move_after(*arguments):
        exported = export(*arguments)
        run.path.rename(moved.path)
        return exported

    with monkeypatch.context() as patch, raises(RunError, "run-gone"):
        patch.setattr(training_run, "export_calibrated", move_after)
        patch.setattr(training_run, "replace_manifest", lambda *arguments: None)
        training_run.run_recipe(plan_training(tiny_recipe, faces), run)
    assert not run.path.exists()
    assert training_run.run_recipe(plan_training(tiny_recipe, faces), moved, resume=True).report.is_file()


def test_a_folder_removed_in_mid_training_stops_the_run_and_leaves_nothing(tmp_path, faces, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    with raises(RunError, "run-gone"), run.alone():
        train(plan_training(tiny_recipe, faces), run, callback=AfterEpoch(1, lambda: shutil.rmtree(run.path)))
    assert not run.path.exists()
