import json

import numpy as np
import pytest

from mien.data.read import read_faces
from mien.inference.classifier import load


def one_line(answer, *parts):
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.startswith("mien: ")
    assert len(answer.err.splitlines()) == 1, answer.err
    for part in parts:
        assert part in answer.err


def test_labelled_faces(mien, tiny_run, face_folder, tmp_path):
    out = tmp_path / "vectors.npz"
    answer = mien("embed", "--model", tiny_run.model, face_folder, "--out", out, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["dimensions"] == 8
    faces = read_faces(face_folder)
    of_test = faces.split == "test"
    assert f"{of_test.sum()} faces of the test split are left out" in answer.err
    faces = faces.subset(~of_test)
    with np.load(out, allow_pickle=False) as stored:
        assert stored["features"].dtype == np.float32
        assert stored["features"] == pytest.approx(load(tiny_run.path).features(faces.images), abs=1e-5)
        for name in ("rows", "source", "labels", "split"):
            assert stored[name].tolist() == getattr(faces, name).tolist()
        assert tuple(stored["classes"]) == faces.classes


def test_data_of_the_test_split_alone_is_refused(mien, tiny_run, faces, tmp_path):
    from mien.data.parquet import write_parquet

    write_parquet(faces.of_split("test"), tmp_path / "faces.parquet")
    out = tmp_path / "vectors.npz"
    one_line(mien("embed", "--model", tiny_run.path, tmp_path / "faces.parquet", "--out", out), "only mien evaluate")
    assert not out.exists()


def test_a_folder_of_crops_has_no_labels(mien, tiny_run, face_folder, tmp_path):
    out = tmp_path / "vectors.npz"
    folder = face_folder / "test" / "happy"
    answer = mien("embed", "--model", tiny_run.path, folder, "--out", out)
    assert answer.code == 0, answer.err
    count = len(list(folder.iterdir()))
    assert f"{count} faces, 8 numbers each" in answer.out
    with np.load(out, allow_pickle=False) as stored:
        assert sorted(stored.files) == ["features", "rows", "source"]
        assert stored["source"].tolist() == sorted(str(file) for file in folder.iterdir())
    one = mien("embed", "--model", tiny_run.path, sorted(folder.iterdir())[0], "--out", out, "--json")
    assert json.loads(one.out)["faces"] == 1


def test_bad_images_are_left_out_when_asked(mien, tiny_run, face_folder, tmp_path):
    folder = tmp_path / "crops"
    folder.mkdir()
    good = sorted((face_folder / "test" / "happy").iterdir())[0]
    (folder / "a.png").write_bytes(good.read_bytes())
    (folder / "b.png").write_bytes(b"x")
    out = tmp_path / "vectors.npz"
    one_line(mien("embed", "--model", tiny_run.path, folder, "--out", out), "b.png")
    assert not out.exists()
    answer = mien("embed", "--model", tiny_run.path, folder, "--out", out, "--skip-bad", "--json")
    assert json.loads(answer.out)["faces"] == 1
    assert "left out" in answer.err
    (folder / "a.png").unlink()
    one_line_after_remark = mien("embed", "--model", tiny_run.path, folder, "--out", tmp_path / "n.npz", "--skip-bad")
    assert one_line_after_remark.code == 2
    assert one_line_after_remark.err.splitlines()[-1].endswith("holds no image that can be read.")


def test_mistakes_are_one_line(mien, tiny_run, face_folder, tmp_path):
    one_line(mien("embed", "--model", tiny_run.path, tmp_path / "none", "--out", tmp_path / "v.npz"), "does not exist")
    one_line(mien("embed", "--model", tiny_run.path, face_folder, "--out", tmp_path / "v.csv"), ".npz")
    one_line(mien("embed", "--model", tmp_path, face_folder, "--out", tmp_path / "v.npz"), "holds no model")
    assert not list(tmp_path.iterdir())
