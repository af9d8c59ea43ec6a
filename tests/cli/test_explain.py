import json
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from mien.api.explain import explain
from mien.explanation.explainer import METHODS
from support import noted, ran, refused, warned


@pytest.fixture
def files(face_folder):
    return sorted((face_folder / "test" / "happy").iterdir())[:2]


def test_explain_writes_a_png_for_each_face_and_method(mien, tiny_run, files, tmp_path):
    words = ("--crops", "--method", "all", "--out", tmp_path / "out", "--json")
    answer = ran(mien("explain", *files, "--model", tiny_run.path, *words))
    rows = json.loads(answer.out)
    assert ([row["source"] for row in rows], list(rows[0]["files"])) == ([str(file) for file in files], list(METHODS))
    face = np.asarray(Image.open(files[0]))
    assert (np.asarray(Image.open(rows[0]["files"]["occlusion"]))[::6, : 6 * 48 : 6, 0] == face).all()
    with np.load(tmp_path / "out" / "maps.npz", allow_pickle=False) as stored:
        assert (stored["maps"].shape, stored["maps"].dtype) == ((len(METHODS), 2, 48, 48), np.float32)
        assert stored["methods"].tolist() == list(METHODS)
        assert (stored["images"][0] == face).all()
        assert stored["classes"][stored["targets"][0]] == rows[0]["class"]
        assert stored["probabilities"].argmax(axis=1).tolist() == stored["targets"].tolist()
    figures = {f"{name}.{form}" for name in ("maps", "mean-maps") for form in ("svg", "png", "pdf")}
    names = {each.name for each in (tmp_path / "out").iterdir()}
    assert figures < names
    assert len(names) == 2 * len(METHODS) + 1 + len(figures)


def test_explain_finds_the_faces_that_predict_finds(mien, tiny_run, astronaut, tmp_path):
    """Oracle: `mien predict` on the same photo: boxes, and which class is predicted."""
    photo, blank = tmp_path / "two.png", tmp_path / "blank.png"
    Image.fromarray(np.concatenate([astronaut[:300], astronaut[:300]], axis=1)).save(photo)
    Image.new("RGB", (300, 200), (90, 120, 150)).save(blank)
    answer = ran(mien("explain", photo, blank, "--model", tiny_run.path, "--out", tmp_path / "out", "--json"))
    assert "blank.png" in answer.err
    rows = json.loads(answer.out)
    (predicted,) = json.loads(mien("predict", photo, "--model", tiny_run.path, "--json").out)
    assert [row["face"] for row in rows] == [1, 2]
    assert [row["box"] for row in rows] == [face["box"] for face in predicted["faces"]]
    assert [row["class"] for row in rows] == [face["top"] for face in predicted["faces"]]
    assert len({row["files"]["occlusion"] for row in rows}) == 2
    with np.load(tmp_path / "out" / "maps.npz", allow_pickle=False) as stored:
        assert stored["boxes"].tolist() == [list(row["box"].values()) for row in rows]
    nothing = mien("explain", blank, "--model", tiny_run.path, "--out", tmp_path / "none")
    refused(nothing, "no-face", "blank.png", "--crops")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("output", [(), ("--output", "fer2013")])
def test_explain_explains_the_answer_of_predict(mien, files, tmp_path, output):
    """Oracle: `mien predict` with the same model and output."""
    answer = ran(mien("explain", files[0], "--model", "fast", "--crops", "--out", tmp_path / "out", "--json", *output))
    (face,) = json.loads(mien("predict", files[0], "--model", "fast", "--crops", "--json", *output).out)
    (row,) = json.loads(answer.out)
    assert [row["output"], row["class"]] == [face["output"], face["top"]]
    assert row["probability"] == face["probabilities"][face["top"]]


def test_gradients_reject_other_outputs_than_the_label(mien, files, tmp_path):
    given = ("explain", files[0], "--model", "fast", "--crops", "--method", "gradcam", "--out", tmp_path / "out")
    refused(mien(*given, "--output", "perceived"), "options", "perceived", "fer2013")
    assert not (tmp_path / "out").exists()
    answer = ran(mien(*given))
    noted(answer, "gradients", "fer2013", "not answer", "gradcam")
    with np.load(tmp_path / "out" / "maps.npz", allow_pickle=False) as stored:
        assert len(stored["classes"]) == 7
    both = mien(*given, "--method", "occlusion", "--overwrite", "--json")
    noted(both, "gradients", "fer2013", "not answer", "occlusion alone")
    assert [row["output"] for row in json.loads(both.out)] == ["fer2013"]
    asked = mien(*given, "--method", "occlusion", "--overwrite", "--output", "fer2013")
    assert (asked.code, "not answer" in asked.err) == (0, False)
    with warned("gradients", "fer2013", "gradcam"):
        explain("fast", np.zeros((48, 48), np.uint8), "gradcam", crops=True)


def test_occlusion_needs_a_model_file_alone(mien, tiny_run, files, tmp_path):
    model = tmp_path / "m.onnx"
    model.write_bytes(tiny_run.model.read_bytes())
    answer = ran(mien("explain", files[0], "--model", model, "--crops", "--out", tmp_path / "out", "--class", "sad"))
    assert "sad" in answer.out
    names = {each.name for each in (tmp_path / "out").iterdir()}
    assert names == {f"{files[0].stem}_occlusion.png", "maps.npz", "maps.svg", "maps.png", "maps.pdf"}
    answer = mien("explain", files[0], "--model", model, "--out", tmp_path / "other", "--method", "gradcam")
    refused(answer, "model-not-trainable", "occlusion")
    assert not (tmp_path / "other").exists()


def test_explain_rejects_bad_input_and_writes_nothing(mien, tiny_run, files, tmp_path, monkeypatch):
    def attempt(*extra, images=files, out=tmp_path / "out"):
        return mien("explain", *images, "--model", tiny_run.path, "--crops", "--out", out, *extra)

    refused(attempt(images=[files[0], files[0].parent], out=files[0].parent / "maps"), "out-path")
    assert not (files[0].parent / "maps").exists()
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"x")
    refused(attempt(images=[*files, bad]), "image-format", "bad.png")
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    refused(attempt(), "file-unwritable", tmp_path)
    assert not (tmp_path / "out").exists()


def test_explain_keeps_earlier_maps_without_overwrite(mien, tiny_run, files, tmp_path, monkeypatch):
    words = ("explain", files[0], "--model", tiny_run.path, "--crops", "--out", tmp_path / "out")
    assert mien(*words).code == 0
    maps = tmp_path / "out" / "maps.npz"
    before = maps.read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mien.api.explain._find_predictor", None)  # it is refused before a model is loaded
        refused(mien(*words, "--class", "sad"), "file-exists", "maps.npz", "--overwrite")
    assert (maps.read_bytes(), mien(*words, "--class", "Sadness", "--overwrite").code) == (before, 0)
    assert maps.read_bytes() != before
    # PNGs are written before maps.npz: a command that was stopped leaves them alone.
    maps.unlink()
    refused(mien(*words), "file-exists")
    assert not maps.exists()
    monkeypatch.setattr("mien.api.explain.Explanations._arrays", Mock(side_effect=KeyboardInterrupt))
    assert mien("explain", *files, "--model", tiny_run.path, "--crops", "--out", tmp_path / "b").code == 130
    assert not (tmp_path / "b").exists()
