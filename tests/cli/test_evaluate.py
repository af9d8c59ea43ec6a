"""mien evaluate: the ledger of the test split, --predictions, --by; several views."""

import json
import os
import re
import shutil
import sys
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from mien.base.labels import FERPLUS_CLASSES
from mien.data.parquet import write_parquet
from mien.data.read import load_dataset
from mien.evaluation.metrics import sample_cross_entropies
from mien.evaluation.predictions import read_predictions, write_predictions
from mien.evaluation.robustness import CORRUPTIONS
from mien.inference.onnx_classifier import augmented_views, mean_over_views
from mien.inference.predictor import load
from mien.pipeline import measured_split
from mien.pipeline.evaluation_files import file_names
from mien.pipeline.split_predictions import predict_split, votes_of
from support import make_predictions, ran, refused, write_fer2013


def test_evaluate_records_test_uses_in_the_ledger(mien, tmp_path, own_run, face_folder):
    before = (own_run.path / "metrics.json").read_bytes()
    for count, model, split in ((1, own_run.path, "test"), (2, own_run.model, "all")):
        words = ("--data", face_folder, "--split", split, "--out", tmp_path / f"out{count}")
        answer = ran(mien("evaluate", model, *words))
        assert f"used {count} time" in answer.err
        assert own_run.test_uses() == count
        assert sorted(file.name for file in (tmp_path / f"out{count}").iterdir()) == sorted(file_names(split))
    mien("evaluate", own_run.path, "--data", face_folder)
    assert own_run.test_uses() == 2, "validation is not the test split"
    refused(mien("evaluate", own_run.path, "--data", face_folder, "--out", own_run.path), "out-path")
    again = ("evaluate", own_run.path, "--data", face_folder, "--out", tmp_path / "out1")
    refused(mien(*again), "file-exists", "metrics.json")
    assert (own_run.test_uses(), (own_run.path / "metrics.json").read_bytes()) == (2, before)


def test_evaluate_of_all_splits_counts_training_images(mien, tmp_path, own_run, face_folder):
    """Oracle: the data itself. With a model that comes with mien, a note names the option."""
    faces = load_dataset(face_folder)
    answer = mien("evaluate", own_run.path, "--data", face_folder, "--split", "all", "--json")
    said = json.loads(answer.out)
    assert (said["samples"], said["trained_on"]) == (len(faces), int((faces.split == "train").sum()))
    assert "[trained-on]" in answer.err
    shutil.copytree(face_folder, tmp_path / "open", ignore=lambda _, names: {"test"} & set(names))
    said = mien("evaluate", "default", "--data", tmp_path / "open").err
    part, rest = (int((faces.split == name).sum()) for name in ("validation", "train"))
    assert f"{part} of {part + rest} faces were evaluated. For all: --split all [part-measured]" in said


def test_an_evaluation_that_is_stopped_or_lacks_memory_is_one_line(mien, own_run, face_folder, monkeypatch, tiny_run):
    monkeypatch.setattr(measured_split, "evaluate_predictions", Mock(side_effect=KeyboardInterrupt))
    assert mien("evaluate", own_run.path, "--data", face_folder, "--split", "test").code == 130
    assert own_run.test_uses() == 1
    monkeypatch.setattr(measured_split, "evaluate_predictions", Mock(side_effect=MemoryError))
    refused(mien("evaluate", tiny_run.path, "--data", face_folder), "memory")


def test_predictions_files_are_evaluated(mien, tmp_path, tiny_run, face_folder):
    answer = mien("evaluate", "--predictions", tiny_run.predictions("validation"), "--json", "--out", tmp_path / "out")
    assert json.loads(answer.out)["headline"] == json.loads((tiny_run.path / "metrics.json").read_text())["headline"]
    assert (tmp_path / "out" / "report.html").is_file()
    before = {file.name: file.read_bytes() for file in (tmp_path / "out").rglob("*.*")}
    words = ("evaluate", "--predictions", tiny_run.predictions("validation"), "--out", tmp_path / "out")
    refused(mien(*words, "--classes", "binary"), "file-exists", "--overwrite")
    assert {file.name: file.read_bytes() for file in (tmp_path / "out").rglob("*.*")} == before
    assert mien(*words, "--classes", "binary", "--overwrite").code == 0
    assert (tmp_path / "out" / "metrics.json").read_bytes() != before["metrics.json"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has file names that are not UTF-8")
def test_evaluate_escapes_paths_that_are_not_utf8(mien, tmp_path, tiny_run):
    odd = tmp_path / os.fsdecode(b"caf\xe9.npz")
    shutil.copy(tiny_run.predictions("validation"), odd)
    assert mien("evaluate", "--predictions", odd, "--out", tmp_path / "out").code == 0
    assert "caf\\udce9" in (tmp_path / "out/report.html").read_text()


def test_by_measures_each_value_of_a_column(mien, tmp_path, tiny_run, face_folder):
    table, files = tmp_path / "faces.csv", sorted((face_folder / "validation").rglob("*.png"))
    lines = [f"{file},{file.parent.name},validation,{'odd' if int(file.stem) % 2 else 'even'}" for file in files]
    table.write_text("path,label,split,samples\n" + "\n".join(lines) + "\n")
    content = json.loads(mien("evaluate", tiny_run.path, "--data", table, "--by", "samples", "--json").out)
    assert {part["value"]: part["count"] for part in content["by"]["parts"]} == {
        "odd": sum(int(file.stem) % 2 for file in files),
        "even": sum(1 - int(file.stem) % 2 for file in files),
    }
    assert "odd" in mien("evaluate", tiny_run.path, "--data", table, "--by", "samples").out


def test_evaluate_with_metric_measures_further_metrics(mien, tmp_path, tiny_run):
    """Oracle: scikit-learn's kappa. An own metric has its row in the table, metrics.json and on the page."""
    (tmp_path / "parts.py").write_text("def zeros(labels, probabilities):\n    return (labels == 0).sum()\n")
    own, file = f"{tmp_path / 'parts.py'}:zeros", tmp_path / "noisy.npz"
    known = read_predictions(tiny_run.predictions("validation"))
    noisy = make_predictions(known.labels, known.classes, known.sample_ids, "validation", skill=1.0)
    write_predictions(file, noisy)
    words = ("evaluate", "--predictions", file, "--metric", "kappa", "--metric", own)
    headline = json.loads(ran(mien(*words, "--out", tmp_path / "out", "--json")).out)["headline"]
    expected = cohen_kappa_score(noisy.labels, noisy.probabilities.argmax(axis=1))
    assert headline["kappa"]["value"] == pytest.approx(expected)
    assert headline["kappa"]["low"] < expected < headline["kappa"]["high"]
    assert headline["zeros"]["value"] == (noisy.labels == 0).sum()
    shown = mien(*words).out
    assert re.search(rf"Cohen's kappa +{expected:.3f}", shown)
    assert re.search(r"Zeros +\d+\.000", shown)
    assert "Zeros" in (tmp_path / "out" / "report.html").read_text()
    (tmp_path / "parts.py").write_text("def zeros(labels, probabilities):\n    return None\n")
    refused(mien(*words), "own-part", "'zeros'", "NoneType")


def test_evaluate_leaves_out_classes(mien, tmp_path, tiny_run, face_folder, voted_run, folder, face_parquet):
    """Contempt, as in CK+ and AffectNet. Oracle: the data without it."""
    expected = json.loads(mien("evaluate", tiny_run.path, "--data", face_folder, "--classes", "seven", "--json").out)
    data = tmp_path / "data"
    shutil.copytree(face_folder, data)
    for split in data.iterdir():
        shutil.copytree(split / "happy", split / "contempt")
    refused(mien("evaluate", tiny_run.path, "--data", data), "class-unknown", "--classes seven")
    said = mien("evaluate", tiny_run.path, "--data", data, "--classes", "seven", "--json")
    assert json.loads(said.out)["headline"] == expected["headline"]
    train = ("train", voted_run.path / "recipe.toml", "--data", face_parquet)
    refused(mien(*train, "--out", tmp_path / "out"), "votes-missing")
    assert not (tmp_path / "out").exists()


def test_tta_averages_views_and_is_noted(mien, tmp_path, tiny_run, face_folder):
    """Oracle: the model asked by hand. The folder is other data than it was trained on, so its temperature applies."""
    out = tmp_path / "out"
    answer = ran(mien("evaluate", tiny_run.path, "--tta", 2, "--data", face_folder, "--out", out, "--json"))
    chosen = load_dataset(face_folder).of_split("validation")
    predictions = read_predictions(out / "predictions_validation.npz")
    assert predictions.sample_ids.tolist() == chosen.rows.tolist()
    expected = mean_over_views(load(tiny_run.path).probabilities, chosen.images, 2)
    assert predictions.probabilities == pytest.approx(expected, abs=1e-6)
    said = "the mean over 2 views of each face"
    assert predictions.note == json.loads(answer.out)["note"] == said
    assert said in (out / "report.html").read_text()
    shown = mien("evaluate", "--predictions", out / "predictions_validation.npz")
    assert f"Predictions are {said}." in " ".join(shown.out.split())


def test_robustness_replaces_files_only_with_overwrite(mien, tiny_run, face_folder, tmp_path, monkeypatch):
    arguments = ("robustness", tiny_run.path, "--data", face_folder)
    # The tiny model says the same of every face; this one goes by a pixel, so that noise turns its answers.
    by_a_pixel = lambda _, images: np.eye(7)[images[:, 24, 24] % 7]  # noqa: E731
    monkeypatch.setattr("mien.inference.predictor.Predictor.probabilities", by_a_pixel)
    first = json.loads(mien(*arguments, "--out", tmp_path, "--json").out)
    assert first == json.loads((tmp_path / "robustness.json").read_bytes())
    assert list(first["accuracy"]) == list(CORRUPTIONS)
    ran(mien(*arguments, "--out", tmp_path, "--overwrite", "--seed", 1))
    second = (tmp_path / "robustness.json").read_bytes()
    content = json.loads(second)
    assert (content["seed"], content["faces"]) == (1, first["faces"])
    assert content["accuracy"]["darkness"] == first["accuracy"]["darkness"]
    assert content["accuracy"]["gaussian-noise"] != first["accuracy"]["gaussian-noise"]
    monkeypatch.setattr("mien.api.evaluate.measure_robustness", lambda *_, **__: pytest.fail("measured"))
    refused(mien(*arguments, "--out", tmp_path), "file-exists", "robustness.json", "--overwrite")
    assert (tmp_path / "robustness.json").read_bytes() == second


@pytest.fixture(scope="module")
def votes(voted_faces):
    return voted_faces.votes


@pytest.fixture(scope="module")
def folder(tmp_path_factory, voted_faces):
    """``voted.parquet``, the data of ``voted_run``, and the same as ``fer2013.csv`` and ``fer2013new.csv``."""
    root = tmp_path_factory.mktemp("votes")
    write_parquet(voted_faces, root / "voted.parquet")
    write_fer2013(root, voted_faces)
    return root


def test_evaluate_measures_votes(mien, voted_run, folder, tmp_path, votes, faces):
    words = ("--data", folder / "voted.parquet", "--out", tmp_path / "out", "--json")
    answer = ran(mien("evaluate", voted_run.path, *words))
    found = json.loads(answer.out)["votes"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["votes"] == found
    stored = read_predictions(tmp_path / "out" / "predictions_validation.npz").votes
    assert stored.output == "perceived"
    assert np.array_equal(stored.counts, votes[faces.split == "validation"])
    assert [each["output"] for each in found["majority"]] == ["perceived", "label (baseline)"]
    assert found["majority"][0]["subsets"][0]["count"] == found["with_majority"]
    distance = sample_cross_entropies(stored.distributions, stored.probabilities).mean()
    assert found["distribution"]["cross_entropy"]["value"] == pytest.approx(distance)
    assert f"{distance:.3f}" in (tmp_path / "out" / "report.html").read_text().partition('id="votes"')[2]


def test_votes_are_read_in_one_pass_and_in_the_order_of_the_output(voted_run, faces, voted_faces, votes):
    """Oracle: the label's own probabilities, and the graph's other output, view by view."""
    model = load(voted_run.path, threads=1).for_labels()
    two, alone = predict_split(model, voted_faces, "test", tta=2), predict_split(model, faces, "test", tta=2)
    assert two.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
    assert alone.votes is None
    images, divisor = np.asarray(voted_faces.of_split("test").images), model.manifest.outputs["perceived"].temperature
    both = [model.output_probabilities(view, {"perceived": divisor}) for view in augmented_views(images, 2)]
    assert two.votes.probabilities == pytest.approx(np.mean(both, axis=0), abs=1e-6)
    assert model.output_probabilities(images[:0], {"fer2013": 1.0, "perceived": 1.0}).shape == (0, 17)
    model = load(voted_run.path, threads=1)
    few = replace(faces, votes=votes[:, [3, 0]], vote_classes=(FERPLUS_CLASSES[3], FERPLUS_CLASSES[0]))
    found = votes_of(model, few)
    assert (found.classes, found.output) == ((FERPLUS_CLASSES[0], FERPLUS_CLASSES[3]), "perceived")
    assert np.array_equal(found.counts, votes[:, [0, 3]])
    whole, part = (predict_split(model.for_labels(), each, "test").votes.probabilities for each in (voted_faces, few))
    assert part == pytest.approx(whole[:, [0, 3]] / whole[:, [0, 3]].sum(axis=1, keepdims=True))
    turned = replace(faces, votes=votes[:, ::-1], vote_classes=FERPLUS_CLASSES[::-1])
    assert np.array_equal(votes_of(model, turned).counts, votes)
