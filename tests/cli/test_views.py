"""`mien evaluate` over several views and several models."""

import json
import shutil

import numpy as np
import pytest

from mien.base.model_file import replace_manifest
from mien.base.run_folder import RunFolder
from mien.data.read import load_dataset
from mien.evaluation.predictions import read_predictions
from mien.inference.predictor import load
from mien.inference.tta import mean_over_views


@pytest.fixture
def other(tmp_path, tiny_run):
    """The same weights, that see pixels otherwise and have another temperature."""
    run = RunFolder(tmp_path / "other")
    shutil.copytree(tiny_run.path, run.path)
    manifest = load(run.path).manifest
    spec = manifest.input.model_copy(update={"mean": 0.1})
    replace_manifest(run.model, manifest.model_copy(update={"input": spec, "temperature": 2.0, "name": "other"}))
    return run


def test_views_and_models_are_averaged_and_the_answer_says_so(mien, tmp_path, tiny_run, other, face_folder):
    """Oracle: each model asked by hand. The folder is other data than it was trained on, so temperatures apply."""
    out = tmp_path / "out"
    words = ("--data", face_folder, "--out", out)
    answer = mien("evaluate", tiny_run.path, other.path, "--tta", 2, *words, "--json")
    assert answer.code == 0, answer.err
    chosen = load_dataset(face_folder).of_split("validation")
    each = [mean_over_views(load(run.path).probabilities, chosen.images, 2) for run in (tiny_run, other)]
    predictions = read_predictions(out / "predictions_validation.npz")
    assert predictions.sample_ids.tolist() == chosen.rows.tolist()
    assert predictions.probabilities == pytest.approx(np.mean(each, axis=0), abs=1e-6)
    assert np.abs(each[0] - each[1]).max() > 0.01
    said = "the mean of 2 models (tiny, other), the mean over 2 views of each face"
    assert predictions.note == json.loads(answer.out)["note"] == said
    assert said in (out / "report.html").read_text()
    shown = mien("evaluate", "--predictions", out / "predictions_validation.npz")
    assert f"Predictions are {said}." in " ".join(shown.out.split())


def test_the_ledger_of_every_model_is_kept(mien, tiny_run, tmp_path, other, face_folder):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    models = (run.path, other.path)
    assert mien("evaluate", *models, "--data", face_folder, "--split", "test").code == 0
    for each in (run, other):
        assert each.test_uses() == 1
        assert "the mean of 2 models" in (each.path / "test_ledger.jsonl").read_text()


def test_a_model_and_its_int8_form_are_told_apart(mien, tmp_path, face_folder):
    data = ("--data", face_folder)
    answer = mien("evaluate", "fast", "fast-int8", *data, "--json")
    assert json.loads(answer.out)["note"].startswith("the mean of 2 models (fast, fast-int8)")
    assert mien("evaluate", "fast", "fast-int8", *data, "--out", tmp_path / "both").code == 0
    assert "fast + fast-int8: validation" in (tmp_path / "both" / "report.html").read_text()
    assert mien("evaluate", "fast-int8", *data, "--out", tmp_path).code == 0
    assert "fast-int8: validation" in (tmp_path / "report.html").read_text()
