"""The models that come with mien: there, whole, and answering as on the day each was made, which card.json records."""

import hashlib
import json
import runpy
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.base import run_folder as locate
from mien.base.errors import ModelError
from mien.base.labels import FERPLUS_CLASSES
from mien.base.model_file import read_manifest
from mien.base.run_folder import SHIPPED, find_model, find_run
from mien.cli.more import PORTRAITS
from mien.data.splits import near_copy_groups
from mien.data.synthetic import render_faces
from mien.evaluation.calibration import cross_fit_temperature
from mien.evaluation.metrics import calibration_error
from mien.evaluation.predictions import Predictions
from mien.inference.predictor import Predictor
from support import raises

RELEASE = Path(__file__).parents[2] / "release"
MAX_BYTES = {"model.onnx": 4_000_000, "model.int8.onnx": 2_000_000}
BEST_BYTES = {"model.onnx": 16_500_000, "model.int8.onnx": 8_400_000}


def card(name):
    return json.loads((find_run(name).path / "card.json").read_text())


@pytest.mark.parametrize("name", SHIPPED)
def test_the_files_are_those_that_were_measured(name):
    folder = find_run(name).path
    for file, digest in card(name)["sha256"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest, file
    for file, most in (BEST_BYTES if name == "best" else MAX_BYTES).items():
        assert (folder / file).stat().st_size == card(name)["bytes"][file] <= most


@pytest.mark.parametrize("name", SHIPPED)
def test_it_answers_as_recorded(name):
    """8-bit sums may round otherwise on another CPU; what they are measured against is the larger form."""
    faces, folder, answers = render_faces(np.arange(7), seed=7), find_run(name).path, card(name)["answers"]
    larger = np.array(answers["model.onnx"])
    assert Predictor(folder / "model.onnx").probabilities(faces) == pytest.approx(larger, abs=1e-5)
    smaller = Predictor(folder / "model.int8.onnx").probabilities(faces)
    assert smaller == pytest.approx(np.array(answers["model.int8.onnx"]), abs=0.03)
    assert np.array_equal(smaller.argmax(axis=1), np.array(answers["model.int8.onnx"]).argmax(axis=1))


@pytest.mark.parametrize("name", SHIPPED)
def test_the_answer_is_made_by_the_rule_of_docs_predict(name):
    """Oracle: the rule in NumPy. Both forms of a model have the same one."""
    drawn, rule = render_faces(np.arange(7), seed=7), mien.load(name).manifest.answer
    assert rule == read_manifest(find_run(name).model_int8).answer
    assert 0 < rule.strength < 1
    assert 0.2 < rule.unsure_below < 0.5
    shares = mien.load(name, output=rule.output).probabilities(drawn)
    weights = np.array([rule.weights.get(each, 1.0) for each in FERPLUS_CLASSES[:8]])
    expressions = shares[:, :8] * weights / np.array(rule.prior[:8]) ** rule.strength
    expressions *= shares[:, :8].sum(axis=1, keepdims=True) / expressions.sum(axis=1, keepdims=True)
    expected = np.column_stack([expressions, shares[:, 9]]) / (1 - shares[:, 8:9])
    assert mien.load(name).probabilities(drawn) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", SHIPPED)
def test_its_manifest_says_what_it_is(name):
    manifest = mien.load(name).manifest
    assert manifest.name == name
    assert manifest.classes == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert manifest.recipe["model"] == find_run(name).read_recipe().model.model_dump()
    small = read_manifest(find_run(name).model_int8)
    assert (small.precision, small.temperature) == ("int8", manifest.temperature)
    measured = json.loads((find_run(name).path / "metrics.json").read_text())["headline"]["accuracy"]["value"]
    assert manifest.scores["validation_accuracy"] == measured == card(name)["accuracy_by_views"]["1"]


def test_the_model_card_is_not_stale(monkeypatch):
    monkeypatch.syspath_prepend(str(RELEASE))
    made = runpy.run_path(str(RELEASE / "model_card.py"))
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"]()


@pytest.mark.parametrize("name", SHIPPED)
def test_its_torch_weights_lie_beside_it_for_fine_tuning(name, monkeypatch):
    pytest.importorskip("torch")
    from mien.base.model_file import open_model
    from mien.exporting import to_onnx
    from mien.training import checkpoint

    monkeypatch.setattr(to_onnx, "PARITY_FACES", 32)
    network, facts = checkpoint.load_best(find_run(name))
    assert facts["epoch"] == mien.load(name).manifest.epoch
    parity = to_onnx.measure_parity(network, *open_model(find_model(name)))
    # In fp16 the file's kernels were rounded after batch norms were folded into them, the weights beside it before.
    assert parity.largest_difference < {"fp32": 1e-4, "fp16": 2e-3}[card(name)["precision"]]


@pytest.mark.parametrize("name", SHIPPED)
def test_no_face_travels_with_it(name):
    documented = "best.safetensors card.json metrics.json model.int8.onnx model.onnx recipe.toml robustness.json"
    assert {file.name for file in find_run(name).path.iterdir()} - {"history.csv"} == {*documented.split()}


def test_a_shipped_models_int8_form_is_named_after_it(tmp_path, monkeypatch, tiny_run):
    for name in ("default", "fast"):
        shutil.copytree(tiny_run.path, tmp_path / "shipped" / name)
    small = tmp_path / "shipped" / "fast" / "model.int8.onnx"
    small.write_bytes(tiny_run.model.read_bytes())
    monkeypatch.setattr(locate, "SHIPPED", ("default", "fast"))
    monkeypatch.setattr(locate, "_SHIPPED", tmp_path / "shipped")
    assert (find_model("fast"), find_model("fast-int8")) == (small.parent / "model.onnx", small)
    assert (find_run("fast-int8").path, locate.find_trained("fast").path) == (small.parent, small.parent)
    with raises(ModelError, "model-not-trainable"):
        locate.find_trained("fast-int8")
    with raises(ModelError, "model-missing", "'default'"):
        locate.find_trained("defualt")
    assert locate.is_shipped("fast-int8")
    assert not locate.is_shipped("slow-int8")
    assert find_run(Path("fast")).path == Path("fast"), "a path is a path, as that of a user's own run"
    for name, suggestion in (
        ("slow-int8", "'fast-int8'?"),
        ("runs/fast", "default, fast, default-int8, fast-int8."),
        (Path("fast"), "the built-in model 'fast'?"),
    ):
        with raises(ModelError, "model-missing") as caught:
            find_model(name)
        assert str(caught.value).endswith(suggestion)


def test_a_model_without_weights_to_train_from_says_so(tmp_path, monkeypatch, tiny_run):
    """As a wheel holds `best`."""
    shutil.copytree(tiny_run.path, tmp_path / "shipped" / "best")
    monkeypatch.setattr(locate, "_SHIPPED", tmp_path / "shipped")
    assert locate.find_trained("best").path == tmp_path / "shipped" / "best"
    (tmp_path / "shipped" / "best" / "best.safetensors").unlink()
    with raises(ModelError, "model-not-trainable", "best", "Use default"):
        locate.find_trained("best")
    monkeypatch.setattr(type(find_run("best").model), "is_file", lambda file: file.name != "model.onnx")
    assert find_model("best") == find_run("best").model_int8


def test_calibration_is_of_other_rows_and_without_copies(faces, monkeypatch):
    """Rows with a copy in train, or one that is lighter, are surely wrong; oracle: the error of the others."""
    pytest.importorskip("torch")
    monkeypatch.syspath_prepend(str(RELEASE))
    calibration = runpy.run_path(str(RELEASE / "ship.py"))["calibration"]
    train, validation = (np.flatnonzero(faces.split == split) for split in ("train", "validation"))
    copies, images = 10, np.asarray(faces.images).copy()
    images[validation[:copies]] = images[train[:copies]]
    images[validation[:2]] = np.minimum(images[validation[:2]], 250) + 5
    labels = faces.labels[validation]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(len(faces.classes)), len(validation))
    probabilities[:copies] = 0.97 * np.eye(len(faces.classes))[(labels[:copies] + 1) % len(faces.classes)] + 0.03 / 7
    predictions = Predictions(faces.rows[validation], labels, probabilities, faces.classes, "validation", "")
    found = calibration(replace(faces, images=images), predictions)
    rescaled, _ = cross_fit_temperature(labels, probabilities, near_copy_groups(images)[validation])
    for name, rows in (("all", slice(None)), ("unseen", slice(copies, None))):
        assert found[name]["value"] == pytest.approx(calibration_error(labels[rows], rescaled[rows]), abs=1e-12)
    assert found["unseen"]["value"] != found["all"]["value"]


SEEN = {"bolivia-36": "happy", "haiti-22": "neutral", "kyrgyzstan-34": "neutral", "usa-74": "happy"}
"""What the portraits of mien demo, made by an image generator (CC0), show. Oracle: the eye."""


@pytest.mark.parametrize("model", ["default", "fast"])
def test_each_portrait_has_one_face_with_the_expression_that_it_shows(model):
    assert {file.stem: [each.answer for each in mien.load(model).predict(file)] for file in PORTRAITS.iterdir()} == {
        name: [answer] for name, answer in SEEN.items()
    }


def test_portraits_say_where_they_are_from_and_are_small():
    files = list(PORTRAITS.iterdir())
    assert sum(file.stat().st_size for file in files) < 150_000
    for file in files:
        with Image.open(file) as image:
            assert {"CC0", "Stable"} <= set(" ".join(map(str, image.getexif().values())).split())
