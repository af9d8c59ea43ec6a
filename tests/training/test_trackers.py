"""Oracles: each tracker's own reader, and history.csv."""

import os

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mien.base.errors import RunError
from mien.base.run_folder import RunFolder
from mien.training import device
from mien.training.callback import LOGGERS, Callback, Callbacks, Logger
from mien.training.loop import train
from mien.training.plan import plan_training
from support import raises, refused


class Stops(Callback):
    def on_epoch_end(self, line, is_best):
        if line["epoch"] == 2:
            raise KeyboardInterrupt


def train_twice(name, run, recipe, faces):
    """Four epochs, stopped by Ctrl-C in the second, then resumed."""
    plan = plan_training(recipe.model_copy(update={"epochs": 4}), faces)
    with pytest.raises(KeyboardInterrupt):
        train(plan, run, callback=Callbacks(Stops(), Logger(name, run)))
    train(plan, run, resume=True, callback=Logger(name, run))


def columns(run):
    history = run.read_history()
    return {name: [line[name] for line in history] for name in history[0] if name != "epoch"}


def test_wandb_logs_each_epoch_once_after_resume(faces, tiny_recipe, tmp_path, monkeypatch):
    """Oracle: what W&B's own run is given, which it also writes."""
    wandb = pytest.importorskip("wandb", reason="wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run, found, log = RunFolder(tmp_path / "run"), [], wandb.Run.log

    def seen(tracked, values, step):
        found.append((step, values))
        return log(tracked, values, step=step)

    monkeypatch.setattr(wandb.Run, "log", seen)
    train_twice("wandb", run, tiny_recipe, faces)
    # The run that was stopped, and the one that is whole.
    assert [step for step, _ in found] == [1, 1, 2, 3, 4]
    for name, values in columns(run).items():
        assert [each[name] for _, each in found[1:]] == values
    assert len(list(run.path.glob("wandb/offline-run-*/run-*.wandb"))) == 2


# MLflow's SQL store uses calls that SQLAlchemy has deprecated.
@pytest.mark.filterwarnings("ignore")
def test_mlflow_logs_each_epoch_once_after_resume(faces, tiny_recipe, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = RunFolder(tmp_path / "run")
    train_twice("mlflow", run, tiny_recipe, faces)
    client = MlflowClient()
    found, stopped = client.search_runs([client.get_experiment_by_name("mien").experiment_id])
    ends = [(each.info.status, each.info.run_name) for each in (stopped, found)]
    assert ends == [("FAILED", "run"), ("FINISHED", "run")]
    assert found.data.params["optim.lr"] == str(tiny_recipe.optim.lr)
    for name, values in columns(run).items():
        history = client.get_metric_history(found.info.run_id, name)
        assert [each.step for each in history] == [1, 2, 3, 4]
        assert [each.value for each in history] == pytest.approx(values)


def test_logger_refuses_a_failing_tracker(faces, tiny_recipe, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nonsense://nowhere")
    run = RunFolder(tmp_path / "run")
    with raises(RunError, "logger", "--resume"):
        train(plan_training(tiny_recipe, faces), run, callback=Logger("mlflow", run))
    assert len(run.read_history()) == 1


def test_logger_names_a_tracker_that_cannot_close(faces, tiny_recipe, tmp_path, monkeypatch):
    def lost(ended_well):
        raise ConnectionError("no server")

    # Any module stands for the tracker's package.
    monkeypatch.setitem(LOGGERS, "json", (lambda run: (lambda line, epoch: None, lost), "log"))
    run = RunFolder(tmp_path / "run")
    with raises(RunError, "logger", "no server"):
        train(plan_training(tiny_recipe, faces), run, callback=Logger("json", run))


def test_wandb_without_login_is_refused_before_reading_data(mien, tmp_path, face_folder, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    words = ("train", "quick", "--data", face_folder, "--out", tmp_path / "run", "--log", "wandb")
    refused(mien(*words), "logger", "WANDB_MODE=offline")
    # W&B raises ValueError for a key of a wrong length, and reads the environment only once in a process.
    monkeypatch.setattr("wandb.login", lambda **_: int("short"))
    refused(mien(*words), "logger", "short")
    assert not (tmp_path / "run").exists()


def scalars(run):
    """What TensorBoard would show: {column: [(epoch, value), ...]}."""
    events = EventAccumulator(str(run.path / "tensorboard"))
    events.Reload()
    return {name: [(event.step, event.value) for event in events.Scalars(name)] for name in events.Tags()["scalars"]}


def test_tensorboard_logs_each_epoch_once_after_resume(faces, tiny_recipe, tmp_path):
    """Also if it had finished without a tracker."""
    run = RunFolder(tmp_path / "run")
    train_twice("tensorboard", run, tiny_recipe, faces)
    (former,) = (run.path / "tensorboard").iterdir()
    former.unlink()
    Logger("tensorboard", run).on_train_end("stopped")
    assert not list((run.path / "tensorboard").iterdir())
    finished = plan_training(tiny_recipe.model_copy(update={"epochs": 4}), faces)
    train(finished, run, resume=True, callback=Logger("tensorboard", run))
    assert len(list((run.path / "tensorboard").iterdir())) == 1
    for name, values in columns(run).items():
        assert scalars(run)[name] == [(1 + at, pytest.approx(value, rel=1e-6)) for at, value in enumerate(values)]


def test_train_command_opens_the_tracker(mien, tiny_run, face_folder, tmp_path):
    run = RunFolder(tmp_path / "run")
    words = ("train", tiny_run.recipe_file, "--data", face_folder, "--out", run.path, "--log", "tensorboard")
    assert (mien(*words).code, [step for step, _ in scalars(run)["train_loss"]]) == (0, [1, 2])


@pytest.mark.parametrize("rank", [0, 1])
def test_unknown_logger_is_refused_by_every_process(mien, face_folder, monkeypatch, rank):
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": "2", "RANK": str(rank)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(device, "join_processes", lambda _: None)
    refused(mien("train", "quick", "--data", face_folder, "--log", "tensorbord"), "logger", "'tensorboard'")
