from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.base.errors import DataError
from mien.base.images import open_image
from mien.base.preprocess import grey_square
from mien.data.read import ReadOptions, dataset_info, read_data
from support import raises


@pytest.fixture
def tree(tmp_path: Path, noise, write_tree):
    """Writes noise under the given names: ``tree("train/happy/1.png", ...)``."""

    def write(*names: str) -> Path:
        return write_tree(tmp_path / "faces", dict(zip(names, noise(len(names)), strict=True)))

    return write


def many(*folders: str, count: int = 20) -> list[str]:
    return [f"{folder}/{index:03}.png" for folder in folders for index in range(count)]


def test_read_folders_takes_official_splits_from_file_names(tree) -> None:
    names = [
        f"{folder}/{expression}/{usage}_{number}.png"
        for folder, usage in (("train", "Training"), ("test", "PublicTest"), ("test", "PrivateTest"))
        for expression in ("angry", "happy")
        for number in (118, 9)
    ]
    result = read_data(tree(*names))
    assert result.shape == "class folders"
    assert result.split_origin == "official FER2013 splits"
    expected = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}
    for source, split in zip(result.faces.source.tolist(), result.faces.split, strict=True):
        assert split == expected[source.rpartition("/")[2].partition("_")[0]]
    assert sorted(result.faces.source) == sorted(names)


def test_read_folders_prefers_folders_to_names_of_one_split(tree) -> None:
    folders = ("train/sad", "train/fear", "val/sad", "val/fear")
    result = read_data(tree(*[f"{folder}/Training_{number}.png" for folder in folders for number in (1, 2)]))
    assert result.split_origin == "as in the folders"
    assert result.faces.counts("validation").tolist() == [2, 2]


def test_read_folders_cuts_validation_from_train(tree) -> None:
    result = read_data(tree(*many("train/anger", "train/Happiness", "test/anger", "test/Happiness")))
    faces = result.faces
    assert faces.classes == ("angry", "happy")
    assert result.split_origin.startswith("as in the folders; validation: stratified cut of 15%")
    assert faces.counts("train").tolist() == [17, 17]
    assert faces.counts("validation").tolist() == [3, 3]
    assert faces.counts("test").tolist() == [20, 20]


def test_read_folders_keeps_three_splits(tree) -> None:
    result = read_data(tree(*many("Train/sad", "Train/fear", "Valid/sad", "Valid/fear", "test/sad")))
    assert result.split_origin == "as in the folders"
    assert result.faces.counts("validation").tolist() == [20, 20]
    assert result.faces.counts("test").tolist() == [0, 20]


def test_read_folders_descends_into_a_single_folder(tree, tmp_path: Path) -> None:
    tree(*many("archive/train/sad", "archive/train/fear", "archive/test/sad"))
    assert read_data(tmp_path / "faces").faces.source[0] == "archive/test/sad/000.png"


def test_read_folders_converts_images_as_grey_square_does(tmp_path: Path, write_tree) -> None:
    generator = np.random.default_rng(0)
    images = {
        "happy/a.png": generator.integers(0, 256, (48, 48), dtype=np.uint8),
        "happy/b.png": generator.integers(0, 256, (300, 200, 3), dtype=np.uint8),
        "sad/c.jpg": generator.integers(0, 256, (100, 100), dtype=np.uint8),
        "sad/d.webp": generator.integers(0, 256, (31, 64, 3), dtype=np.uint8),
        "sad/person 1/e.bmp": generator.integers(0, 256, (48, 48), dtype=np.uint8),
    }
    folder = write_tree(tmp_path / "own", images)
    faces = read_data(folder).faces
    assert faces.source.tolist() == sorted(images)
    for name, image in zip(sorted(images), faces.images, strict=True):
        assert np.array_equal(image, grey_square(open_image(folder / name), 48))
    assert np.array_equal(faces.images[0], images["happy/a.png"])
    assert faces.rows.tolist() == [0, 1, 2, 3, 4]


def test_read_folders_ignores_hidden_files_and_notes_others(tree) -> None:
    folder = tree(*many("sad", "fear", count=3))
    (folder / "sad" / ".DS_Store").write_bytes(b"x")
    (folder / "sad" / "Thumbs.db").write_bytes(b"x")
    (folder / "sad" / "._000.png").write_bytes(b"x")
    (folder / "__MACOSX").mkdir()
    (folder / "contempt").mkdir()
    result = read_data(folder)
    assert [(each.code, "contempt" in each) for each in result.notes] == [("class-folder-empty", True)]
    assert result.faces.classes == ("fear", "sad")
    (folder / "fear" / "README.txt").write_text("x")
    assert [each.code for each in read_data(folder).notes] == ["class-folder-empty", "files-skipped"]
    (folder / "stray.png").write_bytes((folder / "sad" / "000.png").read_bytes())
    result = read_data(folder)  # not from the cache of the line above
    assert (len(result.faces), [each.code for each in result.notes][2:]) == (6, ["files-skipped"])


@pytest.mark.parametrize("content", [b"not an image", b"", None])
def test_read_folders_names_a_bad_image_or_skips_it(tree, content: bytes | None) -> None:
    folder = tree(*many("sad", "fear", count=3))
    bad = folder / "fear" / "001.png"
    bad.write_bytes(bad.read_bytes()[:1000] if content is None else content)  # None: cut off
    with raises(DataError, "image-unreadable", "fear/001.png", "--skip-bad"):
        read_data(folder)
    result = read_data(folder, ReadOptions(skip_bad=True))
    assert [name for name, _ in result.skipped] == ["fear/001.png"]
    assert "001.png" in result.skipped[0][1]
    assert len(result.faces) == 5
    assert "fear/001.png" not in result.faces.source
    assert result.faces.counts().tolist() == [2, 3]


@pytest.mark.parametrize(
    ("names", "code", "values"),
    [
        (many("happy"), "class-count", ("'happy'", "happy/face.png")),
        (("a.png", "b.png"), "data-unknown", ("2 images",)),
        (("happy/a.png", "sad/b.png"), "data-empty", ()),
    ],
)
def test_read_folders_rejects_folders_without_two_classes(tree, names, code: str, values) -> None:
    folder = tree(*names)
    for file in folder.rglob("*.png") if code == "data-empty" else ():
        file.unlink()
    with raises(DataError, code, *values):
        read_data(folder)


def test_read_folders_notes_names_of_one_class(tree) -> None:
    folder = tree(*many("happy", "Joy", "joy", "sad", count=3))
    result = read_data(folder)
    assert result.faces.counts().tolist() == [9, 3]
    assert [(each.code, "'happy' and 'joy'" in each) for each in result.notes] == [("classes-merged", True)]
    assert dataset_info(result)["notes"][0].endswith("--map 'joy=NAME'.")
    assert not read_data(folder, ReadOptions(class_map={"joy": "delight"})).notes


def test_read_paths_names_class_folders_beside_missing_images(tree, tmp_path: Path) -> None:
    """As RAF-DB lies on Kaggle: DATASET/train/1/..., and a table beside it."""
    tree(*many("DATASET/train/happy", "DATASET/train/sad", count=3))
    (tmp_path / "faces" / "labels.csv").write_text("image,label\n1.jpg,4\n2.jpg,5\n")
    with raises(DataError, "image-missing", "labels.csv", "class folders"):
        read_data(tmp_path / "faces")


def test_read_folders_takes_names_without_utf_8(tmp_path: Path, noise) -> None:
    """Oracle: what Python shows of such a name. Reports and tables are UTF-8."""
    for place, image in zip((b"caf\xe9/a.png", b"happy/\xe9.png", b"happy/b.png"), noise(3), strict=True):
        file = tmp_path / "faces" / os.fsdecode(place)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    faces = read_data(tmp_path / "faces").faces
    assert set(faces.classes) == {"happy", "caf\\udce9"}
    assert set(faces.source) == {"caf\\udce9/a.png", "happy/\\udce9.png", "happy/b.png"}


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("gone"), lambda path: path.symlink_to(path), os.mkfifo])
def test_read_folders_names_broken_links_and_pipes(tree, tmp_path: Path, make) -> None:
    """As DVC and git-annex leave links. Oracle: the data without them."""
    folder = tree(*many("happy", "sad"))
    clean = read_data(folder).fingerprint
    make(folder / "happy" / "zz.png")
    with raises(DataError, "image-unreadable", "zz.png"):
        read_data(folder)
    result = read_data(folder, ReadOptions(skip_bad=True))
    assert (result.fingerprint, [name for name, _ in result.skipped]) == (clean, ["happy/zz.png"])


def test_read_folders_skips_links_to_a_folder_above(tree) -> None:
    """Oracle: the data without it. With it, each class had the images of both, many times."""
    folder = tree(*many("happy", "sad"))
    clean = read_data(folder).fingerprint
    (folder / "happy" / "all").symlink_to("..")
    assert read_data(folder).fingerprint == clean


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12\n"


@pytest.mark.parametrize(("text", "command"), [(LFS, "git lfs pull"), ("/annex/objects/MD5-s1--2.png\n", "annex get")])
@pytest.mark.parametrize("file", ["faces/happy/000.png", "faces.csv", "faces.parquet", "faces/a.parquet"])
def test_read_data_names_pointers_of_git_lfs_and_annex(
    tree, tmp_path: Path, file: str, text: str, command: str
) -> None:
    tree(*many("happy", "sad"))
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=command):
        read_data(tmp_path / file.rpartition("/happy")[0] if "happy" in file else tmp_path / file.partition("/")[0])


@pytest.mark.parametrize(("name", "advice"), [("disgust", ""), ("images", "--crops")])
def test_read_data_notes_a_class_without_training_images(tree, name: str, advice: str) -> None:
    folder = tree(*many("train/happy", "train/sad", f"test/{name}"))
    (note,) = [each for each in read_data(folder).notes if each.code == "class-not-trained"]
    assert name in note
    assert ("--crops" in note) == bool(advice)
    assert not [each for each in read_data(folder.parent / "faces" / "train").notes if each.code == "class-not-trained"]
