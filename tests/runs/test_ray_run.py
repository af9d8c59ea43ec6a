"""A study as tasks of Ray. Oracle: the same study without Ray."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mien.data.parquet import write_parquet

pytest.importorskip("lightning_fabric", reason="mien[train] is not installed")


def _workers_at(run_folder):
    """Processes of Ray that train in this folder: they hold its lock open."""
    found = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdigit() and b"ray::" in (each / "cmdline").read_bytes():
                files = {str(link.readlink()) for link in (each / "fd").iterdir()}
                found += [int(each.name)] if any(file.startswith(str(run_folder)) for file in files) else []
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_study_on_ray_equals_one_without_and_survives_a_killed_worker(tmp_path, faces, tiny_recipe_text, mien):
    pytest.importorskip("ray", reason="mien[scale] is not installed")
    write_parquet(faces, tmp_path / "faces.parquet")
    (tmp_path / "tiny.toml").write_text(tiny_recipe_text.replace("epochs = 2", "epochs = 12"))
    (tmp_path / "two.toml").write_text(
        f'name = "two"\ntitle = "Two"\nquestion = "Which?"\nrecipe = "{tmp_path / "tiny.toml"}"\n'
        '[[variants]]\nname = "fast"\n[[variants]]\nname = "slow"\nset = { "optim.lr" = 0.001 }\n'
    )
    words = ["study", str(tmp_path / "two.toml"), "--data", str(tmp_path / "faces.parquet")]
    process = subprocess.Popen(
        [sys.executable, "-m", "mien", *words, "--engine", "ray", "--jobs", "1", "--out", str(tmp_path / "ray")],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    try:
        until, killed = time.monotonic() + 300, False
        while process.poll() is None:
            assert time.monotonic() < until
            for history in (tmp_path / "ray" / "runs").glob("*/history.csv") if not killed else ():
                for worker in _workers_at(history.parent):
                    os.kill(worker, signal.SIGKILL)
                    killed = True
            time.sleep(0.05)
        assert process.returncode == 0
        assert killed
    finally:
        process.kill()
        process.wait()
    assert mien(*words, "--out", tmp_path / "plain").code == 0
    rows = [json.loads((tmp_path / name / "study.json").read_text())["variants"] for name in ("ray", "plain")]
    for own, other in zip(*rows, strict=True):
        assert own["metrics"] == other["metrics"]
    # Finished runs are found again: without Ray, and at once.
    again = mien(*words, "--out", tmp_path / "ray", "--dry-run", "--json")
    assert again.code == 0
    assert json.loads(again.out)["to_do"] == []
