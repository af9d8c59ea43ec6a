import sys
from dataclasses import replace

import numpy as np
import pytest

from mien.api.evaluate import _measure, evaluate
from mien.base.errors import DataError
from mien.base.labels import SCHEMES
from mien.base.model_file import attach_manifest
from mien.data.clean import Change, Clean, apply_clean
from mien.evaluation.estimates import evaluate_predictions
from mien.evaluation.predictions import read_predictions
from mien.inference.onnx_classifier import noted_views
from mien.inference.predictor import load
from mien.pipeline.evaluation_files import write_evaluation
from mien.pipeline.measured_split import MeasuredSplit, leakage_reference
from mien.pipeline.split_predictions import (
    predict_soft_labels,
    predict_split,
    temperature_description,
    with_model_classes,
)
from mien.reporting.sections import ReportContext
from support import raises


def dropped(faces, at=0):
    """A change that drops a sample of train."""
    train = np.flatnonzero(faces.split == "train")[at]
    label = faces.classes[faces.labels[train]]
    return Change(row=int(faces.rows[train]), split="train", label=label, kind="doubt", reason="", source="")


def test_predictions_equal_the_models_probabilities(classifier, faces, tiny_run):
    predictions, chosen = predict_split(classifier, faces, "test"), faces.of_split("test")
    assert predictions.sample_ids.tolist() == chosen.rows.tolist()
    assert predictions.labels.tolist() == chosen.labels.tolist()
    assert predictions.probabilities == pytest.approx(classifier.probabilities(np.asarray(chosen.images)), abs=1e-6)
    assert predictions.data_fingerprint == faces.fingerprint
    numbered = replace(faces, rows=faces.rows + 1000)
    learnt = predict_split(classifier, numbered, "validation").data_fingerprint
    assert learnt == numbered.fingerprint_without_test != numbered.fingerprint
    for by in (1000, 1001):
        numbered = replace(faces, rows=faces.rows + by)
        (teacher,) = predict_soft_labels([tiny_run.model], numbered, lambda _, data=numbered: data, 1)
        assert read_predictions(teacher.predictions).sample_ids.tolist() == numbered.of_split("train").rows.tolist()
    answers = predict_split(classifier, faces, "train")
    counts = dict(zip(faces.classes, faces.counts("train"), strict=True))
    result = _measure(MeasuredSplit(answers), SCHEMES["five"], (), None)
    kept = len(answers) - counts["disgust"] - counts["neutral"]
    assert result.merged.endswith(f"by 'five': {kept} of {len(answers)} samples")
    # A row of validation has an image of test under another label; oracle: the data without its test split.
    validation, test = (np.flatnonzero(faces.split == split)[0] for split in ("validation", "test"))
    images, labels = np.asarray(faces.images).copy(), faces.labels.copy()
    images[test] = images[validation]
    labels[test] = (labels[validation] + 1) % len(faces.classes)
    whole = replace(faces, images=images, labels=labels)
    predictions = replace(predict_split(classifier, whole, "validation"), data_fingerprint="")
    without = whole.subset(np.flatnonzero(whole.split != "test"))
    subsets = [MeasuredSplit.resolve(predictions, each).subsets() for each in (whole, without)]
    assert subsets[0] == subsets[1]
    parts = MeasuredSplit.resolve(predict_split(classifier, whole, "test"), whole).subsets()
    assert parts[1].count < parts[0].count


def test_the_temperature_is_left_out_only_where_it_was_fitted(tiny_run, faces, tmp_path):
    """Oracle: the model asked by hand. Data with a face less is other data; without its test split, or cleaned, not."""
    without_test = faces.subset(np.flatnonzero(faces.split != "test"))
    gone, also = dropped(faces), dropped(faces, 1)
    other = faces.subset(np.flatnonzero(faces.rows != gone.row))
    cleaned, cleaned_without = (apply_clean(each, Clean(each.fingerprint, (gone,))) for each in (faces, without_test))

    def learnt_from(data_fingerprint, cleaned_from=()):
        copy = tmp_path / "model.onnx"
        change = {"temperature": 1.43, "data_fingerprint": data_fingerprint, "cleaned_from": tuple(cleaned_from)}
        manifest = load(tiny_run.model).manifest.model_copy(update=change)
        copy.write_bytes(attach_manifest(tiny_run.model.read_bytes(), manifest))
        return load(copy)

    left_out = "without the model's temperature, because it was fitted on these samples"
    warm = learnt_from(without_test.fingerprint)
    for data, split, temperature, words in (
        (faces, "validation", 1.0, left_out),
        (cleaned, "validation", 1.0, left_out),
        (without_test, "validation", 1.0, left_out),
        (cleaned_without, "validation", 1.0, left_out),
        (other, "validation", 1.43, "with the model's temperature 1.43"),
        (faces, "train", 1.43, "with the model's temperature 1.43"),
    ):
        expected, found = warm.probabilities(data.of_split(split).images, temperature), predict_split(warm, data, split)
        assert (found.probabilities, found.temperature) == (pytest.approx(expected, abs=1e-6), temperature)
        assert temperature_description(warm, data, split) == words
    # Learnt as a list left the data: the rows that fitted the temperature are there without the list, too, and with
    # another one.
    for model in (learnt_from(**cleaned.provenance), learnt_from(**cleaned_without.provenance)):
        for data in (faces, without_test, cleaned, apply_clean(faces, Clean(faces.fingerprint, (also,)))):
            assert predict_split(model, data, "validation").temperature == 1
        assert predict_split(model, other, "validation").temperature == 1.43
    # So it is where faces of a class that the model lacks are left out of the same data.
    eighth = {"labels": np.where(faces.rows % 9 == 0, 7, faces.labels), "classes": (*faces.classes, "contempt")}
    eight = replace(faces, **eighth)
    found = evaluate(learnt_from(eight.fingerprint_without_test), eight, classes="seven")
    assert (found.predictions.temperature, found.temperature_note) == (1.0, left_out)


def test_a_model_of_the_cleaned_data_saw_no_more_than_that(tiny_run, classifier, faces, tmp_path):
    """Whether the test split was at hand when it was trained, or is now, makes no difference."""
    gone = dropped(faces)
    wholes = faces, faces.subset(np.flatnonzero(faces.split != "test"))
    cleaned, cleaned_without = (apply_clean(each, Clean(each.fingerprint, (gone,))) for each in wholes)
    copy = tmp_path / "model.onnx"
    manifest = classifier.manifest.model_copy(update={"data_fingerprint": cleaned.fingerprint_without_test})
    copy.write_bytes(attach_manifest(tiny_run.model.read_bytes(), manifest))
    of_cleaned = load(copy)
    for data, whole in zip((cleaned, cleaned_without), wholes, strict=True):
        assert leakage_reference(of_cleaned, data, whole) is data
        assert leakage_reference(classifier, data, whole) is whole
        assert leakage_reference(None, data, whole) is whole
    assert leakage_reference(classifier, cleaned, None) is cleaned


def test_predict_split_refuses_mirror_images_for_a_model_trained_without(tiny_run, classifier, faces, tmp_path):
    recipe, copy = classifier.manifest.recipe | {"augment": {"flip": False}}, tmp_path / "model.onnx"
    manifest = classifier.manifest.model_copy(update={"recipe": recipe})
    copy.write_bytes(attach_manifest(tiny_run.model.read_bytes(), manifest))
    for views in (2, 10):
        with pytest.raises(DataError) as error:
            predict_split(load(copy), faces, "test", views)
        assert error.value.code == "options"
    assert noted_views(predict_split(load(copy), faces, "test", 5).note) == 5


def test_data_with_fewer_classes_is_fine_and_with_others_is_not(classifier, faces):
    assert predict_split(classifier, faces.with_scheme(SCHEMES["three"]), "test").classes == faces.classes
    other = replace(faces, classes=(*faces.classes[:6], "Neutrall"))
    with raises(DataError, "class-unknown", "Neutrall to neutral"):
        with_model_classes(classifier, other)
    # Data that numbers its classes otherwise gets the same predictions.
    turned = faces.with_classes(faces.classes[::-1])
    labels = [predict_split(classifier, each, "test").labels.tolist() for each in (turned, faces)]
    assert labels[0] == labels[1]

    class Binary:
        classes = ("negative", "positive")
        manifest = classifier.manifest.model_copy(update={"recipe": {"classes": "binary"}})

    merged = with_model_classes(Binary(), faces)
    assert (len(with_model_classes(Binary(), merged)), merged.classes) == (len(merged), ("negative", "positive"))
    assert len(merged) == int(np.isin(faces.labels, [0, 2, 3, 4, 5]).sum())


def test_the_folder_of_an_evaluation(classifier, faces, tmp_path, monkeypatch):
    predictions = predict_split(classifier, faces, "test")

    def write():
        context = ReportContext(predictions, evaluate_predictions(predictions, 10))
        return write_evaluation(tmp_path / "out", context, "t", {})

    report, names = write(), {file.name for file in (tmp_path / "out").glob("*.*")}
    assert names == {"metrics.json", "predictions_test.npz", "report.html"}
    assert report == tmp_path / "out" / "report.html"
    written = read_predictions(tmp_path / "out" / "predictions_test.npz")
    assert written.sample_ids.tolist() == predictions.sample_ids.tolist()
    # Without the extra that writes it, no page of another measurement stays.
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert write() is None
    assert not report.exists()
