"""Tables as CSV files: rows of image paths, and files that are damaged or of another program."""

import numpy as np
import pytest

from mien.data.read import ReadOptions, load_dataset, read_data
from support import write_images


@pytest.fixture
def images(tmp_path, noise):
    """Twelve grey images below ``images/``; returns their pixels."""
    write_images(tmp_path, [f"images/{index}.png" for index in range(12)])
    return noise(12)


def rows(*extra: list[object]) -> list[list[object]]:
    """Path, label, then the extra columns."""
    base = [[f"images/{index}.png", ("happiness", "Sad")[index % 2]] for index in range(12)]
    return [[*row, *(column[index] for column in extra)] for index, row in enumerate(base)]


def test_read_paths_reads_labels_splits_and_columns(tmp_path, images, write_csv):
    splits, ages = ["train"] * 6 + ["val"] * 3 + ["test"] * 3, list(range(20, 32))
    scores, people = [index / 4 for index in range(12)], [f"p{index % 3}" for index in range(12)]
    lines = rows(splits, ages, scores, people, ages)
    result = read_data(write_csv(tmp_path / "labels.csv", "File, Emotion ,SET,age,score,person,row", lines))
    faces = result.faces
    assert (result.shape, result.split_origin) == ("CSV of image paths", "as in the table")
    assert np.array_equal(faces.images, images)
    assert (faces.classes, faces.labels.tolist()) == (("happy", "sad"), [0, 1] * 6)
    assert faces.split.tolist() == ["train"] * 6 + ["validation"] * 3 + ["test"] * 3
    assert faces.source.tolist() == [f"images/{index}.png" for index in range(12)]
    assert faces.rows.tolist() == list(range(12))
    columns = {name: values.tolist() for name, values in faces.columns.items()}
    assert columns == {"age": ages, "score": scores, "person": people, "row_": ages}


def test_read_paths_takes_windows_paths_and_any_case_of_classes(tmp_path, images, noise, as_pixels):
    lines = ["path, label", "images\\0.png, Bored", f"{tmp_path / 'images/1.png'}, sad", '"images/2.png", "BORED "']
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    faces = read_data(tmp_path / "labels.csv").faces
    assert np.array_equal(faces.images, images[:3])
    assert faces.counts().tolist() == [1, 2]
    rows = [f"{3 + at % 2}\t{as_pixels(image)}" for at, image in enumerate(noise(6))]
    (tmp_path / "fer.txt").write_text("\r\n".join(["emotion\tpixels", *rows]), encoding="utf-16")
    assert np.array_equal(load_dataset(tmp_path / "fer.txt").images, noise(6))


def test_read_data_uses_the_only_table_of_a_folder(tmp_path, images, write_csv):
    folder = tmp_path / "own"
    folder.mkdir()
    (tmp_path / "images").rename(folder / "images")
    for person in ("anna", "ben"):  # folders inside are nobody's classes
        (folder / "images" / person).mkdir()
    write_csv(folder / "labels.csv", "path,label", rows())
    assert len(read_data(folder).faces) == 12


def test_skip_bad_drops_missing_images_with_their_columns(tmp_path, images, write_csv):
    lines = [*rows(list(range(12)), ["train", "train", "val"] * 4), ["", "happy", 1, "val"]]
    path = write_csv(tmp_path / "labels.csv", "path,label,age,split", lines)
    (tmp_path / "images/3.png").unlink()
    result = read_data(path, ReadOptions(skip_bad=True))
    assert result.faces.split.tolist() == ["train", "train", "validation", "train", "validation"] + [
        "train", "train", "validation",
    ] * 2  # fmt: skip
    assert {name for name, _ in result.skipped} == {"labels.csv line 5", "labels.csv line 14"}
    assert result.faces.columns["age"].tolist() == [*range(3), *range(4, 12)]
    assert np.array_equal(result.faces.images, np.delete(images, 3, axis=0))


def test_cache_misses_when_an_image_of_a_table_changes(tmp_path, images, noise, write_csv):
    path = write_csv(tmp_path / "labels.csv", "path,label", rows())
    before = read_data(path).fingerprint
    assert read_data(path).cached
    write_images(tmp_path, {"images/0.png": noise(1, seed=5)[0]})
    after = read_data(path)
    assert not after.cached
    assert after.fingerprint != before


@pytest.mark.parametrize(("name", "text", "encoding"), [
    ("unix.csv", "path,label\na.png,happy\nb.png,sad\n", "utf-8"),
    ("windows.CSV", "path;label\r\na.png;happy\r\nb.png;sad\r\n", "utf-8-sig"),
    ("excel_unicode.txt", "path\tlabel\r\na.png\thappy\r\nb.png\tsad\r\n", "utf-16"),
    ("excel_separator.csv", "sep=;\r\npath;label\r\na.png;happy\r\nb.png;sad\r\n", "utf-8"),
    ("mac.csv", "filename,class\ra.png,happy\rb.png,sad\r", "utf-8"),
    ("r.csv", '"","path","label"\n"1","a.png","happy"\n"2","b.png","sad"\n', "utf-8"),
    ("pandas.csv", ",path,expression\n0,a.png,happy\n1,b.png,sad\n", "utf-8"),
])  # fmt: skip
def test_read_paths_reads_tables_of_every_program(tmp_path, noise, name, text, encoding):
    """Oracle: the two images and their labels."""
    write_images(tmp_path, ["a.png", "b.png"])
    (tmp_path / name).write_bytes(text.encode(encoding))
    faces = load_dataset(tmp_path / name)
    assert np.array_equal(faces.images, noise(2))
    assert [faces.classes[label] for label in faces.labels] == ["happy", "sad"]
    assert not faces.columns
