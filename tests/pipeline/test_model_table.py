"""Several models in one table, and as one. Oracles: each model alone; the mean of their predictions; paired tests."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

import mien as package
from mien.base.errors import DataError
from mien.base.model_file import read_manifest
from mien.evaluation.named_metrics import estimates
from mien.evaluation.paired_tests import significantly_best
from mien.evaluation.predictions import Predictions, ensemble_of, read_predictions, write_predictions
from mien.inference.find_model import find_model
from mien.pipeline.evaluate import model_table
from support import make_predictions, raises, refused


@pytest.fixture(scope="module")
def table(tiny_run, faces):
    """Two models called tiny, and one in a folder: :func:`models`."""
    return package.evaluate(models(tiny_run), faces, metrics=["kappa"])


def models(tiny_run):
    return [tiny_run.path, "tiny", find_model("fast-int8")]


def test_each_row_equals_the_evaluation_of_the_model_alone(table, tiny_run, faces):
    names = [str(tiny_run.path), "tiny", "model.int8.onnx"]
    assert [row["Model"] for row in table.table.records()] == names
    for row, model, result in zip(table.table.records(), models(tiny_run), table, strict=True):
        alone = package.evaluate(model, faces, metrics=["kappa"])
        assert result.to_dict() == alone.to_dict()
        headline = alone.to_dict()["headline"]
        assert [row[key] for key in ("Accuracy", "Macro-F1", "Cohen's kappa")] == [
            headline[key] for key in ("accuracy", "macro_f1", "kappa")
        ]
        file = find_model(model)
        assert (row["Parameters"], row["MB"]) == (
            read_manifest(file).parameters,
            pytest.approx(file.stat().st_size / 1e6, abs=0.005),
        )
        assert 0 < row["ms per face"] < 1000
        assert (row["Training, min"] is None) == (model != tiny_run.path)


def test_votes_add_a_column(voted_run, voted_faces):
    (row,) = package.evaluate([voted_run.path], voted_faces).table.records()
    expected = package.evaluate(voted_run.path, voted_faces).votes.majority[0].evaluation.accuracy
    assert row["FER+ majority"] == expected.to_dict()


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
    found = model_table(results).table
    assert found.best == {(0, "Accuracy"), (0, "Macro-F1")}
    assert found.to_latex().count("\\textbf") == found._repr_html_().count("<b>") == 2
    assert found.records()[0]["MB"] is None


def test_the_command_writes_page_csv_and_latex(mien, tiny_run, face_folder, tmp_path):
    words = ("evaluate", tiny_run.path, "tiny", "--data", face_folder)
    answer = mien(*words, "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    assert [row["Model"] for row in json.loads(answer.out)["models"]] == [str(tiny_run.path), "tiny"]
    with (tmp_path / "out/tables/models.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    expected = package.evaluate("tiny", face_folder).accuracy
    assert [float(rows[1][key]) for key in ("Accuracy", "Accuracy low")] == [expected.value, expected.low]
    assert "\\toprule" in (tmp_path / "out/tables/models.tex").read_text()
    assert (tmp_path / "out/report.html").is_file()
    refused(mien(*words, "--out", tmp_path / "out"), "file-exists", "report.html")
    shown = mien(*words).out
    assert "tiny" in shown
    assert "Parameters" in shown


def test_models_of_different_classes_are_refused_before_a_prediction(mien, tiny_run, voted_run, faces, monkeypatch):
    other = package.load(tiny_run.path)
    manifest = other.manifest.model_copy(update={"classes": ("x", *other.manifest.classes[1:])})
    monkeypatch.setattr("mien.api.evaluate.predict_to_evaluate", lambda *_: pytest.fail("faces were predicted"))
    with raises(DataError, "classes-differ", "x, disgust"):
        package.evaluate(["tiny", other.with_manifest(manifest)], faces)
    with raises(DataError, "options", "by"):
        package.evaluate(["tiny", "fast"], faces, by="person")
    with raises(DataError, "too-few-models"):
        package.evaluate(["tiny"], faces, ensemble=True)
    with raises(DataError, "too-few-models"):
        package.evaluate([], faces)


def test_an_ensemble_is_the_mean_of_its_members(mien, tiny_run, faces, face_folder, tmp_path):
    members = [package.evaluate(name, faces).predictions for name in ("tiny", "fast")]
    found = package.evaluate(["tiny", "fast"], faces, ensemble=True)
    mean = (members[0].probabilities + members[1].probabilities) / 2
    assert found.predictions.probabilities == pytest.approx(mean)
    by_hand = replace(members[0], probabilities=mean, answers=None, votes=None)
    assert found.accuracy == estimates(by_hand, ["accuracy"])["accuracy"]
    assert found.predictions.note == "the mean of 2 models"
    answer = mien("evaluate", "tiny", "fast", "--ensemble", "--data", face_folder, "--out", tmp_path / "out", "--json")
    assert answer.code == 0, answer.err
    told = package.evaluate(["tiny", "fast"], face_folder, ensemble=True)
    assert json.loads(answer.out)["headline"] == told.to_dict()["headline"]
    written = read_predictions(tmp_path / "out/predictions_validation.npz")
    assert written.probabilities == pytest.approx(told.predictions.probabilities)


def test_an_ensemble_averages_votes_and_orders_classes(voted_run, voted_faces):
    """Oracle: a model with itself is itself, also if its classes are listed in another order."""
    alone = package.evaluate(voted_run.path, voted_faces)
    turned = alone.predictions.in_order(alone.predictions.classes[::-1])
    both = ensemble_of([alone.predictions, turned])
    np.testing.assert_allclose(both.probabilities, alone.predictions.probabilities)
    np.testing.assert_allclose(both.votes.probabilities, alone.predictions.votes.probabilities)
    twice = package.evaluate([voted_run.path] * 2, voted_faces, ensemble=True)
    assert twice.votes.majority[0].evaluation.accuracy == alone.votes.majority[0].evaluation.accuracy


def test_classes_in_another_order_are_the_same_predictions():
    found = Predictions(np.arange(3), np.array([0, 1, 2]), np.eye(3), ("a", "b", "c"), "x", "").in_order(
        ("c", "a", "b")
    )
    assert found.accuracy == 1
    assert [found.classes[label] for label in found.labels] == ["a", "b", "c"]
