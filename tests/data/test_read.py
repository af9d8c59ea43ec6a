import logging
import os
import shutil
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.base.images import open_image
from mien.data import read as cache
from mien.data.dataset import Dataset
from mien.data.read import ReadOptions, load_dataset, read_data
from support import raises, write_images


def test_read_data_names_a_similar_file_and_a_run_folder(kaggle_table, tiny_run):
    with raises(DataError, "data-missing", "fer2103.csv", "'fer2013.csv'"):
        read_data(kaggle_table.with_name("fer2103.csv"))
    with raises(DataError, "data-unknown"):
        read_data(tiny_run.path)


def test_read_data_prefers_kaggles_table_in_a_folder(kaggle_table, write_csv):
    folder = kaggle_table.parent
    write_csv(folder / "example_submission.csv", "id,emotion", [])
    assert len(load_dataset(folder)) == 20
    kaggle_table.rename(folder / "train.csv")
    with raises(DataError, "data-unknown", "example_submission.csv, train.csv"):
        load_dataset(folder)


@pytest.mark.parametrize("native", [30, 48, 100])
def test_fingerprint_and_splits_ignore_the_size(tmp_path, noise, native):
    """Without splits in the data: the cut goes by pixels, and must be the same for models of every size."""
    images = noise(40, side=native)
    tree = write_images(tmp_path / "tree", {f"{('sad', 'fear')[row % 2]}/{row}.png": images[row] for row in range(40)})
    plain = read_data(tree)
    for size_px in (40, 64):
        fresh, cached = read_data(tree, ReadOptions(size_px=size_px)), read_data(tree, ReadOptions(size_px=size_px))
        assert (fresh.cached, cached.cached) == (False, True)
        for found in (fresh, cached, read_data(tree, ReadOptions(size_px=size_px), cache=False)):
            assert found.faces.images.shape == (40, size_px, size_px)
            assert not found.faces.images.flags.writeable
            assert found.fingerprint == found.faces.fingerprint == plain.fingerprint
            assert (found.faces.split.tolist(), found.split_origin) == (plain.faces.split.tolist(), plain.split_origin)


def test_read_data_opens_images_once_at_every_size(tmp_path, monkeypatch):
    """Oracle: the number of files; fingerprint and cut are those of 48 px all the same."""
    opened = []
    monkeypatch.setattr("mien.data.image_store.open_image", lambda each: opened.append(each) or open_image(each))
    tree = write_images(tmp_path / "tree", [f"{('sad', 'fear')[row % 2]}/{row}.png" for row in range(8)])
    read_data(tree, ReadOptions(size_px=64), cache=False)
    assert len(opened) == 8


def test_matches_training_data_ignores_the_test_split(tmp_path, noise, write_csv, as_pixels):
    """As Kaggle's whole file is to one who learnt from Training and PublicTest; every other change is none."""
    usages = ["Training"] * 6 + ["PublicTest"] * 3 + ["PrivateTest"] * 3
    rows = [(row % 2, as_pixels(image), usages[row]) for row, image in enumerate(noise(12))]

    def written(name: str, some: list[tuple[int, str, str]]) -> Path:
        return write_csv(tmp_path / name, "emotion,pixels,Usage", some)

    whole, without = written("whole.csv", rows), written("without.csv", rows[:9])
    other = written("other.csv", [(1, *rows[0][1:]), *rows[1:]])
    for how in (ReadOptions(size_px=48), ReadOptions(size_px=64)):
        for _ in ("fresh", "cached"):
            all_faces, learnt, others = (read_data(each, how).faces for each in (whole, without, other))
            assert all_faces.fingerprint != learnt.fingerprint
            assert all_faces.fingerprint_without_test == learnt.fingerprint_without_test == learnt.fingerprint
            pairs = (all_faces, learnt), (learnt, all_faces), (others, learnt)
            assert [one.matches_training_data(of.fingerprint) for one, of in pairs] == [True, False, False]
            assert len({each.fingerprint_for_predictions("validation") for each in (all_faces, learnt)}) == 1
            assert all_faces.fingerprint_for_predictions("test") == all_faces.fingerprint
            assert all_faces.rows[all_faces.split != "test"].tolist() == learnt.rows.tolist()
    test = all_faces.of_split("test")
    assert test.fingerprint_without_test == test.fingerprint


def test_fingerprint_for_predictions_includes_test_where_rows_shift(tmp_path):
    """In class folders a face is known by its place: scores of the one would be of other faces of the other."""
    learnt = [f"{split}/{name}/{row}.png" for split in ("train", "val") for name in ("fear", "sad") for row in "ab"]
    tests = [f"test/{name}/{row}.png" for name in ("fear", "sad") for row in "ab"]
    whole = load_dataset(write_images(tmp_path / "whole", learnt + tests))
    without = load_dataset(write_images(tmp_path / "without", learnt))
    assert whole.rows[whole.split != "test"].tolist() != without.rows.tolist()
    assert whole.matches_training_data(without.fingerprint), "to a model it is the same"
    assert whole.fingerprint_for_predictions("validation") == whole.fingerprint
    assert without.fingerprint_for_predictions("validation") == without.fingerprint != whole.fingerprint


@pytest.fixture
def stored(noise):
    return Dataset(
        images=noise(10), labels=np.arange(10) % 2, classes=("angry", "happy"),
        split=np.resize(np.array(["train", "validation"]), 10), source=np.array([f"face {row}" for row in range(10)]),
        rows=np.arange(10), columns={"file": np.array(["ä"] * 10), "vectors": np.arange(20).reshape(10, 2)},
        cleaned_from=("sha256:all", "sha256:without test"), votes=np.arange(20, 40).reshape(10, 2),
        vote_classes=("angry", "happy"), group_column="file",
    )  # fmt: skip


def test_cache_loads_a_memory_map_without_hashing(stored, monkeypatch):
    cache.store_entry("key", stored, {"notes": ["one"]})
    fingerprint = stored.fingerprint
    monkeypatch.setattr("mien.data.dataset.hashlib.sha256", None)
    found = cache.load_entry("key")
    assert found is not None
    again, facts = found
    assert again.fingerprint == fingerprint
    assert isinstance(again.images, np.memmap)
    assert not again.images.flags.writeable
    assert facts == {"notes": ["one"]}
    for each in fields(stored):
        np.testing.assert_equal(getattr(again, each.name), getattr(stored, each.name))


def test_cache_key_depends_on_path_size_time_and_options(kaggle_table):
    assert not read_data(kaggle_table).cached
    assert read_data(kaggle_table).cached
    for options in (ReadOptions(size_px=44), ReadOptions(class_map={"0": "sad"}), ReadOptions(skip_bad=True)):
        assert not read_data(kaggle_table, options).cached
    assert not read_data(kaggle_table, cache=False).cached
    status = kaggle_table.stat()
    os.utime(kaggle_table, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert not read_data(kaggle_table).cached
    other = kaggle_table.with_name("other.csv")
    shutil.copy2(kaggle_table, other)
    assert not read_data(other).cached


@pytest.mark.parametrize("name", ["images.npy", "table.npz", "meta.json"])
@pytest.mark.parametrize("left", [0, 0.5])
def test_cache_rebuilds_a_damaged_entry(kaggle_table, cache_in_tmp, name, left):
    """As a power cut leaves it."""
    before = read_data(kaggle_table).fingerprint
    (file,) = cache_in_tmp.glob(f"faces/*/{name}")
    file.write_bytes(file.read_bytes()[: int(left * file.stat().st_size)])
    again = read_data(kaggle_table)
    assert not again.cached
    assert again.fingerprint == before
    assert read_data(kaggle_table).cached


def test_cache_ignores_an_entry_of_a_killed_process(kaggle_table, cache_in_tmp):
    script = "import os, sys; from pathlib import Path\nPath.rename = lambda *_: os._exit(9)\n"
    script += "from mien.data.read import read_data; read_data(sys.argv[1])"
    assert subprocess.run([sys.executable, "-c", script, str(kaggle_table)], check=False).returncode == 9
    (left,) = (cache_in_tmp / "faces").iterdir()
    assert left.name.startswith(".part-")
    assert not read_data(kaggle_table).cached
    assert read_data(kaggle_table).cached
    assert left.exists()  # it may belong to a process at work
    os.utime(left, (0, 0))
    read_data(kaggle_table, ReadOptions(size_px=40))
    assert not left.exists()


def test_cache_warns_once_if_it_cannot_be_written(kaggle_table, cache_in_tmp, caplog):
    cache_in_tmp.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert (len(read_data(kaggle_table).faces), len(read_data(kaggle_table).faces)) == (20, 20)
    (record,) = caplog.records
    assert (record.name, record.levelname) == ("mien.data", "WARNING")
    assert str(cache_in_tmp) in record.getMessage()
    assert "\n" not in record.getMessage()


def test_cache_keeps_the_most_recently_used_entries(stored, cache_in_tmp):
    now = time.time()
    for index in range(cache.KEPT_ENTRIES):
        cache.store_entry(f"key{index}", stored, {})
        os.utime(cache_in_tmp / "faces" / f"key{index}", (now - 1000 + index, now - 1000 + index))
    assert cache.load_entry("key0") is not None  # using it makes it recent
    cache.store_entry("one more", stored, {})
    assert [cache.load_entry(f"key{index}") is not None for index in range(3)] == [True, False, True]
    assert len(list((cache_in_tmp / "faces").iterdir())) == cache.KEPT_ENTRIES


def test_cache_misses_when_files_swap_names(tmp_path):
    """As in images of containers, where all times are one."""
    names = [f"{name}/{index}.bmp" for name in ("happy", "sad") for index in range(3)]
    folder = write_images(tmp_path / "faces", names)
    for name in names:
        os.utime(folder / name, (0, 0))
    before = read_data(folder).fingerprint
    for one, other in zip(names[:3], names[3:], strict=True):
        (folder / one).rename(folder / "x")
        (folder / other).rename(folder / one)
        (folder / "x").rename(folder / other)
    assert read_data(folder).fingerprint == read_data(folder, cache=False).fingerprint != before
