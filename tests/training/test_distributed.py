"""Several processes that train one network. Oracle: the run of one process."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch

from children import CHILDREN, of_torchrun, run_command, train_and_go_on
from mien.base.errors import TrainingError
from mien.base.run_folder import RunFolder
from mien.data.parquet import write_parquet
from mien.evaluation.predictions import read_predictions
from mien.training import checkpoint, state
from mien.training.device import TrainingFabric
from mien.training.plan import plan_training
from support import raises

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="torchrun with gloo")
RATE = ["--lr", "0.01", "--batch-size", "63", "--set", "model.dropout=0"]


class Fabric(TrainingFabric):
    global_rank = world_size = device = None

    def __init__(self, rank, size, device="cpu"):
        self.global_rank, self.world_size, self.device = rank, size, torch.device(device)

    def launch(self):
        raise NotImplementedError  # the batch is large enough


@pytest.fixture(scope="module")
def folder(tmp_path_factory, faces, tiny_recipe_text):
    root = tmp_path_factory.mktemp("processes")
    write_parquet(faces, root / "faces.parquet")
    # A network without batch norms, which measure their process's part of a batch on a CPU.
    text = tiny_recipe_text[: tiny_recipe_text.index("stem_width")].replace('"mien"', '"study-a"')
    (root / "plain.toml").write_text(text + tiny_recipe_text[tiny_recipe_text.index("dropout") :])
    (root / "tiny.toml").write_text(tiny_recipe_text)
    return root


def command(folder, out, *more):
    return [folder / "plain.toml", "--data", folder / "faces.parquet", "--out", folder / out, *RATE, *more]


@pytest.fixture
def in_two_processes(tmp_path):
    """Call a function of children.py in two processes that train together: exit code, stdout and stderr of each."""

    def run(function, *given):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            port = free.getsockname()[1]
        arguments = [(rank, port, tmp_path / str(rank), function, each) for rank, each in enumerate(given)]
        processes = [CHILDREN.Process(target=of_torchrun, args=each, daemon=True) for each in arguments]
        for each in processes:
            each.start()
        for each in processes:
            each.join(300)
        said = [[(tmp_path / f"{rank}{suffix}").read_text() for suffix in (".out", ".err")] for rank in (0, 1)]
        return [(each.exitcode, *texts) for each, texts in zip(processes, said, strict=True)]

    return run


def test_two_processes_train_as_one(folder, mien):
    """Oracle: one process with the same batches. 63 images a batch are no two equal parts."""
    changes = ("augment.mixup=0.4", "self_adaptive=0.7", "tuning.frozen_epochs=1")
    words = ("--epochs", "2", *(word for change in changes for word in ("--set", change)))
    assert mien("train", *command(folder, "one", *words)).code == 0
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "mien"]
    given, environment = command(folder, "two", *words), os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run([*torchrun, "train", *map(str, given)], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("all epochs done") == 1
    one, two = RunFolder(folder / "one"), RunFolder(folder / "two")
    moved = [checkpoint.load(each.last)[0]["targets.label"] for each in (one, two)]
    torch.testing.assert_close(moved[1], moved[0], atol=1e-3, rtol=0)
    first, second = one.read_history()[-1], two.read_history()[-1]
    for name in ("train_loss", "validation_loss"):
        assert second[name] == pytest.approx(first[name], abs=1e-4)
    assert second["train_accuracy"] == pytest.approx(first["train_accuracy"], abs=0.01)
    probabilities = [read_predictions(each.predictions("validation")).probabilities for each in (one, two)]
    np.testing.assert_allclose(probabilities[1], probabilities[0], atol=1e-3)
    assert two.read_environment()["processes"] == 2
    assert mien("train", *command(folder, "two", *words, "--resume")).code == 0, "by one process"


def test_script_continues_after_training_in_every_process(folder, in_two_processes):
    """Oracle: the metrics that the run folder keeps. The network has batch norms; each validates with the same."""
    ended = in_two_processes(train_and_go_on, [folder], [folder])
    accuracy = RunFolder(folder / "script").read_history()[0]["validation_accuracy"]
    assert [(code, float(out)) for code, out, _ in ended] == [(0, pytest.approx(accuracy, abs=1e-6))] * 2, ended


def test_training_refuses_processes_with_other_recipes(folder, in_two_processes):
    """The mean of two networks' gradients would train neither."""
    words = [["train", *command(folder, "differ"), "--seed", seed] for seed in (0, 1)]
    first, second = in_two_processes(run_command, *words)
    assert first[0] == second[0] == 2
    assert "[processes]" in first[2]
    assert not (folder / "differ").exists()


def test_process_does_not_wait_for_one_that_ended_early(folder, in_two_processes):
    """Without data the second ends at once. torch would let the first wait for half an hour."""
    words = [command(folder, "first"), command(folder, "second", "--data", folder / "absent.parquet")]
    first, second = in_two_processes(run_command, *(["train", *each] for each in words))
    assert "[data-missing]" in second[2]
    assert "[process-lost]" in first[2]


def test_training_refuses_processes_without_two_images_per_batch(faces, tiny_recipe, monkeypatch):
    size = tiny_recipe.batch_size
    monkeypatch.setattr(state, "make_fabric", lambda *_, **__: Fabric(0, size // 2 + 1))
    with raises(TrainingError, "processes", size, size // 2 + 1):
        state.prepare(plan_training(tiny_recipe, faces))
    for fits in (Fabric(0, size // 2), Fabric(0, size, "cuda")):
        monkeypatch.setattr(state, "make_fabric", lambda *_, fits=fits, **__: fits)
        with pytest.raises(NotImplementedError):
            state.prepare(plan_training(tiny_recipe, faces))
