"""Layouts that people had and that other tools read wrongly without a word. Images are noise."""

import unicodedata

import numpy as np
import pytest
from PIL import Image

from mien.api.inputs import read
from mien.base.errors import DataError
from mien.base.labels import parse_map
from mien.data.read import ReadOptions, read_data
from mien.inference.predictor import image_files
from support import raises, warned

NOISE = np.random.default_rng(0)


def write(folder, *names, count=4):
    for name in names:
        for index in range(count):
            file = folder / name / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(NOISE.integers(0, 256, (48, 48), dtype=np.uint8)).save(file)


def crossed(first, second):
    return [f"{one}/{other}" for one in first for other in second]


def test_read_metadata_reads_an_imagefolder(tmp_path):
    """Oracle: Hugging Face's layout, metadata.csv beside the images of a split."""
    write(tmp_path, "train", "test", count=6)
    for split in ("train", "test"):
        rows = [f"{index}.png,{('happy', 'sad')[index % 2]},{20 + index}" for index in range(6)]
        (tmp_path / split / "metadata.csv").write_text("\n".join(["file_name,label,age", *rows]))
    found = read_data(tmp_path)
    assert found.faces.classes == ("happy", "sad")
    assert found.faces.counts("test").tolist() == [3, 3]
    assert found.faces.source[0] == "test/0.png"
    assert found.faces.columns["age"].tolist() == [*range(20, 26)] * 2
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


def test_make_dataset_notes_votes_in_rows_of_pixels(tmp_path):
    """Oracle: FER2013 has a twentieth of copies, crowd tables more than half of their rows."""
    images = [" ".join(map(str, NOISE.integers(0, 256, 64))) for _ in range(6)]
    rows = [f"{('sad', 'happy')[at % 5 > 1]},{images[at % 6]},{at}" for at in range(18)]
    (tmp_path / "t.csv").write_text("\n".join(["emotion,pixels,worker", *rows]))
    assert [note.code for note in read_data(tmp_path / "t.csv").notes] == ["images-repeated"]
    (tmp_path / "t.csv").write_text("\n".join(["emotion,pixels,worker", *rows[:8]]))
    assert not read_data(tmp_path / "t.csv").notes


def test_read_paths_keeps_ids_with_leading_zeros_as_text(tmp_path):
    write(tmp_path, "images", count=4)
    rows = [f"images/{at}.png,{('happy', 'sad')[at % 2]},{at + 1:03},{at + 1}" for at in range(4)]
    (tmp_path / "m.csv").write_text("\n".join(["path,label,id,number", *rows]))
    faces = read_data(tmp_path / "m.csv").faces
    assert faces.columns["id"].tolist() == ["001", "002", "003", "004"]
    assert faces.columns["number"].tolist() == [1, 2, 3, 4]


def test_read_folders_reads_subfolders_and_own_classes(tmp_path):
    write(tmp_path / "people", *crossed(("happy", "sad"), ("S001", "S002")))
    assert read_data(tmp_path / "people").faces.classes == ("happy", "sad")
    write(tmp_path / "mixed", *crossed(("happy", "sad"), ("anna", "val")))
    assert set(read_data(tmp_path / "mixed").faces.columns) == {"folder1"}
    write(tmp_path / "own", "bored", "contest", "tested positive", count=3)
    assert read_data(tmp_path / "own").faces.classes == ("bored", "contest", "tested positive")


def test_read_folders_ignores_folders_of_a_nas(tmp_path):
    """Its thumbnails and what was deleted, beside the classes and within one."""
    write(tmp_path, "happy", "sad", "happy/@eaDir/0.png", "@eaDir", "#recycle/angry", "$RECYCLE.BIN")
    faces = read_data(tmp_path).faces
    assert (faces.classes, len(faces)) == (("happy", "sad"), 8)
    assert len(image_files(tmp_path)) == 8
    Image.fromarray(NOISE.integers(0, 256, (48, 48), dtype=np.uint8)).save(tmp_path / "sad" / "b.jfif", "JPEG")
    assert len(image_files(tmp_path)) == len(read_data(tmp_path).faces) == 9


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
    columns = {"image": images, "label": [index % 7 for index in range(14)]}
    file = tmp_path / "faces.parquet"
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
