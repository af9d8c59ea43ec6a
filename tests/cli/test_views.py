"""`mien evaluate` over several views and several models."""

import json
import shutil

import numpy as np
import pytest

from mien.artifact import replace_manifest
from mien.data.read import read_faces
from mien.evaluation.scores import read_scores
from mien.inference.classifier import load
from mien.inference.views import probabilities_over_views
from mien.run_folder import RunFolder


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
    answer = mien("evaluate", "--model", tiny_run.path, "--model", other.path, "--views", 2, *words, "--json")
    assert answer.code == 0, answer.err
    chosen = read_faces(face_folder).of_split("validation")
    each = [probabilities_over_views(load(run.path), chosen.images, 2) for run in (tiny_run, other)]
    scores = read_scores(out / "scores_validation.npz")
    assert scores.rows.tolist() == chosen.rows.tolist()
    assert scores.probabilities == pytest.approx(np.mean(each, axis=0), abs=1e-6)
    assert np.abs(each[0] - each[1]).max() > 0.01
    said = "the mean of 2 models (tiny, other), the mean over 2 views of each face"
    assert scores.note == json.loads(answer.out)["answers"] == said
    assert said in (out / "report.html").read_text()
    shown = mien("evaluate", "--scores", out / "scores_validation.npz")
    assert f"Answers are {said}." in " ".join(shown.out.split())


def test_one_view_of_one_model_needs_no_words(mien, tiny_run, face_folder):
    answer = mien("evaluate", "--model", tiny_run.path, "--data", face_folder, "--json")
    assert "answers" not in json.loads(answer.out)


def test_the_ledger_of_every_model_is_kept(mien, tiny_run, tmp_path, other, face_folder):
    run = RunFolder(tmp_path / "run")
    shutil.copytree(tiny_run.path, run.path)
    models = ("--model", run.path, "--model", other.path)
    assert mien("evaluate", *models, "--data", face_folder, "--split", "test").code == 0
    for each in (run, other):
        assert each.test_uses() == 1
        assert "the mean of 2 models" in (each.path / "test_ledger.jsonl").read_text()


def test_two_classes_with_a_threshold_over_views(mien, tiny_run, face_folder):
    words = ("--model", tiny_run.path, "--data", face_folder, "--views", 2, "--classes", "binary", "--threshold", 0.4)
    answer = mien("evaluate", *words, "--json")
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["threshold"]["chosen"]["threshold"] == 0.4


def test_mistakes(mien, tiny_run, face_folder):
    answer = mien("evaluate", "--model", tiny_run.path, "--data", face_folder, "--views", 5)
    assert answer.code == 2
    assert "1, 2 or 10 views; found 5" in answer.err
    alone = mien("evaluate", "--scores", tiny_run.scores("validation"), "--views", 2)
    assert alone.code == 2
    assert "stands alone" in alone.err


def test_a_model_and_its_int8_form_are_told_apart(mien, tmp_path, face_folder):
    data = ("--data", face_folder)
    answer = mien("evaluate", "--model", "fast", "--model", "fast-int8", *data, "--json")
    assert json.loads(answer.out)["answers"].startswith("the mean of 2 models (fast, fast-int8)")
    assert mien("evaluate", "--model", "fast-int8", *data, "--out", tmp_path).code == 0
    assert "fast-int8: validation" in (tmp_path / "report.html").read_text()
    taught = mien("teach", "fast", "fast-int8", *data, "--views", 1, "--out", tmp_path / "x.npz", "--json")
    assert json.loads(taught.out)[0]["models"] == ["fast", "fast-int8"]
