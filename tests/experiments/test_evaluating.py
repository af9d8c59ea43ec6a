"""Oracles: what ``score_split`` and ``evaluate_scores`` say of the same faces, and faces counted here."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from mien.data.read import ReadResult
from mien.errors import DataError
from mien.evaluation.evaluate import evaluate_scores
from mien.evaluation.scores import read_scores
from mien.experiments import evaluating
from mien.experiments.evaluating import Asked, ask_models, check_asked, measure_models, measure_scores
from mien.experiments.measure import score_split
from mien.inference.classifier import load
from mien.labels import parse_scheme


@pytest.fixture(scope="module")
def classifier(tiny_run):
    return load(tiny_run.path, threads=1)


@pytest.fixture(scope="module")
def result(faces):
    half = np.where(np.arange(len(faces)) % 3 == 0, "one", "two")
    columns = {"half": half, "pairs": np.zeros((len(faces), 2)), "name": np.arange(len(faces))}
    return ReadResult(replace(faces, columns=columns), "parquet", "a column", (), (), False)


def test_a_model_is_measured_as_its_parts_say(classifier, result):
    scheme = parse_scheme("binary")
    asked = Asked("train", "half", scheme=scheme, threshold=0.3)
    found = measure_models([classifier], [result], asked, ask_models([classifier], [result], asked))
    answers = score_split(classifier, result.faces, "train")
    assert found.answers.probabilities == pytest.approx(answers.probabilities)
    assert found.evaluation.to_dict() == evaluate_scores(answers.with_scheme(scheme)).to_dict()
    assert found.threshold is not None
    assert found.threshold.chosen.threshold == 0.3
    kept = (result.faces.split == "train") & ~np.isin(result.faces.labels, [1, 6])
    counts = {part.value: part.count for part in found.parts}
    assert counts == {name: int((result.faces.columns["half"][kept] == name).sum()) for name in ("one", "two")}
    assert sum(found.class_counts["train"]) == kept.sum() == len(found.scores)
    assert "merged after the model's answer by 'binary'" in (found.merged)
    assert set(found.to_dict()) >= {"headline", "threshold", "by"}


def test_scores_alone_have_a_threshold_where_they_have_two_classes(tiny_run):
    answers = read_scores(tiny_run.scores("validation"))
    whole = measure_scores(answers, Asked())
    assert (whole.threshold, whole.merged, whole.subsets, whole.tempered) == (None, "", (), "at temperature 1")
    assert whole.evaluation.to_dict() == evaluate_scores(answers).to_dict()
    merged = measure_scores(answers, Asked(scheme=parse_scheme("binary")))
    assert merged.threshold is not None
    assert merged.threshold.chosen.threshold == 0.5


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Asked(by="halves"), "Did you mean 'half'"),
        (Asked(by="pairs"), "holds 2 values a face"),
        (Asked("train", by="name"), "at most 100 different values"),
        (Asked(by="source"), "no column 'source'. Known: half, name, pairs"),
        (Asked(by="split"), "is of one split, here 'validation'"),
    ],
)
def test_what_the_data_has_not_is_said_before_a_face_is_read(classifier, result, monkeypatch, asked, words):
    monkeypatch.setattr(evaluating, "score_together", lambda *_: pytest.fail("faces were read"))
    with pytest.raises(DataError, match=words):
        ask_models([classifier], [result], asked)


def test_a_split_that_there_is_not_is_refused(classifier, result):
    with pytest.raises(DataError, match="holdout"):
        ask_models([classifier], [result], Asked("holdout"))


def test_classes_that_the_model_has_not_are_refused(classifier):
    check_asked(Asked(scheme=parse_scheme("binary"), threshold=0.4), classifier)
    with pytest.raises(DataError, match="two classes"):
        check_asked(Asked(threshold=0.4), classifier)
    with pytest.raises(DataError, match="joy"):
        check_asked(Asked(scheme=parse_scheme("a=joyful,b=sad")), classifier)


def test_what_would_be_opened_for_nothing_stays_closed(classifier, result, monkeypatch):
    """A scheme that leaves no face of the split; a second model of other classes."""
    monkeypatch.setattr(evaluating, "score_together", lambda *_: pytest.fail("faces were read"))
    neutral = result.faces.subset((result.faces.split != "test") | (result.faces.labels == 6))
    with pytest.raises(DataError, match="leaves no face in: test"):
        ask_models([classifier], [replace(result, faces=neutral)], Asked("test", scheme=parse_scheme("binary")))
    other = copy.copy(classifier)
    other.manifest = classifier.manifest.model_copy(update={"classes": ("a", "b"), "name": "pair"})
    with pytest.raises(DataError, match=r"averaged of the same classes; .* pair knows a, b"):
        ask_models([classifier, other], [result, result], Asked("test"))
