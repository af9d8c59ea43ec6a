"""What an ensemble's file says of the data. Oracles: scipy's minimum for temperatures."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

import mien as package
from ensemble_support import altered, best_temperature, mean
from mien.api.ensemble import ensemble
from mien.base.model_file import read_manifest
from mien.inference.predictor import load
from mien.pipeline.split_predictions import HALF_WAY


def test_temperatures_and_metrics_are_those_of_validation(tmp_path, tiny_run, faces):
    files = [tiny_run.model, altered(tiny_run.model, tmp_path / "second.onnx", scale=4)]
    result = ensemble(files, faces, tmp_path / "both.onnx")
    chosen = faces.of_split("validation")
    expected = mean(files, chosen.images, None, faces.classes)
    manifest = read_manifest(tmp_path / "both.onnx")
    assert manifest == result.manifest
    steadied = best_temperature(chosen.labels, expected) ** (len(chosen) / (len(chosen) + HALF_WAY))
    assert manifest.temperature == pytest.approx(steadied, rel=1e-3)
    assert manifest.temperature != 1
    accuracy = (expected.argmax(1) == chosen.labels).mean()
    assert manifest.scores["validation_accuracy"] == pytest.approx(accuracy)
    assert result.evaluation.accuracy.value == pytest.approx(accuracy)
    assert manifest.data_fingerprint == read_manifest(tiny_run.model).data_fingerprint
    assert result.notices == []
    log_loss = -np.log(expected[np.arange(len(chosen)), chosen.labels]).mean()
    assert result.evaluation.headline["log_loss"].value == pytest.approx(log_loss, rel=1e-4)


def test_samples_that_a_model_was_trained_on_fit_no_temperature(tmp_path, tiny_run, faces):
    """60 faces of train are in validation now."""
    split = faces.split.copy()
    split[np.flatnonzero(split == "train")[:60]] = "validation"
    shutil.copytree(tiny_run.path, tmp_path / "run")
    files = [tmp_path / "run" / "model.onnx", altered(tiny_run.model, tmp_path / "second.onnx", scale=4)]
    result = ensemble(files, replace(faces, split=split), tmp_path / "both.onnx")
    assert [each.code for each in result.notices] == ["trained-on", "temperature-not-fitted"]
    assert (result.manifest.temperature, result.manifest.cleaned_from, result.manifest.scores) == (1, (), {})


def test_models_of_different_data_have_the_fingerprint_of_none(tmp_path, tiny_run, faces):
    """Nobody may take the ensemble for one that was trained on this data alone: copies would be missed."""
    other = altered(tiny_run.model, tmp_path / "second.onnx", scale=4, data_fingerprint="sha256:other")
    result = ensemble([tiny_run.model, other], faces, tmp_path / "both.onnx")
    own = faces.provenance["data_fingerprint"]
    assert result.manifest.data_fingerprint not in {own, "sha256:other"}
    assert not faces.matches_training_data(result.manifest.data_fingerprint)
    assert result.manifest.cleaned_from == (own,)
    assert result.manifest.scores == {}
    assert result.manifest.temperature != 1
    model = load(tmp_path / "both.onnx")
    assert package.evaluate(model, faces).predictions.temperature == 1, "it was fitted on these samples"


def test_a_list_of_changes_stays_in_the_manifest(tmp_path, tiny_run, faces):
    """Fitted on the cleaned data, whose samples are those of the data before."""
    cleaned = replace(faces, cleaned_from=(faces.fingerprint, faces.fingerprint_without_test)).subset(
        np.arange(len(faces)) != np.flatnonzero(faces.split == "train")[0]
    )
    files = [tiny_run.model, altered(tiny_run.model, tmp_path / "second.onnx", scale=4)]
    result = ensemble(files, cleaned, tmp_path / "both.onnx")
    assert result.manifest.cleaned_from == (cleaned.fingerprint_without_test, faces.fingerprint_without_test)
    assert package.evaluate(tmp_path / "both.onnx", faces).predictions.temperature == 1
