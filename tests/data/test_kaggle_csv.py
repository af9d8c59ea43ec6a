from pathlib import Path

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.base.labels import EXPRESSIONS
from mien.data.read import ReadOptions, read_data
from support import raises

USAGE = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
HEADERS = {"fer2013.csv": "emotion,pixels,Usage", "icml_face_data.csv": "emotion, Usage, pixels"}


@pytest.mark.parametrize("name", HEADERS)
def test_read_pixels_equals_the_parquet_for_both_kaggle_tables(name, fer2013_faces, tmp_path, write_csv, as_pixels):
    expected, rows = fer2013_faces.subset(np.r_[:60, -60:0]), []
    for image, label, split in zip(expected.images, expected.labels, expected.split, strict=True):
        usage, pixels = USAGE[split], as_pixels(image)
        rows.append((label, pixels, usage) if name == "fer2013.csv" else (label, usage, pixels))
    result = read_data(write_csv(tmp_path / name, HEADERS[name], rows))
    assert (result.shape, result.split_origin) == ("Kaggle CSV", "official FER2013 splits")
    faces = result.faces
    assert np.array_equal(faces.images, expected.images)
    assert [faces.classes[label] for label in faces.labels] == [EXPRESSIONS[label] for label in expected.labels]
    assert np.array_equal(faces.split, expected.split)
    assert (faces.rows.tolist(), faces.source[0]) == (list(range(120)), f"{name} line 2")
    assert faces.source[-1] == f"{name} line 121"


@pytest.fixture
def table(tmp_path, noise, write_csv, as_pixels):
    """Writes a table of 40 faces with one line changed: ``table(line, text)``."""

    def write(line: int | None = None, changed: str | None = None, header: str = "emotion,pixels,Usage") -> Path:
        rows = [(row % 7, as_pixels(image), "Training") for row, image in enumerate(noise(40))]
        path = write_csv(tmp_path / "fer2013.csv", header, rows)
        if line is not None:
            lines = path.read_text().splitlines()
            lines[line - 1] = changed
            path.write_text("\n".join(lines) + "\n")
        return path

    return write


def row_with(pixels: list[object], label: object = 3, usage: str = "Training") -> str:
    return f"{label},{' '.join(map(str, pixels))},{usage}"


GOOD = [7] * 2304


def test_skip_bad_lists_rows_of_pixels(table):
    path = table(12, row_with([300, *GOOD[1:]]) + "\n")
    for cached in (False, True):
        result = read_data(path, ReadOptions(skip_bad=True))
        assert (result.cached, len(result.faces), [note.code for note in result.notes]) == (cached, 39, ["lines-empty"])
        assert 10 not in result.faces.rows
        ((name, reason),) = result.skipped
        assert name == "fer2013.csv line 12"
        assert reason.startswith("fer2013.csv line 12: pixel 300 is outside 0..255.")
    cut = read_data(table(41, row_with(GOOD)[:4000]), ReadOptions(skip_bad=True))
    assert (len(cut.faces), cut.notes, len(cut.skipped)) == (39, (), 1), "a download that broke off"
    for code, row in (("labels", row_with(GOOD, label=9)), ("split-unknown", row_with(GOOD, usage="Holdout"))):
        with raises(DataError, code):
            read_data(table(12, row), ReadOptions(skip_bad=True))


def test_read_pixels_skips_damaged_lines_only(table):
    """Oracle: the other rows. A quote that is not closed, a byte that is no text, and a row that was cut short."""
    path = table()
    path.write_bytes(path.read_bytes().replace(b"Usage", b"person").replace(b"Training", "René".encode("latin-1")))
    lines = path.read_bytes().splitlines()
    lines[3:8:2] = b'3,"70 80 90', lines[5].replace(b" ", b"\xe9", 1), lines[7][:4000]
    path.write_bytes(b"\n".join(lines))
    result = read_data(path, ReadOptions(skip_bad=True))
    assert [name for name, _ in result.skipped] == [f"fer2013.csv line {line}" for line in (4, 6, 8)]
    assert (result.faces.rows.tolist(), result.notes) == ([0, 1, 3, 5, *range(7, 40)], ())
    for kept in (lines[:1], [lines[0], *lines[3:8:2]]):
        path.write_bytes(b"\n".join(kept))
        with raises(DataError, "data-empty", "fer2013.csv"):
            read_data(path, ReadOptions(skip_bad=True))


def test_read_pixels_cuts_a_table_without_usage(table):
    path = table()
    lines = [line.rpartition(",")[0] for line in path.read_text().splitlines()]
    path.write_text("\r\n".join(lines) + "\r\n\r\n")  # line ends of Windows, a blank line at the end
    result = read_data(path)
    assert result.split_origin.startswith("stratified cut of 15% of train")
    assert (len(result.faces), result.notes, set(result.faces.split)) == (40, (), {"train", "validation"})
    path = table()
    plain = read_data(path).faces
    header, *lines = path.read_text().splitlines()
    # csv refuses a field of more than 131,072 characters, which a face of 224 px has.
    quoted = [",".join(f'"{each:140000}"' for each in line.split(",")) for line in lines]
    path.write_text("\n".join([f"\ufeff{header}", *quoted]), encoding="utf-8")
    assert read_data(path).fingerprint == plain.fingerprint


@pytest.mark.parametrize("form", ["{:g}", "{:.3f}"])
@pytest.mark.parametrize(
    ("before", "between", "after"), [("", " ", ""), ("", "  ", ""), ("[", ", ", "]"), ("", ",", ""), ("", ";", "")]
)
def test_read_pixels_reads_what_pandas_and_numpy_write(table, form, before, between, after):
    """Oracle: the plain table."""
    path = table()
    plain = read_data(path).faces
    header, *lines = path.read_text().splitlines()
    fields = [line.split(",") for line in lines]
    pixels = [before + between.join(form.format(float(each)) for each in row[1].split()) + after for row in fields]
    rows = [f'{label}.0,"{each}",{usage}' for (label, _, usage), each in zip(fields, pixels, strict=True)]
    path.write_text("\n".join([header.replace("pixels", ' "pixels"'), *rows]))
    assert read_data(path).fingerprint == plain.fingerprint
    assert "contempt" in read_data(path, ReadOptions(class_map={fields[0][0]: "contempt"})).faces.classes


def test_read_pixels_applies_the_map(table, tmp_path, noise, write_csv, as_pixels):
    path = table(12, row_with(GOOD, label=7))
    faces = read_data(path, ReadOptions(class_map={"7": "contempt", "disgust": "anger"})).faces
    assert len(read_data(path, ReadOptions(class_map={"7": "Gloom", "disgust": "gloom"})).faces.classes) == 7
    assert faces.classes == ("angry", "fear", "happy", "sad", "surprise", "neutral", "contempt")
    assert [faces.classes[faces.labels[row]] for row in (10, 1)] == ["contempt", "angry"]
    with raises(DataError, "label-scheme", "--map", "'hapy'", "'happy'"):
        read_data(path, ReadOptions(class_map={"7": "contempt", "hapy": "happy"}))
    from mien.base.preprocess import grey_square

    images = noise(6, side=64)
    rows = [(row % 2, as_pixels(image), "train") for row, image in enumerate(images)]
    path = write_csv(tmp_path / "big.csv", "label,pixels,split", rows)
    assert np.array_equal(read_data(path, ReadOptions(size_px=64)).faces.images, images)
    assert np.array_equal(read_data(path).faces.images, [grey_square(image, 48) for image in images])
