"""Fixtures that several commands' tests share."""

import shutil

import numpy as np
import pytest
from PIL import Image

from mien.data.parquet import write_parquet


@pytest.fixture(scope="module")
def photos(tmp_path_factory, astronaut):
    """Three photos: two faces, none, one."""
    folder, two = tmp_path_factory.mktemp("photos"), np.full((300, 640, 3), 120, dtype=np.uint8)
    head = astronaut[20:276, 100:356]
    two[20:276, 30:286], two[20:276, 350:606] = head, head[:, ::-1]
    Image.fromarray(two).save(folder / "a.png")
    Image.new("RGB", (200, 150), "navy").save(folder / "b.jpg")
    Image.fromarray(head).save(folder / "c.jpg", quality=95)
    return folder


@pytest.fixture(scope="module")
def flawed_folder(tmp_path_factory, face_folder):
    """The rendered faces as folders, of mixed sizes, with a leak, a copy, a broken file and a nasty class."""
    root = tmp_path_factory.mktemp("own") / "faces"
    shutil.copytree(face_folder, root)
    happy = sorted((root / "train" / "happy").iterdir())
    shutil.copy(happy[0], root / "validation" / "happy" / "leak.png")
    shutil.copy(happy[1], root / "train" / "happy" / "zcopy.png")
    (root / "train" / "sad" / "broken.png").write_bytes(b"no image")
    Image.fromarray(np.asarray(Image.open(happy[2]))[:, :40]).resize((90, 110)).save(root / "train/sad/wide.png")
    for split in ("train", "validation", "test"):
        (root / split / "neutral").rename(root / split / "<b>bored")
    return root


@pytest.fixture(scope="session")
def face_parquet(tmp_path_factory, faces):
    """The very data of ``tiny_run``, with its fingerprint."""
    path = tmp_path_factory.mktemp("data") / "faces.parquet"
    write_parquet(faces, path)
    return path
