"""Oracles: each tracker's own reader, and history.csv."""

import json
import os
import socket
import struct
import threading
import time
from contextlib import suppress

import pytest

from mien.errors import RunError
from mien.run_folder import RunFolder
from mien.training.callback import Callback
from mien.training.loop import train
from mien.training.plan import plan_training
from support import raises, refused


class Stops(Callback):
    def on_epoch_end(self, line, is_best):
        if line["epoch"] == 2:
            raise KeyboardInterrupt


def train_twice(kind, run, recipe, faces):
    """Four epochs, stopped by Ctrl-C in the second, then resumed."""
    plan = plan_training(recipe.model_copy(update={"epochs": 4}), faces)
    with pytest.raises(KeyboardInterrupt), kind(run, Stops()) as log:
        train(plan, run, callback=log)
    with kind(run, Callback()) as log:
        train(plan, run, resume=True, callback=log)


def columns(run):
    history = run.read_history()
    return {name: [line[name] for line in history] for name in history[0] if name != "epoch"}


def leveldb_records(content):
    """The whole records of a .wandb file so far: LevelDB's log format, with W&B's own 7 bytes before it."""
    assert b":W&B".startswith(content[:4])
    at, parts = 7, b""
    while at + 7 <= len(content):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        if at + 7 + length > len(content):
            return
        parts += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in {1, 4}:
            yield parts
            parts = b""


def wandb_history(run):
    """All epochs that W&B's files hold so far, in order of their steps."""
    from wandb.proto import wandb_internal_pb2

    found = []
    for file in run.path.glob("wandb/offline-run-*/run-*.wandb"):
        for data in leveldb_records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            if record.WhichOneof("record_type") == "history":
                found.append({(i.key or i.nested_key[0]): json.loads(i.value_json) for i in record.history.item})
    return sorted(found, key=lambda each: each["_step"])


def test_wandb_has_each_epoch_once_after_a_resume(faces, tiny_recipe, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    from mien.training.wandb_log import WandbLog

    monkeypatch.setenv("WANDB_MODE", "offline")
    run = RunFolder(tmp_path / "run")
    train_twice(WandbLog, run, tiny_recipe, faces)
    # W&B's own process writes the files, and may do so after the run has finished.
    until = time.monotonic() + 30
    while len(found := wandb_history(run)) < 4 and time.monotonic() < until:
        time.sleep(0.05)
    assert [each["_step"] for each in found] == [1, 2, 3, 4]
    for name, values in columns(run).items():
        assert [each[name] for each in found] == pytest.approx(values)


def test_mlflow_has_each_epoch_once_after_a_resume(faces, tiny_recipe, tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    from mlflow.tracking import MlflowClient

    from mien.training.mlflow_log import MlflowLog

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    run = RunFolder(tmp_path / "run")
    train_twice(MlflowLog, run, tiny_recipe, faces)
    client = MlflowClient()
    (found,) = client.search_runs([client.get_experiment_by_name("mien").experiment_id])
    assert (found.info.status, found.info.run_name) == ("FINISHED", "run")
    assert found.data.params["optim.lr"] == str(tiny_recipe.optim.lr)
    for name, values in columns(run).items():
        history = client.get_metric_history(found.info.run_id, name)
        assert [each.step for each in history] == [1, 2, 3, 4]
        assert [each.value for each in history] == pytest.approx(values)


def test_an_mlflow_server_that_does_not_answer_is_said_at_the_start(faces, tiny_recipe, tmp_path, monkeypatch):
    """Oracle: the connections that a server counted which closes each; MLflow's own number of tries is 8."""
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    from mien.training.mlflow_log import MlflowLog

    tries, ended = [], threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{server.getsockname()[1]}")

        def close_all():
            while not ended.is_set():
                with suppress(TimeoutError):
                    tries.append(server.accept()[0].close())

        thread = threading.Thread(target=close_all, daemon=True)
        thread.start()
        run = RunFolder(tmp_path / "run")
        with raises(RunError, "logger-failed"), MlflowLog(run, Callback()) as log:
            train(plan_training(tiny_recipe, faces), run, callback=log)
        ended.set()
        thread.join()
    assert len(tries) == 2


def test_wandb_without_a_login_is_refused_before_anything_is_read(mien, tmp_path, face_folder, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    answer = mien("train", "quick", "--data", face_folder, "--out", tmp_path / "run", "--log", "wandb")
    refused(answer, "logger-login", "WANDB_MODE=offline")
    assert not (tmp_path / "run").exists()
