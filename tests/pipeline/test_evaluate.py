"""Oracles: what ``predict_split`` and ``evaluate_predictions`` say of the same faces, and faces counted here."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import mien as package
from mien.base.errors import DataError
from mien.base.files import whole_file
from mien.base.labels import parse_scheme
from mien.data.read import ReadResult
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import read_predictions
from mien.inference.predictor import load
from mien.pipeline import evaluate as evaluate
from mien.pipeline.evaluate import EvaluateOptions, check_options, predict_to_evaluate
from mien.pipeline.split_predictions import predict_split
from mien.reporting.context import ReportContext
from support import raises, warned


@pytest.fixture(scope="module")
def predictor(tiny_run):
    return load(tiny_run.path, threads=1)


@pytest.fixture(scope="module")
def result(faces):
    half = np.array(["one", "two", "two", ""])[np.arange(len(faces)) % 4]
    columns = {"half": half, "pairs": np.zeros((len(faces), 2)), "name": np.arange(len(faces))}
    return ReadResult(replace(faces, columns=columns), "parquet", "a column", (), (), False)


def test_evaluate_equals_its_parts(predictor, result):
    scheme = parse_scheme("binary")
    with warned("values-missing", "half"):
        found = package.evaluate(predictor, result, split="train", classes="binary", by="half")
    predictions = predict_split(predictor, result.faces, "train").with_scheme(scheme)
    assert found.predictions.probabilities == pytest.approx(predictions.probabilities)
    expected = evaluate_predictions(predictions).to_dict()
    assert {name: found.to_dict()[name] for name in expected} == expected
    kept = (result.faces.split == "train") & ~np.isin(result.faces.labels, [1, 6])
    counts = {part.value: part.count for part in found.evaluation.by.parts}
    assert counts == {name: int((result.faces.columns["half"][kept] == name).sum()) for name in ("one", "two")}
    assert sum(found.class_counts["train"]) == kept.sum() == len(found.predictions)
    assert "by 'binary'" in found.merged


def test_evaluate_file_needs_no_model(tiny_run):
    answers = read_predictions(tiny_run.predictions("validation"))
    whole = package.evaluate_file(tiny_run.predictions("validation"))
    assert (whole.merged, whole.temperature_note) == ("", "at temperature 1")
    assert {"answer": whole.to_dict()["answer"], **evaluate_predictions(answers).to_dict()} == whole.to_dict()


@pytest.mark.parametrize(
    ("options", "code", "values"),
    [
        (EvaluateOptions(by="halves"), "column-missing", "Did you mean 'half'"),
        (EvaluateOptions(by="pairs"), "column-shape", "2 values"),
        (EvaluateOptions("train", by="name"), "too-many-groups", "at most 100"),
        (EvaluateOptions(by="source"), "column-missing", "Known: half, name, pairs"),
        (EvaluateOptions(by="split"), "by-split", "'validation'"),
        (EvaluateOptions("holdout"), "split-unknown", "holdout"),
    ],
)
def test_unknown_columns_and_splits_are_refused_before_predicting(
    predictor, result, monkeypatch, options, code, values
):
    monkeypatch.setattr(evaluate, "predict_split", lambda *_: pytest.fail("faces were read"))
    with raises(DataError, code, values):
        predict_to_evaluate(predictor, result.faces, options)


def test_schemes_with_unknown_classes_are_refused(predictor):
    check_options(EvaluateOptions(scheme=parse_scheme("binary")), predictor)
    with raises(DataError, "scheme-class-missing"):
        check_options(EvaluateOptions(scheme=parse_scheme("a=joyful,b=sad")), predictor)


def test_a_scheme_that_drops_all_faces_is_refused_before_predicting(predictor, result, monkeypatch):
    """A scheme that leaves no face of the split."""
    monkeypatch.setattr(evaluate, "predict_split", lambda *_: pytest.fail("faces were read"))
    neutral = result.faces.subset((result.faces.split != "test") | (result.faces.labels == 6))
    with raises(DataError, "scheme-empty", "test"):
        predict_to_evaluate(predictor, neutral, EvaluateOptions("test", scheme=parse_scheme("binary")))


def test_evaluations_are_locked_while_written(tiny_run, tmp_path, monkeypatch):
    """Oracle: the part that is locked is the one that becomes the file. One put in its place could be cut by others."""
    from mien.pipeline import evaluation_files

    predictions, parts = read_predictions(tiny_run.predictions("validation")), []

    @contextmanager
    def watched(path):
        with whole_file(path) as part:
            before = part.stat().st_ino
            yield part
            parts.append(part.stat().st_ino == before)

    monkeypatch.setattr(evaluation_files, "whole_file", watched)
    context = ReportContext(predictions, evaluate_predictions(predictions, 1))
    evaluation_files.write_evaluation(tmp_path, context, "t", {})
    assert parts == [True] * 2
