"""Oracle: the history that training leaves."""

from mien.run_folder import RunFolder
from mien.training.epoch_marks import EpochMarks
from mien.training.loop import train
from mien.training.plan import plan_training


def test_each_epoch_is_a_mark_and_a_best_one_a_star(tiny_recipe, faces, tmp_path, capsys):
    recipe = tiny_recipe.model_copy(update={"epochs": 4})
    history = train(plan_training(recipe, faces), RunFolder(tmp_path / "run"), callback=EpochMarks()).history
    accuracies = [line["validation_accuracy"] for line in history]
    expected = ["*" if value > max(accuracies[:at], default=-1) else "." for at, value in enumerate(accuracies)]
    assert capsys.readouterr().out == "".join(expected)
