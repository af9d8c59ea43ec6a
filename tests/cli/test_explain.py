import json

import numpy as np
import pytest
from PIL import Image

from mien.explain.methods import METHODS


def one_line(answer, *parts):
    assert answer.code == 2, answer
    assert answer.out == ""
    assert answer.err.startswith("mien: ")
    assert len(answer.err.splitlines()) == 1, answer.err
    for part in parts:
        assert part in answer.err


@pytest.fixture
def files(face_folder):
    return sorted((face_folder / "test" / "happy").iterdir())[:2]


def test_every_method_gives_a_picture_beside_the_face_and_its_maps(mien, tiny_run, files, tmp_path):
    answer = mien("explain", "--model", tiny_run.path, *files, "--method", "all", "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    rows = json.loads(answer.out)
    assert [row["source"] for row in rows] == [str(file) for file in files]
    assert list(rows[0]["files"]) == list(METHODS)
    face = np.asarray(Image.open(files[0]))
    picture = np.asarray(Image.open(rows[0]["files"]["occlusion"]))
    assert picture.shape == (4 * 48, 2 * 4 * 48, 3)
    assert (picture[::4, : 4 * 48 : 4, 0] == face).all()
    with np.load(tmp_path / "out" / "maps.npz", allow_pickle=False) as stored:
        assert stored["maps"].shape == (len(METHODS), 2, 48, 48)
        assert stored["maps"].dtype == np.float32
        assert stored["methods"].tolist() == list(METHODS)
        assert (stored["images"][0] == face).all()
        chosen = stored["classes"][stored["targets"][0]]
        assert chosen == rows[0]["class"]
        assert stored["probabilities"].argmax(axis=1).tolist() == stored["targets"].tolist()
    assert len(list((tmp_path / "out").iterdir())) == 2 * len(METHODS) + 1


def test_a_model_file_alone_is_enough_for_occlusion(mien, tiny_run, files, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(tiny_run.model.read_bytes())
    answer = mien("explain", "--model", model, files[0], "--out", tmp_path / "out", "--class", "sad")
    assert answer.code == 0, answer.err
    assert "sad" in answer.out
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == [f"{files[0].stem}_occlusion.png", "maps.npz"]
    one_line(
        mien("explain", "--model", model, files[0], "--out", tmp_path / "other", "--method", "gradcam"),
        *("--method occlusion only", "gradcam needs a run folder"),
    )
    assert not (tmp_path / "other").exists()


def test_mistakes_are_one_line_and_leave_nothing(mien, tiny_run, files, tmp_path):
    def attempt(*extra, images=files, out=tmp_path / "out"):
        return mien("explain", "--model", tiny_run.path, *images, "--out", out, *extra)

    one_line(attempt("--method", "grad-cam"), "Did you mean 'gradcam'")
    one_line(attempt("--class", "hapy"), "Did you mean 'happy'")
    one_line(attempt(images=[tmp_path / "none.png"]), "none.png does not exist")
    (tmp_path / "empty").mkdir()
    one_line(attempt(images=[tmp_path / "empty"]), "holds no images")
    one_line(attempt(images=[files[0], files[0].parent], out=files[0].parent / "maps"), "would be read as faces")
    assert not (files[0].parent / "maps").exists()
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"x")
    one_line(attempt(images=[*files, bad]), "bad.png")
    one_line(attempt(out=bad), "is a file")
    assert not (tmp_path / "out").exists()


def test_earlier_maps_are_replaced_only_where_that_is_said(mien, tiny_run, files, tmp_path):
    words = ("explain", "--model", tiny_run.path, files[0], "--out", tmp_path / "out")
    assert mien(*words).code == 0
    maps = tmp_path / "out" / "maps.npz"
    before = maps.read_bytes()
    one_line(mien(*words, "--class", "sad"), "maps.npz exists already", "--overwrite")
    assert maps.read_bytes() == before
    assert mien(*words, "--class", "sad", "--overwrite").code == 0
    assert maps.read_bytes() != before
    # Pictures are written before maps.npz: a command that was stopped leaves them alone.
    maps.unlink()
    one_line(mien(*words), ".png exists already")
    assert not maps.exists()
