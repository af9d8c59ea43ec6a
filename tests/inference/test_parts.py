"""Predictions in parts: the list, the files of a part, and what a restart finds. Ray itself only in the slow tests."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError, RunError
from mien.data.synthetic import synthetic_faces
from mien.inference import parts as module
from mien.inference.bulk import predict_files
from mien.inference.face_reader import FaceReader
from mien.inference.image_files import image_files, walk_sources
from mien.inference.parts import PartsJob, PartWorker, count_finished, open_parts, part_file
from mien.inference.predictor import load
from support import raises

parquet = pytest.importorskip("pyarrow.parquet")

PER_PART = 8


@pytest.fixture
def crops(tmp_path, faces):
    """20 face crops in two folders; the last is no image."""
    folder = tmp_path / "crops"
    for index in range(20):
        place = folder / ("a" if index % 3 else "b")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.asarray(faces.images[index])).save(place / f"{index:02}.png")
    (folder / "b" / "99.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def job(tmp_path, crops, monkeypatch):
    monkeypatch.setattr(module, "CROPS_PER_PART", PER_PART)
    return PartsJob(tmp_path / "out", ("crops",), tmp_path, "fast", crops=True)


def rows(folder, table):
    """All rows of a table, in the order of the parts."""
    return [row for file in sorted((folder / table).iterdir()) for row in parquet.read_table(file).to_pylist()]


def write_all(job):
    worker = PartWorker(job)
    with open_parts(job, {"a": 1}) as (count, pending):
        for part in pending:
            worker.write(part)
        return count, pending


def test_parts_hold_a_row_a_face_and_a_row_an_image(job, crops):
    """Oracle: the plain loop over the same files."""
    count, written = write_all(job)
    assert (count, written) == (3, [0, 1, 2])
    expected = list(predict_files(FaceReader(load("fast", threads=1)), image_files(crops), crops=True, skip_bad=True))
    good = [each for each in expected if "error" not in each]
    found = rows(job.folder, "faces")
    assert [row["source"] for row in found] == [os.path.relpath(each["source"], crops.parent) for each in good]
    assert [row["top"] for row in found] == [each["top"] for each in good]
    for row, each in zip(found, good, strict=True):
        # Batches end elsewhere: onnxruntime adds in another order.
        assert {name: row[name] for name in each["probabilities"]} == pytest.approx(each["probabilities"], abs=1e-6)
    statuses = rows(job.folder, "images")
    assert Counter(row["status"] for row in statuses) == {"ok": 20, "error": 1}
    assert len({row["source"] for row in statuses}) == 21
    bad = statuses[-1]
    assert (bad["source"], bad["status"], bad["faces"]) == ("crops/b/99.png", "error", 0)
    assert bad["error"].startswith("crops/b/99.png ")
    assert count_finished(job.folder) == (21, 20, 1)


def test_photos_have_their_size_and_all_their_faces(tmp_path, astronaut):
    """Oracle: ``photo.to_dict`` of the same photos; a photo without a face has no row of a face."""
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(astronaut).save(folder / "one.png")
    Image.fromarray(np.full((120, 160, 3), 90, np.uint8)).save(folder / "none.png")
    job = PartsJob(tmp_path / "out", (str(folder),), tmp_path, "fast", crops=False)
    write_all(job)
    expected = {each.source: each for each in load("fast").stream([folder / "one.png"])}
    (face,) = rows(job.folder, "faces")
    (prediction,) = expected[str(folder / "one.png")].predictions
    assert face["source"] == str(folder / "one.png")
    assert (face["box_left"], face["top"]) == (prediction.box.left, prediction.top)
    by_name = {Path(row["source"]).name: row for row in rows(job.folder, "images")}
    assert (by_name["none.png"]["width"], by_name["none.png"]["height"], by_name["none.png"]["faces"]) == (160, 120, 0)
    assert by_name["one.png"]["faces"] == 1


def test_a_restart_computes_what_is_missing_and_nothing_else(job, crops, monkeypatch):
    """Oracle: the bytes of an undisturbed run. Killed after the faces of a part were written, before its images."""
    write_all(job)
    whole = {
        file.name + table: (job.folder / table / file.name).read_bytes()
        for table in ("faces", "images")
        for file in (job.folder / table).iterdir()
    }
    part_file(job.folder, "images", 1).unlink()
    part_file(job.folder, "faces", 1).write_bytes(b"half")
    # An image that comes later belongs to no part: the list was made once.
    shutil.copy(crops / "a" / "01.png", crops / "a" / "00.png")
    count, written = write_all(job)
    assert (count, written) == (3, [1])
    assert whole == {
        file.name + table: (job.folder / table / file.name).read_bytes()
        for table in ("faces", "images")
        for file in (job.folder / table).iterdir()
    }
    assert write_all(job)[1] == []


def test_after_a_listing_that_failed_other_settings_are_taken(job, monkeypatch):
    """A wrong address must not keep the folder from the corrected command."""

    def refuse(*_):
        raise DataError("no rights", code="no-rights")

    with monkeypatch.context() as patch:
        patch.setattr("mien.inference.parts.walk_sources", refuse)
        with raises(DataError, "no-rights"), open_parts(job, {"a": 1}):
            pass
    with open_parts(job, {"a": 2}) as (count, _):
        assert count > 0


def test_a_folder_of_others_is_refused(job, tmp_path):
    write_all(job)
    with raises(RunError, "parts-settings", job.folder), open_parts(job, {"a": 2}):
        pass
    with open_parts(job, {"a": 1}), raises(RunError, "parts-in-use"), open_parts(job, {"a": 1}):
        pass
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with raises(RunError, "folder-exists"), open_parts(replace(job, folder=tmp_path / "mine"), {}):
        pass
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["letter.txt"]


def test_sources_are_named_as_given_and_each_once(crops, tmp_path):
    assert list(walk_sources(["crops/b/00.png", "crops/a"], tmp_path))[:2] == ["crops/b/00.png", "crops/a/01.png"]
    assert len(list(walk_sources(["crops", "crops"], tmp_path))) == 21
    for sources, code in ((["none"], "file-missing"), (["s3x://bucket/a"], "source-unreadable")):
        with raises(DataError, code):
            list(walk_sources(sources, tmp_path))
    assert len(list(walk_sources([f"file://{tmp_path}/crops/{each}" for each in "ab"], tmp_path))) == 21
    (tmp_path / "empty").mkdir()
    with raises(DataError, "folder-without-images"):
        list(walk_sources(["empty"], tmp_path))


def test_images_at_an_address_are_those_of_the_folder(job, tmp_path):
    """Oracle: the same files, read from a folder. pyarrow's own address of files stands in for a bucket."""
    there = replace(job, folder=job.folder.with_name("there"), sources=(f"file://{tmp_path}/crops",))
    write_all(job)
    write_all(there)
    for table in ("faces", "images"):
        own, others = rows(job.folder, table), rows(there.folder, table)
        assert [f"file://{tmp_path}/" + row.pop("source") for row in own] == [row.pop("source") for row in others]
        if table == "faces":
            assert own == others
    shutil.rmtree(tmp_path / "crops")
    with raises(DataError, "source-unreadable"):
        list(walk_sources(there.sources, job.base))


def _children_named(pid, name):
    found = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdigit() and name in (each / "cmdline").read_bytes().decode(errors="replace"):
                found.append(int(each.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_a_worker_of_ray_that_is_killed_loses_nothing(tmp_path, monkeypatch):
    """Oracle: the rows of the plain loop, in the same files."""
    pytest.importorskip("ray", reason="mien[scale] is not installed")
    faces = synthetic_faces(500, seed=3)
    (tmp_path / "crops").mkdir()
    for index in range(3000):
        Image.fromarray(np.asarray(faces.images[index % 500])).save(tmp_path / "crops" / f"{index:05}.png")
    monkeypatch.setattr(module, "CROPS_PER_PART", 100)
    job = PartsJob(tmp_path / "plain", ("crops",), tmp_path, "fast", crops=True)
    write_all(job)
    out = tmp_path / "ray"
    program = "import mien.inference.parts as p; p.CROPS_PER_PART = 100; from mien.cli.main import main; main()"
    words = [sys.executable, "-c", program, "predict", "crops", "--crops", "--model", "fast", "--engine", "ray"]
    process = subprocess.Popen([*words, "--workers", "1", "--out", str(out)], cwd=tmp_path, stdout=subprocess.PIPE)
    try:
        while not list((out / "images").glob("part-*")):
            assert process.poll() is None
            time.sleep(0.02)
        (worker, *_) = _children_named(process.pid, "MapWorker")
        os.kill(worker, signal.SIGKILL)
        said, _ = process.communicate()
        assert process.returncode == 0
    finally:
        process.kill()
    assert b"3,000 faces in 3,000 images" in said
    for table in ("faces", "images"):
        assert rows(out, table) == rows(job.folder, table)
