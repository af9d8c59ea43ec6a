"""mien data crop and mien.crop. Oracle: the crops that predictions are made of."""

import os

import numpy as np
import pytest
from PIL import Image

from mien import crop, load
from support import ran, refused


@pytest.fixture
def photos(tmp_path, astronaut):
    """One with a face, one without, one that is damaged."""
    for name, image in (("train/happy/a.png", astronaut), ("train/sad/b.jpg", np.zeros((99, 99, 3), dtype=np.uint8))):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "photos" / name)
    (tmp_path / "photos" / "train" / "sad" / "c.png").write_bytes(b"\x89PNG damaged")
    return tmp_path / "photos"


def test_crop_writes_the_crops_of_predict(mien, tmp_path, photos):
    out = tmp_path / "faces"
    refused(mien("data", "crop", photos, "--out", out), "image-format", "c.png", "--skip-bad")
    refused(mien("data", "crop", photos, "--out", photos / "faces"), "out-path")
    answer = ran(mien("data", "crop", photos, "--out", out, "--skip-bad"))
    for words in ("1 face of 3 photographs", "b.jpg [no-face]", "skipped: ", "c.png"):
        assert words in answer.err
    (written,) = [file for file in out.rglob("*") if file.is_file()]
    assert written == out / "train" / "happy" / "a.png.png"
    (face,) = load("fast").predict(photos / "train" / "happy" / "a.png")
    assert np.array_equal(np.asarray(Image.open(written)), face.crop)


def test_crop_keeps_existing_faces(mien, tmp_path, photos):
    out = tmp_path / "faces"
    words = ("data", "crop", photos / "train" / "happy", "--out", out)
    assert mien(*words, "--size-px", "64", "--colour").code == 0
    assert np.asarray(Image.open(out / "a.png.png")).shape == (64, 64, 3)
    for others in ((), ("--size-px", "64"), ("--colour",)):
        refused(mien(*words, *others), "file-exists", "a.png.png")
    mine = np.full((64, 64, 3), 9, dtype=np.uint8)
    Image.fromarray(mine).save(out / "a.png.png")
    (out / "old.png").write_bytes(b"")
    assert crop(photos / "train" / "happy", out, size_px=64, channels=3) == (1, [], [], [str(out / "old.png")])
    assert np.array_equal(np.asarray(Image.open(out / "a.png.png")), mine)
    os.utime(out / "a.png.png", (0, 0))  # older than its photograph
    assert "old.png [no-photo]" in mien(*words, "--size-px", "64", "--colour").err
    assert not np.array_equal(np.asarray(Image.open(out / "a.png.png")), mine)
    Image.new("RGB", (99, 99)).save(photos / "train" / "happy" / "a.png")
    os.utime(out / "a.png.png", (0, 0))
    assert crop(photos / "train" / "happy", out, size_px=64, channels=3).without
    assert not (out / "a.png.png").exists()
