import numpy as np
import pytest
from PIL import Image

from mien.data.class_names import ClassNames
from mien.data.csv_table import read_header
from mien.data.read import load_dataset


@pytest.mark.parametrize(("name", "text", "encoding"), [
    ("unix.csv", "path,label\na.png,happy\nb.png,sad\n", "utf-8"),
    ("windows.CSV", "path;label\r\na.png;happy\r\nb.png;sad\r\n", "utf-8-sig"),
    ("excel_unicode.txt", "path\tlabel\r\na.png\thappy\r\nb.png\tsad\r\n", "utf-16"),
    ("excel_separator.csv", "sep=;\r\npath;label\r\na.png;happy\r\nb.png;sad\r\n", "utf-8"),
    ("mac.csv", "path,label\ra.png,happy\rb.png,sad\r", "utf-8"),
    ("r.csv", '"","path","label"\n"1","a.png","happy"\n"2","b.png","sad"\n', "utf-8"),
    ("pandas.csv", ",path,label\n0,a.png,happy\n1,b.png,sad\n", "utf-8"),
])  # fmt: skip
def test_read_paths_reads_tables_of_every_program(tmp_path, noise, name, text, encoding):
    """Oracle: the two images and their labels."""
    for file, image in zip("ab", noise(2), strict=True):
        Image.fromarray(image).save(tmp_path / f"{file}.png")
    (tmp_path / name).write_bytes(text.encode(encoding))
    faces = load_dataset(tmp_path / name)
    assert np.array_equal(faces.images, noise(2))
    assert [faces.classes[label] for label in faces.labels] == ["happy", "sad"]
    assert not faces.columns


def test_read_pixels_reads_utf_16(tmp_path, noise, as_pixels):
    rows = [f"{3 + at % 2}\t{as_pixels(image)}" for at, image in enumerate(noise(6))]
    (tmp_path / "fer.txt").write_text("\r\n".join(["emotion\tpixels", *rows]), encoding="utf-16")
    assert np.array_equal(load_dataset(tmp_path / "fer.txt").images, noise(6))


def test_class_names_apply_the_map_before_synonyms():
    names = ClassNames({"Contempt": "disgust", "joy": "Surprise", "3": "sad"})
    assert names.name(" contempt ") == "disgust"
    assert names.name("Joy") == "surprise"
    assert names.name("Happiness") == "happy"
    assert names.name("bored") == "bored"
    assert names.numbered("3", "line 1") == "sad"
    assert names.numbered("0", "line 1") == "angry"
    assert names.numbered("Anger", "line 1") == "angry"
    names.finish("x.csv")


@pytest.mark.parametrize(("line", "label", "pixels", "path", "split"), [
    ("emotion,pixels,Usage", 0, 1, None, 2),
    ("emotion, Usage, pixels", 0, 2, None, 1),
    ('"Path";"Label"', 1, None, 0, None),
    ("\ufeffFile\tExpression\tSet", 1, None, 0, 2),
    ("filename,class,usage,age", 1, None, 0, 2),
])  # fmt: skip
def test_read_header_ignores_case_spaces_quotes_and_delimiter(tmp_path, line, label, pixels, path, split):
    file = tmp_path / "table.csv"
    file.write_text(f"{line}\n", encoding="utf-8")
    header = read_header(file)
    assert (header.label, header.pixels, header.path, header.split) == (label, pixels, path, split)
