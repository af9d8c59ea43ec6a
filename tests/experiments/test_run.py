import json

import pytest

from mien.artifact import read_manifest
from mien.evaluation.scores import read_scores


def test_a_run_folder_holds_all_that_it_promises(tiny_run):
    names = {file.name for file in tiny_run.path.iterdir()}
    assert names == {
        "recipe.toml",
        "environment.json",
        "history.csv",
        "last.safetensors",
        "best.safetensors",
        "model.onnx",
        "scores_validation.npz",
        "metrics.json",
        "report.html",
    }


def test_the_manifest_carries_what_was_measured(tiny_run):
    measured = json.loads((tiny_run.path / "metrics.json").read_text())["headline"]
    scores = read_manifest(tiny_run.model).scores
    assert scores == {f"validation_{name}": figure["value"] for name, figure in measured.items()}
    assert tiny_run.validation_scores() == scores


def test_the_artifact_scores_as_training_saw_it(tiny_run):
    """The history's best epoch, measured by torch, and the exported file agree on validation."""
    history = tiny_run.read_history()
    best = history[read_manifest(tiny_run.model).epoch - 1]
    assert tiny_run.validation_scores()["validation_accuracy"] == pytest.approx(best["validation_accuracy"])
    assert tiny_run.validation_scores()["validation_log_loss"] == pytest.approx(best["validation_loss"], abs=1e-5)


def test_scores_are_of_the_validation_split_alone(tiny_run, faces):
    scores = read_scores(tiny_run.scores("validation"))
    assert scores.rows.tolist() == faces.of_split("validation").rows.tolist()
