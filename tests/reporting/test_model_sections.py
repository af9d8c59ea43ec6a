"""Oracles: what is missing, taken away by hand; another network in the run folder."""

import shutil
import sys

import numpy as np
import pytest

from mien import explain
from mien.base.errors import DataError, ModelError
from mien.base.run_folder import RunFolder
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import Predictions
from mien.inference.find_model import find_run
from mien.inference.predictor import load
from mien.reporting.attention import build_explainer
from mien.reporting.context import ReportContext
from support import block_codes, make_predictions, raises


@pytest.fixture
def context(faces):
    part = faces.of_split("validation")
    predictions = make_predictions(part.labels, faces.classes, part.rows)
    return ReportContext(predictions, evaluate_predictions(predictions, 10), part)


def test_explainer_has_occlusion_alone_without_torch_or_run(tiny_run, context, monkeypatch):
    model = load(tiny_run.path)
    explainer, reason = build_explainer(model, None)
    assert list(explainer.methods) == ["occlusion"]
    assert reason.code == "gradients-without-run"
    # Imported anew, whichever modules earlier tests imported.
    monkeypatch.delitem(sys.modules, "mien.explanation.gradient", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    explainer, reason = build_explainer(model, tiny_run)
    assert explainer.network is None
    assert reason.code == "gradients-without-extra"
    assert "pip install 'mien[train]'" in reason


def test_explainer_rejects_other_weights(tiny_run, context, tmp_path):
    """Oracle: each tensor turned round, as if the run had gone on after its export; or no checkpoint at all."""
    from mien.training import checkpoint

    model, run = load(tiny_run.path), RunFolder(tmp_path / "run")
    assert build_explainer(model, tiny_run)[1] is None
    shutil.copytree(tiny_run.path, run.path)
    tensors, facts = checkpoint.load(run.best)
    turned = {name: each.flatten().flip(0).reshape(each.shape).clone() for name, each in tensors.items()}
    checkpoint.save(run.best, turned, facts)
    explainer, reason = build_explainer(model, run)
    assert explainer.network is None
    assert reason.code == "gradients-other-weights"
    with raises(ModelError, "gradients-other-weights"):
        explain(run.path, context.faces.images[0], "gradient", crops=True)
    run.best.write_bytes(b"no checkpoint")
    explainer, reason = build_explainer(model, run)
    assert explainer.network is None
    assert reason.code == "checkpoint-damaged"


@pytest.mark.parametrize("name", ["default", "fast-int8"])
def test_explainer_accepts_the_weights_of_a_quantized_model(name, faces):
    explainer, reason = build_explainer(load(name).for_labels(), find_run("fast" if "fast" in name else name))
    assert (list(explainer.methods), reason) == (["gradient", "gradcam", "occlusion"], None)


def test_explainer_names_an_unsupported_method(tiny_run, context, monkeypatch):
    """As for a network without maps: Grad-CAM refuses."""
    from mien.explanation import gradient
    from mien.reporting.attention import show_attention

    def refuse(model):
        raise DataError("Grad-CAM needs a network with convolutional maps; this one has none. Take another method.")

    monkeypatch.setattr(gradient, "last_maps", refuse)
    few = context.faces.subset(np.arange(3))
    predictions = Predictions(
        few.rows, few.labels, context.predictions.probabilities[:3], few.classes, "validation", ""
    )
    explainer, reason = build_explainer(load(tiny_run.path), tiny_run)
    assert "gradcam" not in explainer.methods
    assert explainer.methods == ["gradient", "occlusion"]
    assert reason.code == "methods-unsupported"
    assert "gradcam" in reason
    section = show_attention(ReportContext(predictions, evaluate_predictions(predictions, 10), few), explainer, reason)
    assert block_codes(section) == ["methods-unsupported"]
