"""Prediction in processes of Ray. Oracle: the plain loop over the same files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.data.synthetic import synthetic_faces
from mien.inference.face_reader import FaceReader
from mien.inference.output_files import _RayWorker
from mien.inference.predictor import load


def save_crops(folder, count):
    faces = synthetic_faces(50, seed=3)
    folder.mkdir()
    for index in range(count):
        Image.fromarray(np.asarray(faces.images[index % 50])).save(folder / f"{index:05}.png")


def test_an_error_of_a_worker_is_a_value(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_crops(tmp_path / "crops", 2)
    (tmp_path / "crops" / "bad.png").write_bytes(b"no image")
    for skips in (False, True):
        worker = _RayWorker(lambda: FaceReader(load("fast", threads=1), None), str(tmp_path), True, skips)
        results = worker.predict([Path("crops/00000.png"), Path("crops/bad.png")])
        assert ["error" in result for result in results] == [False, True] if skips else isinstance(results, DataError)


def _processes_named(name):
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and name in (process / "cmdline").read_bytes().decode(errors="replace"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_loses_nothing(tmp_path):
    pytest.importorskip("ray", reason="mien[scale] is not installed")
    save_crops(tmp_path / "crops", 6000)
    words = [sys.executable, "-m", "mien", "predict", "crops", "--crops", "--model", "fast", "--out"]
    process = subprocess.Popen([*words, "ray.jsonl", "--engine", "ray", "--workers", "1"], cwd=tmp_path)
    try:
        while (tmp_path / "ray.jsonl.part").stat().st_size < 10_000 if (tmp_path / "ray.jsonl.part").exists() else True:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(_processes_named("ray::_RayWorker")[0], signal.SIGKILL)
        assert process.wait() == 0
    finally:
        process.kill()
        process.wait()
    subprocess.run([*words, "plain.jsonl"], cwd=tmp_path, check=True)
    assert (tmp_path / "ray.jsonl").read_bytes() == (tmp_path / "plain.jsonl").read_bytes()
