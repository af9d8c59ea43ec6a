"""Oracles: the faces themselves, found by hand; pages of splits that lack something; a label that is turned."""

import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from mien.errors import DataError
from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.evaluate import evaluate_scores
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessResult
from mien.evaluation.scores import Scores
from mien.evaluation.temperature import assign_folds
from mien.experiments.full_report import (
    _explainer,
    _read_robustness,
    check_model,
    faces_of_scores,
    match_faces,
    write_full_report,
)
from mien.inference.classifier import load
from mien.labels import SCHEMES
from mien.report.material import Material
from mien.report.sections.certainty import prediction_sets


def scored(labels, classes, rows=None, split="validation", fingerprint="", seed=0):
    logits = np.random.default_rng(seed).normal(size=(len(labels), len(classes)))
    logits[np.arange(len(labels)), labels] += 1.5
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = np.arange(len(labels)) if rows is None else rows
    return Scores(rows, np.asarray(labels), probabilities, tuple(classes), split, fingerprint)


def test_faces_come_in_the_order_of_the_scores(faces):
    chosen = faces.of_split("validation").subset(
        np.random.default_rng(3).permutation(int((faces.split == "validation").sum()))
    )
    found = match_faces(faces, scored(chosen.labels, faces.classes, chosen.rows))
    assert found.rows.tolist() == chosen.rows.tolist()
    assert np.array_equal(found.images, chosen.images)
    few = scored(chosen.labels[:5], faces.classes, chosen.rows[:5], split="mine")
    assert match_faces(faces, few).rows.tolist() == chosen.rows[:5].tolist()
    with pytest.raises(DataError, match="same rows"):
        match_faces(faces, replace(few, split="validation"))


def test_a_named_scheme_leads_from_the_data_to_the_scores(faces, tmp_path):
    """Study B's two classes: neutral and disgust are dropped; the fingerprint is that of the data as it was read."""
    merged = faces.with_scheme(SCHEMES["binary"])
    part = merged.of_split("validation")
    scores = scored(part.labels, merged.classes, part.rows, fingerprint=faces.fingerprint)
    assert np.array_equal(match_faces(faces_of_scores(faces, scores), scores).images, part.images)
    write_full_report(tmp_path, scores, title="two classes", faces=faces, resamples=20)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "data:image/png" in page
    assert "Which classes belong together?" not in page
    with pytest.raises(DataError, match="found sha256:"):
        write_full_report(tmp_path / "no", scores, title="other data", faces=part, resamples=20)
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize("name", ["binary", "binary-with-disgust"])
def test_of_two_schemes_with_the_same_classes_the_one_that_fits_the_rows_is_taken(name, faces):
    merged = faces.with_scheme(SCHEMES[name])
    part = merged.of_split("validation")
    scores = scored(part.labels, merged.classes, part.rows)
    assert faces_of_scores(faces, scores).rows.tolist() == merged.rows.tolist()
    with pytest.raises(DataError, match=r"must (be of|have) the same"):
        faces_of_scores(faces, scored(1 - part.labels, merged.classes, part.rows))


@pytest.mark.parametrize(
    "labels", [[3], [3, 3, 3, 3], [0, 2, 3, 4, 5, 6] * 5], ids=["one row", "one class", "no disgust"]
)
def test_a_split_that_lacks_something_is_reported(labels, faces, tmp_path):
    written = write_full_report(tmp_path, scored(labels, faces.classes), title="<lame>", resamples=20)
    page = written.page.read_text(encoding="utf-8")
    assert "&lt;lame&gt;" in page
    assert "Without a single row" in page
    assert ">nan<" not in page.lower()
    again = write_full_report(tmp_path / "again", scored(labels, faces.classes), title="<lame>", resamples=20)
    assert again.page.read_bytes() == written.page.read_bytes()


def test_a_row_that_is_right_for_certain(faces, tmp_path):
    scores = Scores(np.arange(2), np.array([3, 4]), np.eye(7)[[3, 4]], faces.classes, "mine", "")
    write_full_report(tmp_path, scores, title="right", resamples=20)
    assert "every row is right" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_a_model_that_did_not_make_the_scores_is_refused(faces, tiny_run):
    """Oracle: the model's own answers at its temperature and at 1, and these with one row changed or at another."""
    model = load(tiny_run.path)
    model.manifest = model.manifest.model_copy(update={"temperature": 1.7})
    part = faces.of_split("validation").subset(np.arange(40))

    def made(temperature):
        answers = model.probabilities(part.images, temperature).astype(np.float16)
        return Scores(part.rows, part.labels, answers, faces.classes, "mine", "")

    for temperature in (1.0, 1.7):
        check_model(model, part, made(temperature))
    changed = made(1.0)
    changed.probabilities[7] = np.roll(changed.probabilities[7], 1)
    for scores in (changed, made(3.0)):
        with pytest.raises(DataError, match="'tiny' did not make the scores: of 40 rows"):
            check_model(model, part, scores)


def test_a_label_moves_neither_its_own_threshold_nor_its_own_set(faces):
    scores = scored([0, 1, 2, 3, 4, 5, 6] * 12, faces.classes)
    evaluation = evaluate_scores(scores, 2)
    fold_of_row = assign_folds(np.arange(len(scores)))
    before = prediction_sets(Material(scores, evaluation))
    for row in range(0, len(scores), 7):
        turned = scores.labels.copy()
        turned[row] = (turned[row] + 3) % 7
        after = prediction_sets(Material(replace(scores, labels=turned), evaluation))
        assert after.fold_thresholds[fold_of_row[row]] == before.fold_thresholds[fold_of_row[row]]
        assert np.array_equal(after.members[row], before.members[row])


def test_the_level_of_prediction_sets_is_chosen(faces, tmp_path):
    scores = scored([0, 1, 2, 3, 4, 5, 6] * 12, faces.classes)
    page = write_full_report(tmp_path / "out", scores, title="t", resamples=20, level=0.75).page
    assert "holds the true one for 75 % of all faces" in page.read_text(encoding="utf-8")
    with pytest.raises(DataError, match=r"above 0 and below 1; found 1\.5"):
        write_full_report(tmp_path / "none", scores, title="t", resamples=20, level=1.5)
    assert not (tmp_path / "none").exists()


def test_rows_of_the_test_split_are_known_by_their_faces_whatever_the_scores_call_them(faces, tiny_run, tmp_path):
    """The model's answers to test faces under another name: it is shown none of them again."""
    model = load(tiny_run.path)
    part = faces.of_split("test")
    scores = Scores(part.rows, part.labels, model.probabilities(part.images), faces.classes, "mine", "")

    class Silent:
        classes, manifest = model.classes, model.manifest

        def probabilities(self, images, temperature=None):
            raise AssertionError("asked")

    page = write_full_report(tmp_path / "out", scores, title="t", faces=faces, model=Silent(), resamples=20).page
    assert "Only mien evaluate opens the test split" in page.read_text(encoding="utf-8")
    with pytest.raises(DataError, match="asked nothing new about test faces"):
        write_full_report(
            tmp_path / "no", scores, title="t", faces=faces, model=Silent(), resamples=20, with_features=True
        )


def test_what_is_not_here_is_not_here_for_the_reason_that_is_given(faces, tiny_run, tmp_path, monkeypatch):
    model = load(tiny_run.path)
    part = faces.of_split("validation")
    scores = Scores(part.rows, part.labels, model.probabilities(part.images), faces.classes, "validation", "")

    def page(name, given, **more):
        written = write_full_report(tmp_path / name, given, title="t", resamples=20, **more)
        return written.page.read_text(encoding="utf-8")

    assert "No data and no model was given" in page("neither", scores)
    assert "No data was given, so nothing is here that needs new answers" in page("no-data", scores, model=model)
    assert "No model was given" in page("no-model", scores, faces=faces)
    asked = page("not-asked", scores, faces=faces, model=model)
    assert "What the model looks at was not asked for" in asked
    assert "No model was given" not in asked
    of_test = page("test", replace(scores, split="test"), model=model)
    assert "Only mien evaluate opens the test split" in of_test
    assert "--explain" not in of_test


def test_without_the_extra_or_the_run_occlusion_is_left_and_the_reason_is_said(tiny_run, monkeypatch):
    model = load(tiny_run.path)
    explainer, reason = _explainer(model, None)
    assert explainer.methods == ["occlusion"]
    assert reason.startswith("The model is in no run folder")
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("mien.explain.")]:
        monkeypatch.delitem(sys.modules, name)
    explainer, reason = _explainer(model, tiny_run)
    assert explainer.network is None
    assert "pip install 'mien[explain]'" in reason
    assert "occlusion alone" in reason


def test_robustness_of_another_model_or_split_is_left_out(faces, tiny_run, tmp_path):
    """Oracle: what the file says of itself; a run folder and the model file in it are one model."""
    shares = np.full((2, len(STRENGTHS)), 0.5)
    one = Estimate(0.5, 0.4, 0.6)
    measured = RobustnessResult(("blur", "noise"), shares, one, one, 7, 0, "sha256:0")
    about = {"model": str(tiny_run.path), "data": "faces.parquet", "split": "validation", **measured.to_dict()}
    path = tmp_path / "robustness.json"
    path.write_text(json.dumps(about))
    scores = scored([0, 1, 2, 3, 4, 5, 6], faces.classes)
    for name in (str(tiny_run.model), str(tiny_run.path), None):
        found, origin, refused = _read_robustness(path, scores, name)
        assert found is not None
        assert not refused
        assert origin == f"the model {tiny_run.path} on 7 rows of the split validation of faces.parquet"
    for other, name in ((replace(scores, split="train"), None), (scores, "runs/other")):
        found, _, refused = _read_robustness(path, other, name)
        assert found is None
        assert refused.startswith("robustness.json is left out: it is of the model")
