"""Class folders and other layouts that people had, some of which other tools read wrongly without a word."""

import os
import unicodedata

import numpy as np
import pytest
from PIL import Image

from mien.api.inputs import read
from mien.base.errors import DataError
from mien.base.images import find_images, image_files, open_image
from mien.base.labels import parse_map
from mien.base.preprocess import grey_square
from mien.data.read import ReadOptions, dataset_info, read_data
from support import raises, warned, write_images


@pytest.fixture
def tree(tmp_path):
    """Writes noise under the given names: ``tree("train/happy/1.png", ...)``."""
    return lambda *names: write_images(tmp_path / "faces", names)


def many(*folders: str, count: int = 20) -> list[str]:
    return [f"{folder}/{index:03}.png" for folder in folders for index in range(count)]


def named(folder: str, usage: str, count: int) -> list[str]:
    """Images named as in msambare/fer2013, of two classes."""
    return [f"{folder}/{name}/{usage}_{number}.png" for name in ("angry", "happy") for number in range(count)]


@pytest.mark.parametrize(
    ("names", "origin", "counts"),
    [
        (named("train", "Training", 3) + named("test", "PublicTest", 2) + named("test", "PrivateTest", 1),
         "official FER2013 splits", ([3, 3], [2, 2], [1, 1])),
        (named("train", "Training", 2) + named("val", "Training", 1), "as in the folders", ([2, 2], [1, 1])),
        (many("train/anger", "train/Happiness", "test/anger", "test/Happiness"),
         "as in the folders; validation: stratified cut of 15%", ([17, 17], [3, 3], [20, 20])),
        (many("Train/sad", "Train/fear", "Valid/sad", "Valid/fear", "test/sad", count=4), "as in the folders",
         ([4, 4], [4, 4], [0, 4])),
        (many("archive/train/sad", "archive/train/fear", "archive/val/sad", count=2), "as in the folders",
         ([2, 2], [0, 2])),
        (many(*(f"{name}/{split}" for name in ("happy", "sad") for split in ("train", "val", "test")), count=4),
         "as in the folders", ([4, 4], [4, 4], [4, 4])),
    ],
)  # fmt: skip
def test_read_folders_takes_splits_from_folders_or_official_names(tree, names, origin, counts):
    result = read_data(tree(*names))
    assert result.shape == "class folders"
    assert result.split_origin.startswith(origin)
    assert (tuple(result.faces.counts_by_split().values()), sorted(result.faces.source)) == (counts, sorted(names))


@pytest.mark.parametrize(("file", "code", "named"), [
    ("sad/.DS_Store", None, ""),
    ("sad/Thumbs.db", None, ""),
    ("sad/._000.png", None, ""),
    ("__MACOSX/", None, ""),
    ("._people.csv", None, ""),
    ("contempt/", "files-skipped", "contempt"),
    ("fear/README.txt", "files-skipped", "1, e.g."),
    ("stray.png", "files-skipped", "stray.png"),
    ("sad/IMG_1.DNG", "files-skipped", "JPEG"),  # a camera's raw photograph
    ("people.csv", "files-skipped", "people.csv is beside"),
])  # fmt: skip
def test_read_folders_notes_what_it_leaves_out(tree, file, code, named):
    folder = tree(*many("sad", "fear", count=3))
    (folder / file).mkdir() if file[-1] == "/" else (folder / file).write_bytes(b"x")
    result = read_data(folder)
    assert (len(result.faces), result.faces.classes) == (6, ("fear", "sad"))
    assert [note.code for note in result.notes] == [code] * (code is not None)
    assert named in " ".join(result.notes)


def test_read_folders_converts_images_as_grey_square_does(tmp_path):
    generator = np.random.default_rng(0)
    images = {
        "happy/a.png": generator.integers(0, 256, (48, 48), dtype=np.uint8),
        "happy/b.png": generator.integers(0, 256, (300, 200, 3), dtype=np.uint8),
        "sad/c.jpg": generator.integers(0, 256, (100, 100), dtype=np.uint8),
        "sad/d.webp": generator.integers(0, 256, (31, 64, 3), dtype=np.uint8),
        "sad/person 1/e.bmp": generator.integers(0, 256, (48, 48), dtype=np.uint8),
    }
    folder = write_images(tmp_path / "own", images)
    faces = read_data(folder).faces
    assert faces.source.tolist() == sorted(images)
    for name, image in zip(sorted(images), faces.images, strict=True):
        assert np.array_equal(image, grey_square(open_image(folder / name), 48))
    assert np.array_equal(faces.images[0], images["happy/a.png"])
    assert faces.rows.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("content", [b"not an image", b"", None])
def test_read_folders_names_a_bad_image_or_skips_it(tree, content):
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


def test_read_folders_notes_names_of_one_class(tree):
    folder = tree(*many("happy", "Joy", "joy", "sad", count=3))
    result = read_data(folder)
    assert result.faces.counts().tolist() == [9, 3]
    assert [(each.code, "'happy' and 'joy'" in each) for each in result.notes] == [("classes-merged", True)]
    assert dataset_info(result)["notes"][0].endswith("--map 'joy=NAME'.")
    assert not read_data(folder, ReadOptions(class_map={"joy": "delight"})).notes


def test_read_folders_notes_images_beside_splits_in_a_class(tree):
    result = read_data(tree(*many("sad/train", "sad/test", "fear/train", "fear/test", count=3), "sad/stray.png"))
    assert [note.code for note in result.notes] == ["files-skipped"]


def test_read_paths_names_class_folders_beside_missing_images(tree, tmp_path):
    """As RAF-DB lies on Kaggle: DATASET/train/1/..., and a table beside it."""
    tree(*many("DATASET/train/happy", "DATASET/train/sad", count=3))
    for file, code, named in (
        ("1.jpg", "image-missing", "class folders"),
        ("https://x/1.jpg", "image-unreadable", "web"),
    ):
        (tmp_path / "faces" / "labels.csv").write_text(f"image,label\n{file},4\n2.jpg,5\n")
        with raises(DataError, code, "labels.csv", named):
            read_data(tmp_path / "faces")


def test_read_folders_takes_names_without_utf_8(tmp_path, noise):
    """Oracle: what Python shows of such a name. Reports and tables are UTF-8."""
    for place, image in zip((b"caf\xe9/a.png", b"happy/\xe9.png", b"happy/b.png"), noise(3), strict=True):
        file = tmp_path / "faces" / os.fsdecode(place)
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    faces = read_data(tmp_path / "faces").faces
    assert set(faces.classes) == {"happy", "caf\\udce9"}
    assert set(faces.source) == {"caf\\udce9/a.png", "happy/\\udce9.png", "happy/b.png"}


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("gone"), lambda path: path.symlink_to(path), os.mkfifo])
def test_read_folders_names_broken_links_and_pipes(tree, tmp_path, make):
    """As DVC and git-annex leave links. Oracle: the data without them."""
    folder = tree(*many("happy", "sad"))
    clean = read_data(folder).fingerprint
    make(folder / "happy" / "zz.png")
    with raises(DataError, "image-unreadable", "zz.png"):
        read_data(folder)
    result = read_data(folder, ReadOptions(skip_bad=True))
    assert (result.fingerprint, [name for name, _ in result.skipped]) == (clean, ["happy/zz.png"])


def test_read_folders_skips_links_to_a_folder_above(tree):
    """Oracle: the data without it. With it, each class had the images of both, many times."""
    folder = tree(*many("happy", "sad"))
    clean = read_data(folder).fingerprint
    (folder / "happy" / "all").symlink_to("..")
    assert read_data(folder).fingerprint == clean


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 12\n"


@pytest.mark.parametrize(("text", "command"), [(LFS, "git lfs pull"), ("/annex/objects/MD5-s1--2.png\n", "annex get")])
@pytest.mark.parametrize("file", ["faces/happy/000.png", "faces.csv", "faces.parquet", "faces/a.parquet"])
def test_read_data_names_pointers_of_git_lfs_and_annex(tree, tmp_path, file, text, command):
    tree(*many("happy", "sad"))
    (tmp_path / file).write_text(text)
    with pytest.raises(DataError, match=command):
        read_data(tmp_path / file.rpartition("/happy")[0] if "happy" in file else tmp_path / file.partition("/")[0])


@pytest.mark.parametrize(("name", "advice"), [("disgust", ""), ("images", "--crops")])
def test_read_data_notes_a_class_without_training_images(tree, name, advice):
    folder = tree(*many("train/happy", "train/sad", f"test/{name}"))
    (note,) = [each for each in read_data(folder).notes if each.code == "class-not-trained"]
    assert name in note
    assert ("--crops" in note) == bool(advice)
    assert not [each for each in read_data(folder.parent / "faces" / "train").notes if each.code == "class-not-trained"]


NOISE = np.random.default_rng(0)


def write(folder, *names, count=4):
    write_images(folder, [f"{name}/{index}.png" for name in names for index in range(count)])


def test_read_metadata_reads_an_imagefolder(tmp_path):
    """Oracle: Hugging Face's layout, metadata.csv beside the images of a split."""
    write(tmp_path, "train", "test", count=6)
    for split in ("train", "test"):
        rows = [f"{index}.png,{('happy', 'sad')[index % 2]},{20 + index}" for index in range(6)]
        (tmp_path / split / "metadata.csv").write_text("\n".join(["file_name,label,age", *rows]))
    found = read_data(tmp_path)
    assert (found.faces.classes, found.faces.counts("test").tolist()) == (("happy", "sad"), [3, 3])
    assert (found.faces.source[0], found.faces.columns["age"].tolist()) == ("test/0.png", [*range(20, 26)] * 2)
    assert read_data(tmp_path).cached
    rows = [f"{split}/{at}.png,{('happy', 'sad')[at % 2]}" for split in ("test", "train") for at in range(6)]
    (tmp_path / "METADATA.CSV").write_text("\n".join(["file_name,label", *rows]))
    (tmp_path / "test" / "metadata.csv").unlink()
    assert read_data(tmp_path).fingerprint == found.fingerprint, "one table above both"
    (tmp_path / "METADATA.CSV").unlink()
    with raises(DataError, "data-unknown", "metadata.csv"):
        read_data(tmp_path)


def test_read_paths_notes_images_in_several_rows(tmp_path):
    """As crowd tables have them: a row for each person and image."""
    write(tmp_path, "images", count=6)
    rows = [f"images/{at % 4}.png,{'sad' if at % 4 == 0 and at else 'happy'},{at // 4}" for at in range(12)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,worker", *rows]))
    (note,) = read_data(tmp_path / "m.csv").notes
    assert (note.code, note[:40]) == ("images-repeated", "4 images are in several rows, 1 with dif")
    with warned("images-repeated", "4 images"):
        read(tmp_path / "m.csv", 48)
    # Oracle: FER2013 has a twentieth of copies, crowd tables more than half of their rows.
    images = [" ".join(map(str, NOISE.integers(0, 256, 64))) for _ in range(6)]
    rows = [f"{('sad', 'happy')[at % 5 > 1]},{images[at % 6]},{at}" for at in range(18)]
    (tmp_path / "t.csv").write_text("\n".join(["emotion,pixels,worker", *rows]))
    assert [note.code for note in read_data(tmp_path / "t.csv").notes] == ["images-repeated"]
    (tmp_path / "t.csv").write_text("\n".join(["emotion,pixels,worker", *rows[:8]]))
    assert not read_data(tmp_path / "t.csv").notes


def test_read_folders_reads_subfolders_and_own_classes(tmp_path):
    write(tmp_path / "people", "happy/S001", "happy/S002", "sad/S001", "sad/S002")
    assert read_data(tmp_path / "people").faces.classes == ("happy", "sad")
    write(tmp_path / "mixed", "happy/anna", "happy/val", "sad/anna", "sad/val")
    assert set(read_data(tmp_path / "mixed").faces.columns) == {"folder1"}
    write(tmp_path / "own", "bored", "contest", "tested positive", count=3)
    assert read_data(tmp_path / "own").faces.classes == ("bored", "contest", "tested positive")


def test_read_folders_ignores_folders_of_a_nas(tmp_path, monkeypatch):
    """Its thumbnails and what was deleted, beside the classes and within one."""
    write(tmp_path, "happy", "sad", "happy/@eaDir/0.png", "@eaDir", "#recycle/angry", "$RECYCLE.BIN")
    faces = read_data(tmp_path).faces
    assert (faces.classes, len(faces), len(image_files(tmp_path))) == (("happy", "sad"), 8, 8)
    Image.fromarray(NOISE.integers(0, 256, (48, 48), dtype=np.uint8)).save(tmp_path / "sad" / "b.jfif", "JPEG")
    assert len(image_files(tmp_path)) == len(read_data(tmp_path).faces) == 9
    monkeypatch.chdir(tmp_path)
    assert find_images(["."])[0] == [str(file.relative_to(tmp_path)) for file in image_files(tmp_path)]


def test_read_data_matches_both_forms_of_unicode(tmp_path):
    """Oracle: macOS's form of a name (NFD) and the other one (NFC) look the same."""
    for form, split in (("NFC", "train"), ("NFD", "test")):
        write(tmp_path / "data" / split, *(unicodedata.normalize(form, name) for name in ("fröhlich", "müde")))
    assert read_data(tmp_path / "data").faces.classes == ("fröhlich", "müde")
    named = parse_map(unicodedata.normalize("NFD", "fröhlich=happy,müde=sad"))
    assert read_data(tmp_path / "data", ReadOptions(class_map=named)).faces.classes == ("happy", "sad")
    table = tmp_path / "data" / "table.csv"
    composed, taken_apart = (unicodedata.normalize(form, "test/müde/0.png") for form in ("NFC", "NFD"))
    table.write_text(f"path,label\n{composed},sad\n{taken_apart},happy\n", encoding="utf-8")
    assert len(read_data(table).faces) == 2


def test_read_parquet_rejects_numbers_without_names(tmp_path):
    """RAF-DB's and AffectNet's order is not FER2013's."""
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    write(tmp_path, "noise", count=14)
    images = [{"bytes": file.read_bytes(), "path": None} for file in sorted((tmp_path / "noise").iterdir())]
    columns, file = {"image": images, "label": [index % 7 for index in range(14)]}, tmp_path / "faces.parquet"
    pq.write_table(pa.table({**columns, "split": ["train"] * 14}), file)
    with raises(DataError, "labels-numbered", "6=NAME"):
        read_data(file)
    order = parse_map("0=surprise,1=fear,2=disgust,3=happy,4=sad,5=angry,6=neutral")
    faces = read_data(file, ReadOptions(class_map=order)).faces
    assert faces.classes[faces.labels[0]] == "surprise"
    pq.write_table(pa.table({**columns, "Usage": ["Training"] * 7 + ["PublicTest"] * 7}), file)
    assert read_data(file).faces.classes[0] == "angry"


@pytest.mark.parametrize(("header", "codes"), [("emotion", []), ("label", ["labels-numbered"])])
def test_read_pixels_notes_numbers_read_as_fer2013s(tmp_path, header, codes):
    rows = [f'{index % 7},"{" ".join(map(str, NOISE.integers(0, 256, 2304)))}"' for index in range(14)]
    (tmp_path / "t.csv").write_text("\n".join([f"{header},pixels", *rows]))
    assert [note.code for note in read_data(tmp_path / "t.csv").notes] == codes
    (tmp_path / "t.csv").write_text("\n".join([f"{header},pixels", *rows, rows[0].replace("0,", "7,", 1)]))
    with raises(DataError, "labels", "label 7"):
        read_data(tmp_path / "t.csv")
