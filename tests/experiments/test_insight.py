"""Oracles: what is missing, taken away by hand; another network in the run folder."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest

from mien.errors import DataError
from mien.evaluation.evaluate import evaluate_scores
from mien.evaluation.scores import Scores
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
    assert found.training_count == len(training)
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


def test_of_many_training_faces_the_look_alikes_are_searched(tiny_run, material, faces, monkeypatch):
    """Every worst mistake has its own face among 30 of the 320 training faces that are kept."""
    from mien.experiments import insight
    from mien.report.sections.features import features_section

    monkeypatch.setattr(insight, "SEARCHED", 30)
    worst = insight.worst_mistakes(material.scores.labels, material.scores.probabilities, insight.WORST)
    training = np.flatnonzero(faces.split == "train")
    images = np.array(faces.images)
    images[training[: len(worst)]] = material.faces.images[worst]
    found, _ = features_of(load(tiny_run.path), material, replace(faces, images=images))
    assert len(found.training) == 30
    assert set(faces.rows[training[: len(worst)]]) <= set(found.training.rows)
    words = " ".join(block.words for block in features_section(material, found).blocks if block.kind == "text")
    assert f"Searched were the 30 of {len(training)} training faces" in words


def test_a_method_that_the_network_does_not_allow_is_named(tiny_run, material, monkeypatch):
    """As for a network without maps: Grad-CAM refuses."""
    from mien.explain import gradcam
    from mien.report.sections.attention import attention_section

    def refuse(model):
        raise DataError("Grad-CAM needs a network with convolutional maps; this one has none. Take another method.")

    monkeypatch.setattr(gradcam, "last_maps", refuse)
    few = material.faces.subset(np.arange(3))
    scores = Scores(few.rows, few.labels, material.scores.probabilities[:3], few.classes, "validation", "")
    explainer, reason = explainer_of(load(tiny_run.path), tiny_run, material)
    assert "gradcam" not in explainer.methods
    assert len(explainer.methods) == 4
    assert reason.startswith("The method gradcam is not here.")
    section = attention_section(Material(scores, evaluate_scores(scores, 10), few), explainer)
    assert "Mean map (gradient)" in section.blocks[-1].title
