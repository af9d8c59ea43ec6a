"""Oracles: what is missing, taken away by hand; another network in the run folder."""

import shutil
import sys

import numpy as np
import pytest

from mien.evaluation.evaluate import evaluate_scores
from mien.experiments.insight import explainer_of, features_of
from mien.inference.classifier import load
from mien.report.material import Material
from mien.run_folder import RunFolder


@pytest.fixture
def material(faces, scored):
    part = faces.of_split("validation")
    scores = scored(part.labels, faces.classes, part.rows)
    return Material(scores, evaluate_scores(scores, 10), part)


def test_without_the_extra_or_the_run_occlusion_is_left_and_the_reason_is_said(tiny_run, material, monkeypatch):
    model = load(tiny_run.path)
    explainer, reason = explainer_of(model, None, material)
    assert explainer.methods == ["occlusion"]
    assert reason.startswith("The model is in no run folder")
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("mien.explain.")]:
        monkeypatch.delitem(sys.modules, name)
    explainer, reason = explainer_of(model, tiny_run, material)
    assert explainer.network is None
    assert "pip install 'mien[explain]'" in reason
    assert "occlusion alone" in reason


def test_other_weights_than_the_models_explain_nothing(tiny_run, material, tmp_path):
    """Oracle: each tensor turned round, as if the run had gone on after its export; or no checkpoint at all."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    model, run = load(tiny_run.path), RunFolder(tmp_path / "run")
    assert explainer_of(model, tiny_run, material)[1] == ""
    shutil.copytree(tiny_run.path, run.path)
    with safe_open(run.best, "pt") as file:
        facts, names = file.metadata(), list(file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
    turned = {name: each.flatten().flip(0).reshape(each.shape).clone() for name, each in tensors.items()}
    save_file(turned, run.best, facts)
    explainer, reason = explainer_of(model, run, material)
    assert explainer.network is None
    assert "holds other weights than the model file" in reason
    run.best.write_bytes(b"no checkpoint")
    explainer, reason = explainer_of(model, run, material)
    assert explainer.network is None
    assert "occlusion alone" in reason


def test_features_are_the_models_of_rows_and_training(tiny_run, material, faces):
    model = load(tiny_run.path)
    found, reason = features_of(model, material, faces)
    assert reason == ""
    assert np.array_equal(found.of_rows, model.features(material.faces.images))
    training = faces.of_split("train")
    assert np.allclose(found.of_training, model.features(training.images), atol=1e-6)
    assert found.training.rows.tolist() == training.rows.tolist()
    none, _ = features_of(model, material, faces.of_split("validation"))
    assert len(none.of_training) == 0


def test_a_model_without_features_has_none_and_the_report_goes_on(tiny_run, material, faces, monkeypatch):
    from mien.errors import ModelError

    def refuse(self, images):
        raise ModelError("This model file gives no features; export the run again with this mien.")

    model = load(tiny_run.path)
    monkeypatch.setattr(type(model), "features", refuse)
    found, reason = features_of(model, material, faces)
    assert found is None
    assert "gives no features" in reason
