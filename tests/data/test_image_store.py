"""Oracle: numpy's own indexing of the same images in memory."""

import mmap
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mien.base.errors import DataError
from mien.base.labels import FERPLUS_CLASSES
from mien.data import image_store
from mien.data.image_store import decode_images, expect_random, is_mapped, new_images, take
from mien.data.read import read_data
from mien.data.synthetic import synthetic_faces, write_class_folders
from mien.training.batches import image_tensor
from support import raises, write_fer2013


@pytest.fixture
def large(monkeypatch):
    """Everything counts as many images from 20,000 bytes on, nine faces of 48 px."""
    monkeypatch.setattr(image_store, "LARGE_BYTES", 20_000)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (50, 48, 48), dtype=np.uint8)


def mapped(images):
    stored = new_images(len(images) + 3, images.shape[1:])[: len(images)]
    stored[:] = images
    return stored


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize(("chosen", "stays"), [
    (np.arange(50) % 2 == 0, False),
    (np.array([9, 3, 3, 41, *range(20)]), False),
    (np.arange(10, 40), True),
    (np.arange(50) >= 30, True),
    (np.arange(50) < 3, False),
    (np.zeros(50, dtype=bool), False),
    (np.array([-2, -1, 0, *range(1, 20)]), False),
])  # fmt: skip
def test_take_equals_numpy_indexing(images, chosen, stays):
    source = mapped(images)
    taken = take(source, chosen)
    assert np.array_equal(taken, images[chosen])
    assert (np.shares_memory(taken, source), is_mapped(taken)) == (stays, len(taken) > 8)


@pytest.mark.usefixtures("large")
def test_new_images_rejects_a_full_disk(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with raises(DataError, "file-unwritable"):
        new_images(50, (48, 48))


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("shape", ["csv", "folders"])
def test_read_data_gives_equal_faces_mapped_and_in_memory(tmp_path, monkeypatch, shape, cache):
    # Larger than the squares: past the first block, such files are decoded by threads.
    source = write(synthetic_faces(120, seed=3, size_px=96), tmp_path, shape)
    on_disk = read_data(source, cache=cache).faces
    monkeypatch.setattr(image_store, "LARGE_BYTES", 1 << 40)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "another"))
    in_memory = read_data(source, cache=cache).faces
    assert is_mapped(on_disk.images)
    assert not is_mapped(in_memory.subset(np.arange(100)).images)
    assert np.array_equal(on_disk.images, in_memory.images)
    assert on_disk.fingerprint == in_memory.fingerprint
    assert on_disk.fingerprint_without_test == in_memory.fingerprint_without_test
    assert np.array_equal(on_disk.split, in_memory.split)


def write(faces, folder, shape):
    if shape == "folders":
        write_class_folders(faces, folder / "tree")
        return folder / "tree"
    votes = np.zeros((len(faces), 10), dtype=np.int64)
    write_fer2013(folder, replace(faces, votes=votes, vote_classes=FERPLUS_CLASSES))
    return folder / "fer2013.csv"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what a map was advised")
@pytest.mark.usefixtures("large")
def test_image_tensor_disables_reading_ahead(images):
    """Oracle: Linux' flag "rr" of this map, MADV_RANDOM in the manual of /proc/PID/smaps."""
    stored = mapped(images)
    assert "rr" not in flags(stored)
    assert np.array_equal(image_tensor(stored[5:], torch.device("cpu")).numpy(), images[5:])
    assert "rr" in flags(stored)
    assert expect_random(images) is images


def flags(images):
    """The flags of the map that these images lie in."""
    _, _, entry = Path("/proc/self/smaps").read_text().partition(f"\n{images.ctypes.data & ~(mmap.PAGESIZE - 1):08x}-")
    return re.search("VmFlags: (.*)", entry)[1].split()


def test_decode_images_keeps_the_order_on_many_threads(tmp_path, monkeypatch):
    """Oracle: the brightness of each image is its number."""
    monkeypatch.setattr(image_store, "available_cores", lambda: 4)
    for index in range(250):
        Image.new("L", (120, 120), index).save(tmp_path / f"{index:03}.png")
    (tmp_path / "100.png").write_bytes(b"no image")
    items = [(f"{index:03}.png", tmp_path / f"{index:03}.png") for index in range(250)]
    (images,), kept, bad = decode_images(items, 250, [(48, 1)], "decoding", skip_bad=True)
    assert images[:, 5, 5].tolist() == kept.tolist() == [i for i in range(250) if i != 100]
    assert [name for name, _ in bad] == ["100.png"]
