import json

import numpy as np
import pytest

from mien.data.read import load_dataset
from mien.inference.predictor import load
from support import noted, refused


def test_labelled_faces(mien, tiny_run, face_folder, tmp_path):
    out = tmp_path / "vectors.npz"
    answer = mien("embed", "--model", tiny_run.model, face_folder, "--out", out, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["dimensions"] == 8
    faces = load_dataset(face_folder)
    of_test = faces.split == "test"
    noted(answer, "test-split-skipped", of_test.sum())
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
    refused(mien("embed", "--model", tiny_run.path, tmp_path / "faces.parquet", "--out", out), "split-test")
    assert not out.exists()


def test_a_folder_of_crops_has_no_labels(mien, tiny_run, face_folder, tmp_path):
    out = tmp_path / "vectors.npz"
    folder = face_folder / "test" / "happy"
    answer = mien("embed", "--model", tiny_run.path, folder, "--out", out)
    assert answer.code == 0, answer.err
    count = len(list(folder.iterdir()))
    assert f"{count} faces, 8 features each" in answer.out
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
    refused(mien("embed", "--model", tiny_run.path, folder, "--out", out), "image-format", "b.png")
    assert not out.exists()
    answer = mien("embed", "--model", tiny_run.path, folder, "--out", out, "--skip-bad", "--json")
    assert json.loads(answer.out)["faces"] == 1
    assert "skipped" in answer.err
    (folder / "a.png").unlink()
    one_line_after_remark = mien("embed", "--model", tiny_run.path, folder, "--out", tmp_path / "n.npz", "--skip-bad")
    assert one_line_after_remark.code == 2
    refused(one_line_after_remark, "no-images", folder)


def test_mistakes_are_one_line(mien, tiny_run, face_folder, tmp_path):
    refused(mien("embed", "--model", tiny_run.path, tmp_path / "none", "--out", tmp_path / "v.npz"), "data-missing")
    refused(mien("embed", "--model", tiny_run.path, face_folder, "--out", tmp_path / "v.csv"), "out-suffix", ".npz")
    refused(mien("embed", "--model", tmp_path, face_folder, "--out", tmp_path / "v.npz"), "model-missing")
    assert not list(tmp_path.iterdir())
