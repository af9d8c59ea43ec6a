"""Oracle: files of control groups as Linux writes them."""

import os
import random
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from mien.base import processes, progress
from mien.base.errors import RunError
from mien.base.processes import ordered_map
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

    before, drawn = torch.get_default_dtype(), (random.getstate(), np.random.get_state()[1].tolist())  # noqa: NPY002
    torch.set_default_dtype(torch.float64)
    try:
        with torch.inference_mode(), torch.device("meta"):
            with processes.torch_defaults():
                np.random.rand(random.randint(1, 3))  # noqa: NPY002 - as a user's own augmentation draws
                value = torch.ones(1, requires_grad=True)
                assert (value.dtype, value.device.type, (2 * value).requires_grad) == (torch.float32, "cpu", True)
            assert torch.ones(1).device.type == "meta"
            assert torch.is_inference_mode_enabled()
        assert torch.get_default_dtype() == torch.float64
        assert (random.getstate(), np.random.get_state()[1].tolist()) == drawn  # noqa: NPY002
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
    with raises(RunError, "ray", address):
        processes.start_ray()


def count():
    assert list(progress.track(range(3), total=3, what="counting", unit="numbers")) == [0, 1, 2]


@pytest.mark.parametrize(
    ("is_terminal", "quiet", "shown"), [(False, False, False), (True, False, True), (True, True, False)]
)
def test_track_shows_a_bar_on_terminals_without_quiet(monkeypatch, capfd, is_terminal, quiet, shown):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal)
    monkeypatch.setenv("FORCE_COLOR", "1")
    progress.set_quiet(quiet)
    try:
        count()
    finally:
        progress.set_quiet(False)
    assert ("counting" in capfd.readouterr().err) == shown


def test_track_writes_plain_lines_into_logs(monkeypatch, capfd):
    """The clock shows 0, 25, 50 and 75 seconds: a line after each 30."""
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=iter([0, 25, 50, 75]).__next__))
    list(progress.track(range(4), total=4, what="counting", unit="numbers"))
    assert capfd.readouterr().err == "counting: 2 of 4 numbers, 0.04 numbers/s, 50 s left\n"
    # As under pythonw, or with a writer of one's own in its place.
    for stream in (None, object()):
        monkeypatch.setattr(sys, "stderr", stream)
        count()


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_ordered_map_keeps_the_order(workers):
    def work(item):
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(ordered_map(work, iter(range(40)), workers)) == [item * item for item in range(40)]
    assert list(ordered_map(work, (), workers)) == []


@pytest.mark.parametrize("workers", [1, 3])
def test_ordered_map_reads_a_bounded_number_ahead(workers):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield taken

    answers = ordered_map(lambda item: item, endless(), workers)
    for index in range(1, 30):
        assert next(answers) == index
        assert taken <= index + 2 * workers
    answers.close()


def test_ordered_map_works_in_parallel():
    """Each of three waits for the other two: one after another they would wait for ever."""
    barrier = threading.Barrier(3, timeout=600)
    assert len(list(ordered_map(lambda _: barrier.wait(), range(3), 3))) == 3


@pytest.mark.parametrize("workers", [1, 3])
def test_ordered_map_raises_at_the_item_and_ends(workers):
    begun = []

    def work(item):
        begun.append(item)
        if item == 5:
            raise ValueError("five")
        return item

    answers = ordered_map(work, iter(range(1000)), workers)
    assert [next(answers) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="five"):
        next(answers)
    assert len(begun) <= 6 + 3 * workers
