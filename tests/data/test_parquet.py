import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mien.base.errors import DataError
from mien.data.dataset import Dataset
from mien.data.parquet import write_parquet
from mien.data.read import ReadOptions, load_dataset, read_data
from support import encoded, raises

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


def write_foreign(path: Path, images: np.ndarray, features: dict[str, Any] | None = None, **columns: Any) -> Path:
    """A parquet file as others write it."""
    table = pa.table({"image": [{"bytes": encoded(image), "path": None} for image in images], **columns})
    if features:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=7)
    return path


@pytest.fixture
def faces(noise):
    """Thirty faces with every kind of column, classes in an order of their own and one class without faces."""
    generator = np.random.default_rng(0)
    columns = {"votes": generator.integers(0, 10, (30, 10)), "weight": generator.random(30)}
    columns |= {"good": np.arange(30) % 3 == 0, "person": np.array([f"p{row}" for row in range(30)])}
    classes, split = ("positive", "Anger", "unseen"), np.resize(np.array(["train", "test"]), 30)
    source = np.array([f"fer2013.csv line {row}" for row in range(30)])
    return Dataset(noise(30), np.arange(30) % 2, classes, split, source, np.arange(30) * 5, columns=columns)


def test_read_parquet_reads_what_write_parquet_wrote(faces, tmp_path):
    write_parquet(faces, tmp_path / "faces.parquet", split_origin="as in a test")
    result = read_data(tmp_path / "faces.parquet")
    assert result.fingerprint == faces.fingerprint
    for each in fields(faces):
        np.testing.assert_equal(getattr(result.faces, each.name), getattr(faces, each.name))
    assert {name: each.dtype.kind for name, each in result.faces.columns.items()} == {
        "votes": "i", "weight": "f", "good": "b", "person": "U"
    }  # fmt: skip
    assert (result.shape, result.split_origin) == ("parquet", "as in a test")
    # A column without a name, as of an index, holds no groups.
    write_foreign(tmp_path / "foreign.parquet", faces.images, label=[*"ab"] * 15, **{"": [*range(10)] * 3})
    assert "group" not in read_data(tmp_path / "foreign.parquet").split_origin


def test_write_parquet_keeps_an_existing_file(faces, tmp_path):
    path = tmp_path / "faces.parquet"
    path.write_bytes(b"precious")
    with raises(DataError, "file-exists", "faces.parquet"):
        write_parquet(faces, path)
    assert path.read_bytes() == b"precious"
    write_parquet(faces, path, overwrite=True)
    assert len(load_dataset(path)) == 30
    write_parquet(replace(faces, columns={"label": faces.rows}), tmp_path / "reserved.parquet")
    assert load_dataset(tmp_path / "reserved.parquet").columns["label_"].tolist() == faces.rows.tolist()


def test_read_parquet_reads_class_names_of_hugging_face(tmp_path, noise):
    names, labels = {"label": {"names": ["sadness", "happiness", "contempt"], "_type": "ClassLabel"}}, [0, 1, 2, 1] * 5
    for name, seed in (("train", 0), ("validation", 1), ("test", 2)):
        write_foreign(tmp_path / f"hf/data/{name}-00000-of-00001.parquet", noise(20, seed=seed), names, label=labels)
    result = read_data(tmp_path / "hf")
    assert (result.shape, result.split_origin) == ("parquet", "as in the file names")
    assert result.faces.classes == ("happy", "sad", "contempt")
    for split in ("train", "validation", "test"):
        part = result.faces.of_split(split)
        assert [part.classes[label] for label in part.labels] == ["sad", "happy", "contempt", "happy"] * 5
        assert part.source[3] == f"data/{split}-00000-of-00001.parquet row 3"
    assert np.array_equal(result.faces.of_split("train").images, noise(20, seed=0))
    # As the Hub converts data sets; pandas makes floats of integers with gaps.
    for split in ("train", "test"):
        part = tmp_path / f"hub/default/{split}/0000.parquet"
        write_foreign(part, noise(20, seed=len(split)), names, label=[float(each) for each in labels])
    assert load_dataset(tmp_path / "hub").classes == ("happy", "sad", "contempt")


def test_read_parquet_takes_labels_as_text_and_numbers(tmp_path, noise, monkeypatch):
    text = load_dataset(write_foreign(tmp_path / "a.parquet", noise(4), emotion=["Anger", "joy", "joy", "Neutral"]))
    assert [text.classes[label] for label in text.labels] == ["angry", "happy", "happy", "neutral"]
    numbers = load_dataset(write_foreign(tmp_path / "b.parquet", noise(4), label=[0, 3, 3, 6]))
    assert [numbers.classes[label] for label in numbers.labels] == ["angry", "happy", "happy", "neutral"]
    with raises(DataError, "labels", "c.parquet row 2", "label 9", "0 angry"):
        load_dataset(write_foreign(tmp_path / "c.parquet", noise(4), label=[0, 3, 9, 6]))
    mapped = load_dataset(tmp_path / "c.parquet", class_map={"9": "contempt"})
    assert mapped.classes == ("angry", "happy", "neutral", "contempt")
    monkeypatch.setattr("mien.data.table.decode_images", None)  # refused before an image is decoded
    with raises(DataError, "labels", "d.parquet row 2"):
        load_dataset(write_foreign(tmp_path / "d.parquet", noise(4), label=["sad", "fear", " ", "sad"]))


def test_read_parquet_numbers_faces_of_two_files_again(tmp_path, faces):
    """Both number their faces alike, so that the numbers name none; those of one file do."""
    for name in ("a", "b"):
        write_parquet(faces, tmp_path / "two" / f"{name}.parquet")
    both = load_dataset(tmp_path / "two")
    assert (both.rows.tolist(), both.columns["row_"].tolist()) == (list(range(2 * len(faces))), faces.rows.tolist() * 2)


def test_read_parquet_keeps_the_types_of_columns(tmp_path, noise):
    path = write_foreign(
        tmp_path / "a.parquet",
        noise(4),
        label=[0, 1, 0, 1],
        row=[7, 7, 8, 9],
        source=["a", "b", "c", "d"],
        ragged=[[1], [1, 2], [], [3]],
        votes_history=[[1], [1, 2], [], [3]],  # alone: no votes
        age=[1, None, 3, 4],
        camera=pa.array(["x", None, "y", "x"]).dictionary_encode(),
        place=pa.array(["x", None, "y", "x"], type=pa.string_view()),
        day=pa.array([18262, None, 18263, 18262], type=pa.date32()),
        price=pa.array([1, None, 3, 4], type=pa.decimal128(4, 1)),
    )
    faces = load_dataset(path)
    assert faces.rows.tolist() == [0, 1, 2, 3]  # 7 occurs twice, so it names no face
    assert (faces.columns["row_"].tolist(), faces.columns["source_"].tolist()) == ([7, 7, 8, 9], ["a", "b", "c", "d"])
    assert not {"ragged", "votes_history"} & faces.columns.keys()
    assert faces.columns["camera"].tolist() == faces.columns["place"].tolist() == ["x", "", "y", "x"]
    assert faces.columns["day"].tolist() == ["2020-01-01", "", "2020-01-02", "2020-01-01"]
    for name in ("age", "price"):
        assert np.array_equal(faces.columns[name], [1, np.nan, 3, 4], equal_nan=True)
    data = {"label": ["a", "b", "a", "b"], "who": ["p", "q", "p", "q"]}
    write_foreign(tmp_path / "data" / "0.parquet", noise(4), **data)
    alone, empty = load_dataset(tmp_path / "data"), {name: pa.array([], type=pa.string()) for name in data}
    pq.write_table(pa.table({"image": pa.array([], type=pa.binary()), **empty}), tmp_path / "data" / "1.parquet")
    assert load_dataset(tmp_path / "data").columns["who"].tolist() == alone.columns["who"].tolist() == data["who"]


def test_read_parquet_names_a_bad_image_or_skips_it(tmp_path, noise):
    path, contents = tmp_path / "a.parquet", [encoded(image) for image in noise(10)]
    contents[4] = contents[4][:500]
    contents[6] = b""
    splits = ["train"] * 5 + ["validation"] * 5
    table = {
        "image": [{"bytes": each or None, "path": "x.png"} for each in contents], "label": ["a", "b"] * 5,
        "row": range(10), "split": splits, "age": range(20, 30),
    }  # fmt: skip
    pq.write_table(pa.table(table), path)
    with raises(DataError, "image-unreadable", "a.parquet row 6", "x.png"):
        read_data(path)
    result = read_data(path, ReadOptions(skip_bad=True))
    assert [name for name, _ in result.skipped] == ["a.parquet row 4", "a.parquet row 6"]
    kept = [0, 1, 2, 3, 5, 7, 8, 9]
    assert result.faces.rows.tolist() == kept
    assert result.faces.source.tolist() == [f"a.parquet row {row}" for row in kept]
    assert result.faces.labels.tolist() == [row % 2 for row in kept]
    assert result.faces.split.tolist() == [splits[row] for row in kept]
    assert result.faces.columns["age"].tolist() == [20 + row for row in kept]
    assert np.array_equal(result.faces.images, np.delete(noise(10), [4, 6], axis=0))
