import json

import numpy as np
import pytest

from mien.evaluation.robustness import CORRUPTIONS
from support import refused


def test_robustness_replaces_files_only_with_overwrite(mien, tiny_run, face_folder, tmp_path, monkeypatch):
    arguments = ("robustness", tiny_run.path, "--data", face_folder)
    # The tiny model says the same of every face; this one goes by a pixel, so that noise turns its answers.
    monkeypatch.setattr(
        "mien.inference.predictor.Predictor.probabilities", lambda _, images: np.eye(7)[images[:, 24, 24] % 7]
    )
    first = json.loads(mien(*arguments, "--out", tmp_path, "--json").out)
    assert first == json.loads((tmp_path / "robustness.json").read_bytes())
    assert list(first["accuracy"]) == list(CORRUPTIONS)
    replacing = mien(*arguments, "--out", tmp_path, "--overwrite", "--seed", 1)
    assert replacing.code == 0, replacing.err
    second = (tmp_path / "robustness.json").read_bytes()
    content = json.loads(second)
    assert (content["seed"], content["faces"]) == (1, first["faces"])
    assert content["accuracy"]["darkness"] == first["accuracy"]["darkness"]
    assert content["accuracy"]["gaussian-noise"] != first["accuracy"]["gaussian-noise"]
    monkeypatch.setattr("mien.api.evaluate.measure_robustness", lambda *_, **__: pytest.fail("measured"))
    refused(mien(*arguments, "--out", tmp_path), "file-exists", "robustness.json", "--overwrite")
    assert (tmp_path / "robustness.json").read_bytes() == second
