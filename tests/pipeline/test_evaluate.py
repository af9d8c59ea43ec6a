"""Oracles: what ``predict_split`` and ``evaluate_predictions`` say of the same faces, and faces counted here."""

import csv
import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import mien as package
from mien.base.errors import DataError
from mien.base.files import whole_file
from mien.base.labels import parse_scheme
from mien.base.model_file import read_manifest
from mien.base.run_folder import find_model
from mien.data.read import ReadResult
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.named_metrics import estimates
from mien.evaluation.paired_tests import significantly_best
from mien.evaluation.predictions import Predictions, read_predictions, write_predictions
from mien.pipeline.evaluate import ensemble_of, model_table
from mien.pipeline.split_predictions import predict_split
from mien.reporting.sections import ReportContext
from support import make_predictions, raises, ran, refused, warned


@pytest.fixture(scope="module")
def result(faces):
    half = np.array(["one", "two", "two", ""])[np.arange(len(faces)) % 4]
    columns = {"half": half, "pairs": np.zeros((len(faces), 2)), "name": np.arange(len(faces))}
    return ReadResult(replace(faces, columns=columns), "parquet", "a column", (), (), False)


def test_evaluate_equals_its_parts(classifier, result):
    scheme = parse_scheme("binary")
    with warned("values-missing", "half"):
        found = package.evaluate(classifier, result, split="train", classes="binary", by="half")
    predictions = predict_split(classifier, result.faces, "train").with_scheme(scheme)
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
    found = Predictions(np.arange(3), np.arange(3), np.eye(3), ("a", "b", "c"), "x", "").in_order(("c", "a", "b"))
    assert (found.accuracy, [found.classes[label] for label in found.labels]) == (1, ["a", "b", "c"])


@pytest.mark.parametrize(("options", "code", "values"), [
    ({"by": "halves"}, "columns", "Did you mean 'half'"),
    ({"by": "pairs"}, "columns", "2 values"),
    ({"split": "train", "by": "name"}, "group", "at most 100"),
    ({"by": "source"}, "columns", "Known: half, name, pairs"),
    ({"by": "split"}, "columns", "'validation'"),
    ({"split": "holdout"}, "split-unknown", "holdout"),
])  # fmt: skip
def test_unknown_columns_and_splits_are_refused_at_once(classifier, result, monkeypatch, options, code, values):
    monkeypatch.setattr("mien.api.evaluate.predict_split", lambda *_: pytest.fail("faces were read"))
    with raises(DataError, code, values):
        package.evaluate(classifier, result, **options)


def test_schemes_that_do_not_fit_are_refused(classifier, result, monkeypatch):
    with raises(DataError, "label-scheme"):
        package.evaluate(classifier, result.faces, classes="a=joyful,b=sad")
    # A scheme that leaves no face of the split.
    monkeypatch.setattr("mien.api.evaluate.predict_split", lambda *_: pytest.fail("faces were read"))
    neutral = result.faces.subset((result.faces.split != "test") | (result.faces.labels == 6))
    with raises(DataError, "label-scheme", "test"):
        package.evaluate(classifier, neutral, "test", classes="binary")


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


def models(tiny_run):
    return [tiny_run.path, "fast", find_model("fast-int8")]


def test_each_row_equals_the_evaluation_of_the_model_alone(tiny_run, faces):
    # Two models called tiny, and one in a folder: :func:`models`.
    table = package.evaluate(models(tiny_run), faces, metrics=["kappa"])
    assert [row["Model"] for row in table.records()] == [tiny_run.path.name, "fast", "model.int8.onnx"]
    for row, model, result in zip(table.records(), models(tiny_run), table, strict=True):
        alone = package.evaluate(model, faces, metrics=["kappa"])
        assert result.to_dict() == alone.to_dict()
        headline = alone.to_dict()["headline"]
        assert [row[key] for key in ("Accuracy", "Macro-F1", "Cohen's kappa")] == [
            headline[key] for key in ("accuracy", "macro_f1", "kappa")
        ]
        file = find_model(model)
        size = pytest.approx(file.stat().st_size / 1e6, abs=0.005)
        assert (row["Parameters"], row["MB"]) == (read_manifest(file).parameters, size)
        assert 0 < row["ms per face"] < 1000
        assert (row["Training, min"] is None) == (model != tiny_run.path)


def test_the_best_is_bold_only_if_it_is_significantly_better(tmp_path):
    """Oracle: predictions that differ by chance, and some of much higher skill."""
    labels = np.arange(200) % 4
    several = [make_predictions(labels, "abcd", seed=seed, skill=2.0) for seed in range(3)]
    better = make_predictions(labels, "abcd", seed=5, skill=6.0)
    assert significantly_best(several, ["accuracy", "macro_f1"], 100) == {}
    assert significantly_best([*several, better], ["accuracy", "log_loss"], 200) == {"accuracy": 3, "log_loss": 3}
    assert significantly_best([better, better], ["accuracy", "log_loss"], 50) == {}, "a tie"
    assert significantly_best([better], ["accuracy"], 50) == {}
    results = []
    for name, predictions in (("good", better), ("bad", several[0])):
        write_predictions(tmp_path / "any.npz", predictions)
        results.append(replace(package.evaluate_file(tmp_path / "any.npz"), name=name))
    found = model_table(results)
    assert found.best == {(0, "Accuracy"), (0, "Macro-F1")}
    assert found.to_latex().count("\\textbf") == found._repr_html_().count("<b>") == 2
    assert found.records()[0]["MB"] is None


def test_the_command_writes_page_csv_and_latex(mien, tiny_run, face_folder, tmp_path):
    words = ("evaluate", tiny_run.path, "tiny", "--data", face_folder)
    answer = ran(mien(*words, "--out", tmp_path / "out", "--json"))
    assert [row["Model"] for row in json.loads(answer.out)["models"]] == [str(tiny_run.path), "tiny"]
    with (tmp_path / "out/tables/models.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    expected = package.evaluate("tiny", face_folder).accuracy
    assert [float(rows[1][key]) for key in ("Accuracy", "Accuracy low")] == [expected.value, expected.low]
    assert {"\\toprule", "0.40"} <= {*(tmp_path / "out/tables/models.tex").read_text().split()}, "tiny has 0.40 MB"
    assert (tmp_path / "out/report.html").is_file()
    refused(mien(*words, "--out", tmp_path / "out"), "file-exists", "report.html")
    assert {"tiny", "Parameters"} <= {*mien(*words).out.split()}


def test_models_of_different_classes_are_refused_before_a_prediction(mien, tiny_run, voted_run, faces, monkeypatch):
    other = package.load(tiny_run.path)
    manifest = other.manifest.model_copy(update={"classes": ("x", *other.manifest.classes[1:])})
    monkeypatch.setattr("mien.api.evaluate.predict_split", lambda *_: pytest.fail("faces were predicted"))
    with raises(DataError, "classes-differ", "x, disgust"):
        package.evaluate(["tiny", other.with_manifest(manifest)], faces)
    with raises(DataError, "options", "by"):
        package.evaluate(["tiny", "fast"], faces, by="person")
    with raises(DataError, "options"):
        package.evaluate(["tiny"], faces, ensemble=True)
    with raises(DataError, "options"):
        package.evaluate([], faces)


def test_an_ensemble_is_the_mean_of_its_members(mien, tiny_run, faces, face_folder, tmp_path):
    members = [package.evaluate(name, faces).predictions for name in ("tiny", "fast")]
    found = package.evaluate(["tiny", "fast"], faces, ensemble=True)
    mean = (members[0].probabilities + members[1].probabilities) / 2
    assert found.predictions.probabilities == pytest.approx(mean)
    by_hand = replace(members[0], probabilities=mean, answers=None, votes=None)
    assert found.accuracy == estimates(by_hand, ["accuracy"])["accuracy"]
    assert found.predictions.note == "the mean of 2 models"
    answer = ran(
        mien("evaluate", "tiny", "fast", "--ensemble", "--data", face_folder, "--out", tmp_path / "out", "--json")
    )
    told = package.evaluate(["tiny", "fast"], face_folder, ensemble=True)
    assert json.loads(answer.out)["headline"] == told.to_dict()["headline"]
    written = read_predictions(tmp_path / "out/predictions_validation.npz")
    assert written.probabilities == pytest.approx(told.predictions.probabilities)


def test_an_ensemble_averages_votes_and_orders_classes(voted_run, voted_faces):
    """Oracle: a model with itself is itself, also if its classes are listed in another order."""
    alone = package.evaluate(voted_run.path, voted_faces)
    both = ensemble_of([alone.predictions, alone.predictions.in_order(alone.predictions.classes[::-1])])
    np.testing.assert_allclose(both.probabilities, alone.predictions.probabilities)
    np.testing.assert_allclose(both.votes.probabilities, alone.predictions.votes.probabilities)
    twice = package.evaluate([voted_run.path] * 2, voted_faces, ensemble=True)
    assert twice.votes.majority[0].evaluation.accuracy == alone.votes.majority[0].evaluation.accuracy
    (row,) = package.evaluate([voted_run.path], voted_faces).records()
    expected = package.evaluate(voted_run.path, voted_faces).votes.majority[0].evaluation.accuracy
    assert row["FER+ majority"] == expected.to_dict()
