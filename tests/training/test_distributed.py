"""Several processes that train one network. Oracle: the run of one process, and torch's own batch norm."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, nn

from mien.data.parquet import write_parquet
from mien.errors import TrainingError
from mien.evaluation.predictions import read_predictions
from mien.recipe_file import parse_recipe
from mien.run_folder import RunFolder
from mien.training import state
from mien.training.device import check_device_count
from mien.training.distributed import part_of_process
from mien.training.plan import plan_training
from mien.training.synchronised_norm import synchronise_batch_norms
from support import raises, refused

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="torchrun with gloo")
RATE = ["--lr", "0.01", "--batch-size", "63", "--set", "model.dropout=0", "--set", "augment.mixup=0.4"]


class Fabric:
    def __init__(self, rank, size):
        self.global_rank, self.world_size = rank, size


@pytest.mark.parametrize("count", [0, 1, 5, 64])
def test_parts_are_all_places_once(count):
    parts = [range(count)[part_of_process(count, Fabric(rank, 3))] for rank in range(3)]
    assert [place for part in parts for place in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.fixture
def alone(tmp_path):
    """A group of one process."""
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'group'}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("shape", [(6, 3, 5, 5), (8, 3)])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_a_norm_over_processes_is_torchs_own(alone, shape, momentum):
    """Oracle: torch's batch norm: outputs, gradients, running statistics, and evaluation mode."""
    made = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    norms = [made(3, momentum=momentum) for _ in range(2)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
            norm.bias.copy_(torch.tensor([1.0, 0.0, -1.0]))
    synchronise_batch_norms(nn.Sequential(norms[0]))
    values = [(torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 3 + 2).requires_grad_() for _ in norms]
    for _ in range(2):
        outs = [norm(value) for norm, value in zip(norms, values, strict=True)]
    for out in outs:
        out.square().mul(torch.linspace(0, 1, out.numel()).view(shape)).sum().backward()
    torch.testing.assert_close(outs[0], outs[1], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(values[0].grad, values[1].grad, atol=1e-4, rtol=1e-3)
    for name in ("weight", "bias"):
        torch.testing.assert_close(getattr(norms[0], name).grad, getattr(norms[1], name).grad, atol=1e-3, rtol=1e-3)
    for name, value in norms[0].state_dict().items():
        torch.testing.assert_close(value, norms[1].state_dict()[name], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(norms[0].eval()(values[0]), norms[1].eval()(values[1]), atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, faces, tiny_recipe_text):
    root = tmp_path_factory.mktemp("processes")
    write_parquet(faces, root / "faces.parquet")
    (root / "tiny.toml").write_text(tiny_recipe_text)
    return root


def command(folder, out, *more):
    return [folder / "tiny.toml", "--data", folder / "faces.parquet", "--out", folder / out, *RATE, *more]


def run(words):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        list(map(str, words)), env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_two_processes_train_as_one(folder, mien):
    """Oracle: one process with the same batches. 63 images a batch are no two equal parts."""
    assert mien("train", *command(folder, "one", "--epochs", "1")).code == 0
    words = [sys.executable, "-m", "mien", "train", *command(folder, "two", "--epochs", "1", "--devices", "2")]
    ended = run(words)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("all epochs done") == 1
    one, two = (RunFolder(folder / name) for name in ("one", "two"))
    (first,), (second,) = one.read_history(), two.read_history()
    for name in ("train_loss", "validation_loss"):
        assert second[name] == pytest.approx(first[name], abs=1e-4)
    assert second["train_accuracy"] == pytest.approx(first["train_accuracy"], abs=0.01)
    probabilities = [read_predictions(each.predictions("validation")).probabilities for each in (one, two)]
    np.testing.assert_allclose(probabilities[1], probabilities[0], atol=1e-3)
    assert two.read_environment()["processes"] == 2


@contextmanager
def started(words, said):
    """A command in the background, which ends with the block."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with said.open("w") as stream:
        process = subprocess.Popen(
            list(map(str, words)), env=environment, stdout=stream, stderr=stream, start_new_session=True
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def kill_a_child(process, run_folder, epochs):
    """Kill the last of a process's children once so many epochs are done."""
    until = time.monotonic() + 300
    while len(run_folder.read_history()) < epochs:
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)


def test_a_killed_process_ends_all_and_one_goes_on(folder, mien):
    """One of two is killed in mid-training: the other ends, and one process finishes the run from its checkpoint."""
    words = [sys.executable, "-m", "mien", "train", *command(folder, "killed", "--epochs", "300", "--devices", "2")]
    run_folder = RunFolder(folder / "killed")
    with started(words, folder / "said-killed") as process:
        kill_a_child(process, run_folder, epochs=2)
        assert process.wait(200) != 0
    done = len(run_folder.read_history())
    text = run_folder.recipe_file.read_text()
    run_folder.recipe_file.write_text(text.replace("epochs = 300", f"epochs = {done + 1}", 1))
    answer = mien("train", *command(folder, "killed", "--epochs", str(done + 1), "--resume"))
    assert answer.code == 0, answer.err
    assert len(run_folder.read_history()) == done + 1


@pytest.mark.slow
def test_torchrun_starts_a_killed_run_again(folder):
    """Oracle: the history has all epochs, each once, although a process was killed in mid-training."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "--max-restarts=2"]
    words = [*torchrun, "-m", "mien", "train", *command(folder, "again", "--epochs", "60", "--resume")]
    with started(words, folder / "said-again") as process:
        kill_a_child(process, RunFolder(folder / "again"), epochs=3)
        assert process.wait(600) == 0, (folder / "said-again").read_text()
    assert [line["epoch"] for line in RunFolder(folder / "again").read_history()] == list(range(1, 61))


def test_more_processes_than_images_in_a_batch_are_refused(faces, tiny_recipe_text, monkeypatch):
    recipe = parse_recipe(tiny_recipe_text, "tiny")
    monkeypatch.setattr(state, "make_fabric", lambda *_, **__: Fabric(0, recipe.batch_size + 1))
    with raises(TrainingError, "batch-too-small", recipe.batch_size, recipe.batch_size + 1):
        state.prepare(plan_training(recipe, faces))


def test_what_cannot_be_done_is_one_line(folder, mien):
    with raises(TrainingError, "device-count"):
        check_device_count("mps", 2)
    with raises(TrainingError, "device-count"):
        check_device_count("cpu", 5000)
    refused(mien("train", *command(folder, "folds", "--devices", "2", "--folds", "3")), "options")


def test_a_mistake_that_the_processes_find_is_no_traceback(folder):
    """Oracle: the exit code of a mistake, 2, and lines of mien alone."""
    pixels = " ".join(["100"] * 48 * 48)
    (folder / "happy.csv").write_text("emotion,pixels,Usage\n" + f"3,{pixels},Training\n" * 4)
    words = ["train", folder / "tiny.toml", "--data", folder / "happy.csv", "--out", folder / "no", "--devices", "2"]
    ended = run([sys.executable, "-m", "mien", *words])
    assert ended.returncode == 2
    lines = ended.stderr.splitlines()
    assert lines
    assert all(line.startswith("mien: ") and line.endswith("[class-count]") for line in lines), ended.stderr


def test_ctrl_c_ends_all_processes_in_order(folder):
    """Oracle: a run folder with all files of a finished run, and no process is left."""
    words = [sys.executable, "-m", "mien", "train", *command(folder, "stopped", "--epochs", "300", "--devices", "2")]
    run_folder = RunFolder(folder / "stopped")
    with started(words, folder / "said-stopped") as process:
        until = time.monotonic() + 300
        while not run_folder.read_history():
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(300)
    said = (folder / "said-stopped").read_text()
    assert code == 0, said
    assert "Traceback" not in said
    assert said.count("Resume with: ") == 1
    assert (run_folder.path / "report.html").is_file()
    assert not any(Path(f"/proc/{child}").exists() for child in children)
