"""Several processes that train one network. Oracle: the run of one process, and torch's own batch norm."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import distributed, nn

from mien.base.errors import TrainingError
from mien.base.run_folder import RunFolder
from mien.data.parquet import write_parquet
from mien.evaluation.predictions import read_predictions
from mien.training import checkpoint, state
from mien.training.device import part_of_process, synchronise_batch_norms
from mien.training.plan import plan_training
from support import raises

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="torchrun with gloo")
RATE = ["--lr", "0.01", "--batch-size", "63", "--set", "model.dropout=0"]


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


def in_two_processes(*words):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "mien"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*torchrun, *map(str, words)], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("change", ["augment.mixup=0.4", "self_adaptive=0.7", "tuning.frozen_epochs=1"])
def test_two_processes_train_as_one(folder, mien, change):
    """Oracle: one process with the same batches. 63 images a batch are no two equal parts."""
    words = ("--epochs", "2", "--set", change)
    assert mien("train", *command(folder, f"one-{change}", *words)).code == 0
    ended = in_two_processes("train", *command(folder, f"two-{change}", *words))
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("all epochs done") == 1
    one, two = (RunFolder(folder / f"{name}-{change}") for name in ("one", "two"))
    if change == "self_adaptive=0.7":
        moved = [checkpoint.load(each.last)[0]["targets.label"] for each in (one, two)]
        torch.testing.assert_close(moved[1], moved[0], atol=1e-3, rtol=0)
    first, second = one.read_history()[-1], two.read_history()[-1]
    for name in ("train_loss", "validation_loss"):
        assert second[name] == pytest.approx(first[name], abs=1e-4)
    assert second["train_accuracy"] == pytest.approx(first["train_accuracy"], abs=0.01)
    probabilities = [read_predictions(each.predictions("validation")).probabilities for each in (one, two)]
    np.testing.assert_allclose(probabilities[1], probabilities[0], atol=1e-3)
    assert two.read_environment()["processes"] == 2
    assert mien("train", *command(folder, f"two-{change}", *words, "--resume")).code == 0, "by one process"


def test_more_processes_than_images_in_a_batch_are_refused(faces, tiny_recipe, monkeypatch):
    size = tiny_recipe.batch_size
    monkeypatch.setattr(state, "make_fabric", lambda *_, **__: Fabric(0, size + 1))
    with raises(TrainingError, "batch-too-small", size, size + 1):
        state.prepare(plan_training(tiny_recipe, faces))
