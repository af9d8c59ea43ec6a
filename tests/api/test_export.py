"""Oracle: both files asked by hand."""

import json

import numpy as np
import pytest

import mien as package
from mien.api.export import quantize
from mien.base.errors import DataError
from mien.base.model_file import read_manifest
from mien.evaluation import metrics
from mien.inference.predictor import load
from support import raises, ran


@pytest.mark.parametrize("form", ["fp16", "int8"])
def test_export_measures_a_quantized_model_on_the_same_samples(tmp_path, tiny_run, faces, form):
    out = tmp_path / "small.onnx"
    smaller, chosen = quantize(tiny_run.model, form, faces, out), faces.of_split("validation")
    before, after = (load(file).probabilities(chosen.images, 1.0) for file in (tiny_run.model, out))
    assert smaller.samples == len(chosen)
    assert smaller.accuracy == pytest.approx((after.argmax(1) == chosen.labels).mean())
    assert smaller.original_accuracy == pytest.approx((before.argmax(1) == chosen.labels).mean())
    assert smaller.agreement == pytest.approx((before.argmax(1) == after.argmax(1)).mean())
    assert smaller.largest_difference == pytest.approx(np.abs(before - after).max())
    assert 0 < smaller.largest_difference < 0.1
    assert smaller.to_dict()["bytes"] == out.stat().st_size
    manifest, former = read_manifest(out), read_manifest(tiny_run.model)
    assert (manifest.precision, former.precision, manifest.temperature) == (form, "fp32", former.temperature)
    assert manifest.scores["validation_log_loss"] == pytest.approx(metrics.log_loss(chosen.labels, after))
    assert (manifest.scores.keys(), manifest.recipe_digest) == (former.scores.keys(), former.recipe_digest)


@pytest.mark.parametrize("form", ["fp16", "int8"])
def test_export_reports_the_worst_output(tmp_path, voted_run, voted_faces, form):
    """Oracle: both files asked by hand, output by output."""
    out = tmp_path / "small.onnx"
    smaller, images = quantize(voted_run.model, form, voted_faces, out), voted_faces.of_split("validation").images
    agreements, differences = [], []
    for name in ("fer2013", "perceived"):
        before, after = (load(file, output=name).probabilities(images, 1.0) for file in (voted_run.model, out))
        agreements.append((before.argmax(1) == after.argmax(1)).mean())
        differences.append(np.abs(before - after).max())
    assert smaller.agreement == pytest.approx(min(agreements))
    assert smaller.largest_difference == pytest.approx(max(differences))
    assert read_manifest(out).outputs == read_manifest(voted_run.model).outputs


def test_export_keeps_no_metrics_of_other_data_and_needs_the_splits(tmp_path, tiny_run, faces):
    for split in ("train", "validation"):
        with raises(DataError, "split-missing", f"'{split}'"):
            quantize(tiny_run.model, "int8", faces.subset(faces.split != split), tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []
    quantize(tiny_run.model, "fp16", faces.subset(np.arange(1, len(faces))), tmp_path / "x.onnx")
    assert read_manifest(tmp_path / "x.onnx").scores == {}


def test_export_writes_the_same_by_command_and_function(mien, own_run, face_folder):
    run = own_run.path
    said = ran(mien("export", run, "--precision", "int8", "--data", face_folder))
    assert "in int8" in said.out
    by_python = package.export(run, precision="int8", data=face_folder)
    assert by_python.description in said.out
    assert load(by_python).manifest.precision == "int8"
    content = json.loads(mien("export", run, "--precision", "fp16", "--data", face_folder, "--json").out)
    assert content["file"] == str(run / "model.half.onnx")
    for name in ("model.int8.onnx", "model.half.onnx"):
        assert mien("evaluate", run / name, "--data", face_folder).code == 0
