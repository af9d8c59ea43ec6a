"""Oracle: TensorBoard's own reader, and history.csv."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mien.run_folder import RunFolder


def scalars(run):
    """What TensorBoard would show: {column: [(epoch, value), ...]}."""
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def expected(run):
    history = run.read_history()
    return {
        name: [(int(line["epoch"]), pytest.approx(line[name], rel=1e-6)) for line in history]
        for name in history[0]
        if name != "epoch"
    }


def test_tensorboard_shows_history_csv_also_after_a_resume(mien, tiny_run, face_folder, tmp_path):
    run = RunFolder(tmp_path / "run")
    recipe = tiny_run.recipe_file
    answer = mien("train", recipe, "--data", face_folder, "--out", run.path, "--log", "tensorboard")
    assert answer.code == 0, answer.err
    assert len(run.read_history()) == 2
    assert scalars(run) == expected(run)


def test_no_epoch_is_missing_or_there_twice_when_a_run_goes_on(faces, tiny_recipe, tmp_path):
    from mien.training.callback import Callback
    from mien.training.loop import train
    from mien.training.plan import plan_training
    from mien.training.tensorboard import TensorBoardLog

    class Stops(Callback):
        def on_epoch_end(self, line, is_best):
            if line["epoch"] == 2:
                raise KeyboardInterrupt

    class Shows(Callback): ...

    run = RunFolder(tmp_path / "run")
    recipe = tiny_recipe.model_copy(update={"epochs": 4})
    with pytest.raises(KeyboardInterrupt):
        train(plan_training(recipe, faces), run, callback=TensorBoardLog(run, Stops()))
    train(plan_training(recipe, faces), run, resume=True, callback=TensorBoardLog(run, Shows()))
    assert len(list((run.path / "tensorboard").iterdir())) == 1
    assert [step for step, _ in scalars(run)["train_loss"]] == [1, 2, 3, 4]
    assert scalars(run) == expected(run)


def test_another_logger_is_refused_before_anything_is_read(mien, tmp_path):
    answer = mien("train", "quick", "--data", tmp_path / "nothing", "--log", "tensorbord")
    assert answer.code == 2
    assert "'tensorboard'" in answer.err
