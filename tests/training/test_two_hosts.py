"""Training on two hosts: two network namespaces, joined by a pair of virtual cables, each with its own torchrun."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen

import numpy as np
import pytest

from mien.data.parquet import write_parquet
from mien.evaluation.predictions import read_predictions
from mien.run_folder import RunFolder

pytest.importorskip("lightning_fabric", reason="mien[train] is not installed")

# Other names for each process: what a killed one left must not keep the next from its namespaces.
FIRST, SECOND = (f"mien-{os.getpid()}-{end}" for end in "ab")
HOSTS = {FIRST: "10.213.7.1", SECOND: "10.213.7.2"}


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@pytest.fixture
def hosts() -> Iterator[dict[str, str]]:
    """Two namespaces that see each other and nothing else, by name and address."""
    if shutil.which("ip") is None:
        pytest.skip("the program ip (iproute2) is not installed")
    made = []
    try:
        try:
            for name in HOSTS:
                ip("netns", "add", name)
                made.append(name)
            ip("link", "add", "mien0", "netns", FIRST, "type", "veth", "peer", "name", "mien0", "netns", SECOND)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces may not be made here: {error.stderr.decode().strip()}")
        for name, address in HOSTS.items():
            ip("-n", name, "address", "add", f"{address}/24", "dev", "mien0")
            for device in ("lo", "mien0"):
                ip("-n", name, "link", "set", device, "up")
        yield HOSTS
    finally:
        for name in made:
            ip("netns", "del", name)


@contextmanager
def torchrun_on(hosts: dict[str, str], folder: Path, *words: object) -> Iterator[list[Popen[str]]]:
    """``torchrun WORDS`` on each host. What it says goes to the file ``said-N`` of a folder."""
    # gloo asks for the address of the host's name, which is not one of the namespace.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "mien0"}
    running = []
    try:
        for rank, name in enumerate(hosts):
            torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", 2, "--nproc-per-node", 1]
            torchrun += ["--node-rank", rank]
            command = list(map(str, ["ip", "netns", "exec", name, *torchrun, *words]))
            with (folder / f"said-{rank}").open("w") as said:
                running.append(Popen(command, env=environment, stdout=said, stderr=said, start_new_session=True))
        yield running
    finally:
        for each in running:
            with suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)


def wait_for_both(running: list[Popen[str]], folder: Path) -> str:
    """What both said, once they have ended without a mistake."""
    codes = [each.wait(600) for each in running]
    said = "".join((folder / f"said-{rank}").read_text() for rank in range(2))
    assert codes == [0, 0], said
    return said


@pytest.fixture
def words(tmp_path, faces, tiny_recipe_text) -> list[object]:
    """A recipe and data, as ``mien train`` takes them."""
    write_parquet(faces, tmp_path / "faces.parquet")
    (tmp_path / "tiny.toml").write_text(tiny_recipe_text)
    settings = ["--lr", "0.01", "--set", "model.dropout=0"]
    return [tmp_path / "tiny.toml", "--data", tmp_path / "faces.parquet", *settings]


@pytest.mark.slow
def test_two_hosts_train_as_one_process(hosts, tmp_path, words, mien):
    """Oracle: one process with the same batches; the losses of the first epoch agree to 1e-4 in fp32."""
    words += ["--epochs", "1"]
    assert mien("train", *words, "--out", tmp_path / "one").code == 0
    meeting = ["--master-addr", hosts[FIRST], "--master-port", "29511", "-m", "mien", "train"]
    with torchrun_on(hosts, tmp_path, *meeting, *words, "--out", tmp_path / "two") as running:
        said = wait_for_both(running, tmp_path)
    one, two = RunFolder(tmp_path / "one"), RunFolder(tmp_path / "two")
    (first,), (second,) = one.read_history(), two.read_history()
    for name in ("train_loss", "validation_loss"):
        assert second[name] == pytest.approx(first[name], abs=1e-4)
    probabilities = [read_predictions(each.predictions("validation")).probabilities for each in (one, two)]
    np.testing.assert_allclose(probabilities[1], probabilities[0], atol=1e-3)
    assert two.read_environment()["processes"] == 2
    assert "all epochs done" in said
