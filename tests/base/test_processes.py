"""Oracle: files of control groups as Linux writes them."""

import os
import subprocess
import sys

import pytest

from mien.base import processes
from mien.base.errors import RunError
from support import raises


@pytest.mark.parametrize(
    ("files", "cores"),
    [({}, 16), ({"cpu.max": "max 100000\n"}, 16), ({"cpu.max": "250000 100000\n"}, 3),
     ({"cpu.max": "200000 100000\n"}, 2), ({"cpu.max": "20000 100000\n"}, 1), ({"cpu.max": "6400000 100000\n"}, 16),
     ({"cpu.max": "nonsense\n"}, 16), ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
     ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4)],
)  # fmt: skip
def test_available_cores_follows_the_quota_of_the_container(tmp_path, monkeypatch, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(processes, "_CGROUP", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(16)), raising=False)
    assert processes.available_cores() == cores


def test_torch_defaults_restores_modes_afterwards():
    """Whatever an earlier cell of a notebook has switched."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            with processes.torch_defaults():
                value = torch.ones(1, requires_grad=True)
                assert (value.dtype, value.device.type, (2 * value).requires_grad) == (torch.float32, "cpu", True)
            assert torch.ones(1).device.type == "meta"
            assert torch.is_inference_mode_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("own", "expected"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active"), ({"GOMP_SPINCOUNT": "9"}, None)]
)
def test_torch_threads_do_not_spin_by_default(own, expected):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | own
    script = "import mien, os; print(os.environ.get('OMP_WAIT_POLICY'))"
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(expected)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ray://127.0.0.1:9", "head..example:6379"])
def test_start_ray_rejects_an_address_without_a_cluster(monkeypatch, address):
    """Ray itself would try for minutes."""
    ray = pytest.importorskip("ray", reason="mien[scale] is not installed")
    monkeypatch.setenv("RAY_ADDRESS", address)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was asked"))
    with raises(RunError, "ray-unreachable", address):
        processes.start_ray()
