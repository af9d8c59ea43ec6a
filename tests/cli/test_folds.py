"""``mien train --folds``. Oracles: the predictions file, measured by hand; the folders of runs."""

import json

import numpy as np
import pytest

from mien.evaluation.predictions import read_predictions
from support import noted, refused


@pytest.fixture
def train(mien, face_folder, tmp_path, tiny_recipe_text):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tiny_recipe_text, encoding="utf-8")

    def run(*options):
        return mien("train", str(recipe), "--data", str(face_folder), "--epochs", "1", "--out", "out", *options)

    return run


def test_train_folds_writes_predictions_of_every_face(mien, train, face_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = train("--folds", "2", "--json")
    assert answer.code == 0, answer.err
    said = json.loads(answer.out)
    predictions = read_predictions("out/predictions_out-of-fold.npz")
    right = predictions.probabilities.argmax(axis=1) == predictions.labels
    assert said["headline"]["accuracy"]["value"] == pytest.approx(right.mean())
    parts = said["by"]["parts"]
    assert [each["value"] for each in parts] == ["all folds", "fold 1", "fold 2"]
    assert sum(each["count"] for each in parts[1:]) == len(predictions)
    folds = [each["accuracy"]["value"] for each in parts[1:]]
    refused(train("--folds", "2"), "file-exists", "out")
    from_fold = train("--folds", "2", "--resume", "--from", "out/fold-1")
    refused(from_fold, "run-other", "fold-1", "--from")
    noted(from_fold, "trained-on", f"of these {len(predictions)} images")
    with monkeypatch.context() as other:
        other.setattr("mien.runs.folds.target_fingerprints", lambda recipe, data: {"votes_fingerprint": "others"})
        refused(train("--folds", "2", "--resume"), "run-other", "fold-1")
    again = train("--folds", "2", "--resume")
    assert again.code == 0
    assert "fold 1 of 2" not in again.err, "finished folds are kept"
    # The rows of the table and the mean under it: twice where all are the same.
    shown = [said["headline"]["accuracy"]["value"], *folds, np.mean(folds)]
    assert "without --folds" in again.err
    for words in (("evaluate", "out", "--data", face_folder), ("predict", "x.jpg", "--model", "out"), ("info", "out")):
        refused(mien(*words), "model-missing", "2 folds", "out/fold-1")
    refused(train("--from", "out"), "model-missing", "2 folds", "out/fold-1")
    for value in shown:
        assert again.out.count(f"{value:.1%}") >= [f"{each:.1%}" for each in shown].count(f"{value:.1%}")
