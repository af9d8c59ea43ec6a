"""The model that comes with mien: it is there, whole, and answers as it did when it was made."""

import hashlib

import numpy as np
import pytest

import mien
from mien.data.synthetic import render_faces
from mien.inference.locate import SHIPPED, find_model, find_run

SHA256 = "76aaecfa1dae16f832c4eec25189010afa2b84c00b0501599e4751d9fb3ed6b8"
# What the file said of rendered faces 0..6 (one of each expression, seed 7) on the day it was made.
RECORDED = [
    [0.069877, 0.009913, 0.091612, 0.014396, 0.142161, 0.015953, 0.656088],
    [0.215522, 0.106698, 0.084194, 0.037372, 0.258396, 0.132647, 0.165171],
    [0.005605, 0.013151, 0.116573, 0.011035, 0.015795, 0.834658, 0.003183],
    [0.022376, 0.017150, 0.049476, 0.329852, 0.115357, 0.079590, 0.386199],
    [0.043748, 0.125985, 0.019223, 0.015230, 0.672870, 0.058673, 0.064271],
    [0.047291, 0.009717, 0.058802, 0.021166, 0.023972, 0.831032, 0.008020],
    [0.082523, 0.008572, 0.039616, 0.017633, 0.108895, 0.019857, 0.722904],
]


def test_the_file_is_the_one_that_was_measured():
    assert hashlib.sha256(find_model("default").read_bytes()).hexdigest() == SHA256


def test_it_answers_as_recorded():
    shares = mien.load().probabilities(render_faces(np.arange(7), seed=7))
    assert shares == pytest.approx(np.array(RECORDED), abs=1e-4)


def test_its_manifest_says_what_it_is():
    manifest = mien.load().manifest
    assert manifest.classes == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert manifest.recipe["model"] == find_run("default").read_recipe().model.model_dump()
    assert manifest.scores["validation_accuracy"] > 0.68


@pytest.mark.parametrize("name", SHIPPED)
def test_its_torch_weights_lie_beside_it_for_fine_tuning(name):
    from mien.training import checkpoint

    tensors, facts = checkpoint.load(find_run(name).best)
    assert facts["epoch"] == mien.load(name).manifest.epoch
    assert tensors["head.weight"].shape[0] == 7


def test_no_face_travels_with_it():
    names = {file.name for file in find_run("default").path.iterdir()}
    assert names == {"best.safetensors", "history.csv", "metrics.json", "model.onnx", "recipe.toml"}


def test_every_shipped_folder_has_a_name_and_every_name_a_folder():
    folders = [path.name for path in find_run("default").path.parent.iterdir() if path.is_dir()]
    assert sorted(SHIPPED) == sorted(name for name in folders if not name.startswith("_"))


def test_a_shipped_models_int8_form_is_named_after_it(tmp_path, monkeypatch, tiny_run):
    """In a package of two models, of which one comes in int8."""
    import shutil

    from mien.errors import ModelError
    from mien.inference import locate

    for name in ("default", "fast"):
        shutil.copytree(tiny_run.path, tmp_path / "shipped" / name)
    small = tmp_path / "shipped" / "fast" / "model.int8.onnx"
    small.write_bytes(tiny_run.model.read_bytes())
    monkeypatch.setattr(locate, "SHIPPED", ("default", "fast"))
    monkeypatch.setattr(locate.resources, "files", lambda package: tmp_path)
    assert find_model("fast") == small.parent / "model.onnx"
    assert find_model("fast-int8") == small
    assert find_run("fast-int8").path == small.parent
    assert locate.is_shipped("fast-int8")
    assert not locate.is_shipped("slow-int8")
    with pytest.raises(ModelError, match="default does not come in int8"):
        find_model("default-int8")
    with pytest.raises(ModelError, match=r"no model at slow-int8.*default, fast"):
        find_model("slow-int8")
