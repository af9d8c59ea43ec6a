"""``--classes`` where it occurs: merged before training, after it, and compared."""

import csv
import io
import json
import re

import numpy as np
import pytest

from mien.base.labels import SCHEMES
from mien.data.parquet import write_parquet
from mien.evaluation.predictions import read_predictions
from support import noted, refused

OWN = "positive=happy+surprise,negative=angry+fear+sad"


def test_merged_first_and_merged_after_meet_on_the_same_rows(mien, tmp_path, tiny_run, recipe_file, face_parquet):
    """The story of Study B's 6b and 7: the second model knows disgust as negative, the first has no such rows."""
    first = tmp_path / "first"
    trained = mien("train", recipe_file, "--data", face_parquet, "--out", first, "--classes", "binary-with-disgust")
    assert trained.code == 0, trained.err
    assert 'classes = "binary-with-disgust"' in (first / "recipe.toml").read_text()
    after = mien("evaluate", tiny_run.path, "--data", face_parquet, "--classes", "binary", "--out", tmp_path / "after")
    assert after.code == 0, after.err
    noted(after, "classes-merged", "'binary'")
    merged, plain = (
        read_predictions(tmp_path / "after" / "predictions_validation.npz"),
        read_predictions(tiny_run.predictions("validation")),
    )
    assert len(merged) == int(np.isin(plain.labels, [0, 2, 3, 4, 5]).sum())
    expected = SCHEMES["binary"].merge_probabilities(plain.probabilities, plain.classes)
    assert merged.probabilities == pytest.approx(expected[np.isin(plain.sample_ids, merged.sample_ids)], abs=1e-5)
    folders = tmp_path / "after", first
    refused(mien("compare", *folders), "data-differs", "--shared-only")
    compared = mien("compare", *folders, "--shared-only", "--json")
    assert compared.code == 0, compared.err
    assert json.loads(compared.out)[0]["samples"] == len(merged)
    gone = int((plain.labels == 1).sum())
    noted(compared, "samples-excluded", f"0 of {len(merged)}", folders[0], f"{gone} of {len(merged) + gone}", first)
    page = mien("compare", *folders, "--shared-only", "--data", face_parquet, "--out", tmp_path / "page")
    assert page.code == 0, page.err
    text = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    (shared,) = re.findall(r'<tr><th scope="row">samples</th><td>(.*?)</td></tr>', text)
    for value in (f"0 of {len(merged)}", f"{gone} of {len(merged) + gone}"):
        assert value in shared


def test_predict_merges(mien, tiny_run, face_folder):
    arguments = ("predict", "--model", tiny_run.path, "--crops", face_folder / "test" / "happy", "--classes", OWN)
    answer = mien(*arguments, "--csv")
    noted(answer, "classes-left-out", "disgust, neutral;")
    rows = list(csv.DictReader(io.StringIO(answer.out)))
    assert set(rows[0]) == {"source", "answer", "top", "confidence", "in_doubt", "alternatives", "positive", "negative"}


def test_train_rejects_a_scheme_that_empties_a_split(mien, tmp_path, recipe_file, faces):
    kept = (faces.split != "validation") | np.isin(faces.labels, [1, 6])
    write_parquet(faces.subset(kept), tmp_path / "faces.parquet")
    arguments = ("train", recipe_file, "--data", tmp_path / "faces.parquet", "--out", tmp_path / "out")
    refused(mien(*arguments, "--classes", "five"), "label-scheme", "'five'")
    assert not (tmp_path / "out").exists()
