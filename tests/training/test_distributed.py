"""Several processes that train one network. Oracle: the run of one process."""

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress

import numpy as np
import pytest
import torch

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


@pytest.mark.parametrize("count", [0, 1, 5, 64])
def test_processes_share_all_items(count):
    parts = [range(count)[Fabric(rank, 3).own_items(count)] for rank in range(3)]
    assert [place for part in parts for place in part] == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


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


def in_two_processes(*words, script="-m mien"):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", *script.split()]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*torchrun, *map(str, words)], env=environment, capture_output=True, text=True, check=False)


def test_two_processes_train_as_one(folder, mien):
    """Oracle: one process with the same batches. 63 images a batch are no two equal parts."""
    changes = ("augment.mixup=0.4", "self_adaptive=0.7", "tuning.frozen_epochs=1")
    words = ("--epochs", "2", *(word for change in changes for word in ("--set", change)))
    assert mien("train", *command(folder, "one", *words)).code == 0
    ended = in_two_processes("train", *command(folder, "two", *words))
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


def test_script_continues_after_training_in_every_process(folder):
    """Oracle: the metrics that the run folder keeps. The network has batch norms; each validates with the same."""
    script = folder / "script.py"
    script.write_text(
        "import mien, sys\n"
        "result = mien.train(sys.argv[1], sys.argv[2], out=sys.argv[3], epochs=1, batch_size=63, verbose=0)\n"
        "sys.stdout.write(f'accuracy {result.evaluation.accuracy.value}\\n')\n"
    )
    ended = in_two_processes(folder / "tiny.toml", folder / "faces.parquet", folder / "script", script=str(script))
    assert ended.returncode == 0, ended.stderr
    accuracy = RunFolder(folder / "script").read_history()[0]["validation_accuracy"]
    assert [float(line.split()[1]) for line in ended.stdout.splitlines()] == [pytest.approx(accuracy, abs=1e-6)] * 2


def test_training_refuses_processes_with_other_recipes(folder):
    """The mean of two networks' gradients would train neither."""
    script = folder / "second.py"
    script.write_text(
        "import os, sys\nimport mien.cli.main\nsys.argv += ['--seed', os.environ['RANK']]\nmien.cli.main.main()\n"
    )
    ended = in_two_processes("train", *command(folder, "differ"), script=str(script))
    assert ended.returncode != 0
    assert "[processes]" in ended.stderr
    assert not (folder / "differ").exists()


def test_process_does_not_wait_for_one_that_ended_early(folder):
    """Without data the second ends at once. torch would let the first wait for half an hour."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        where = f"localhost:{free.getsockname()[1]}"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--rdzv-backend=c10d"]
    torchrun += [f"--rdzv-endpoint={where}", "-m", "mien", "train"]
    words = [command(folder, "first"), command(folder, "second", "--data", folder / "absent.parquet")]
    machines = [
        subprocess.Popen([*torchrun, *map(str, each)], stderr=subprocess.PIPE, text=True, start_new_session=True)
        for each in words
    ]
    try:
        said = [machine.communicate(timeout=300)[1] for machine in machines]
    finally:
        for machine in machines:
            with suppress(ProcessLookupError):
                os.killpg(machine.pid, signal.SIGKILL)
    assert "[data-missing]" in said[1]
    assert "[process-lost]" in said[0]


def test_training_refuses_processes_without_two_images_per_batch(faces, tiny_recipe, monkeypatch):
    size = tiny_recipe.batch_size
    monkeypatch.setattr(state, "make_fabric", lambda *_, **__: Fabric(0, size // 2 + 1))
    with raises(TrainingError, "processes", size, size // 2 + 1):
        state.prepare(plan_training(tiny_recipe, faces))
    for fits in (Fabric(0, size // 2), Fabric(0, size, "cuda")):
        monkeypatch.setattr(state, "make_fabric", lambda *_, fits=fits, **__: fits)
        with pytest.raises(NotImplementedError):
            state.prepare(plan_training(tiny_recipe, faces))
