"""What an ensemble's file says of the data. Oracles: scipy's minimum for temperatures; sets of the images' bytes."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

import mien as package
from ensemble_support import altered, best_temperature, mean
from mien.api.ensemble import ensemble
from mien.base.model_file import read_manifest
from mien.inference.predictor import load
from mien.pipeline.split_predictions import vote_temperature_for_use


def cut_otherwise(faces):
    """The faces with 60 of train in validation, too."""
    split = faces.split.copy()
    split[np.flatnonzero(split == "train")[:60]] = "validation"
    return replace(faces, split=split)


def test_temperatures_and_metrics_are_those_of_validation(tmp_path, tiny_run, faces):
    files = [tiny_run.model, altered(tiny_run.model, tmp_path / "second.onnx", scale=4)]
    result = ensemble(files, faces, tmp_path / "both.onnx")
    chosen = faces.of_split("validation")
    expected = mean(files, chosen.images, None, faces.classes)
    manifest = read_manifest(tmp_path / "both.onnx")
    assert manifest == result.manifest
    assert manifest.temperature == pytest.approx(best_temperature(chosen.labels, expected), rel=1e-3)
    assert manifest.temperature != 1
    accuracy = (expected.argmax(1) == chosen.labels).mean()
    assert manifest.scores["validation_accuracy"] == pytest.approx(accuracy)
    assert result.evaluation.accuracy.value == pytest.approx(accuracy)
    assert manifest.data_fingerprint == read_manifest(tiny_run.model).data_fingerprint
    assert result.notices == []
    log_loss = -np.log(expected[np.arange(len(chosen)), chosen.labels]).mean()
    assert result.evaluation.headline["log_loss"].value == pytest.approx(log_loss, rel=1e-4)


def test_samples_that_a_model_was_trained_on_have_no_part_in_the_temperature(tmp_path, tiny_run, faces):
    """Oracle: scipy's temperature of those validation samples alone whose bytes were not in train."""
    otherwise = cut_otherwise(faces)
    shutil.copytree(tiny_run.path, tmp_path / "run")
    files = [tmp_path / "run" / "model.onnx", altered(tiny_run.model, tmp_path / "second.onnx", scale=4)]
    result = ensemble(files, otherwise, tmp_path / "both.onnx")
    chosen = otherwise.of_split("validation")
    known = {image.tobytes() for image in faces.of_split("train").images}
    new = np.array([image.tobytes() not in known for image in chosen.images])
    assert 0 < new.sum() < len(new)
    expected = mean(files, chosen.images, None, faces.classes)
    unseen, everything = (best_temperature(chosen.labels[each], expected[each]) for each in (new, new | ~new))
    assert result.manifest.temperature == pytest.approx(unseen, rel=1e-3)
    assert abs(unseen - everything) > 0.002 * unseen
    assert [each.code for each in result.notices] == ["trained-on"]
    assert result.manifest.scores == {}


def test_nor_in_the_temperature_of_votes(tmp_path, voted_run, voted_faces):
    """Oracle, of which samples count: :func:`vote_temperature_for_use` on the others alone."""
    otherwise = cut_otherwise(voted_faces)
    shutil.copytree(voted_run.path, tmp_path / "run")
    files = [tmp_path / "run" / "model.onnx", altered(voted_run.model, tmp_path / "second.onnx", scale=4)]
    ensemble(files, otherwise, tmp_path / "both.onnx")
    model = load(tmp_path / "both.onnx", output="perceived")
    known = {image.tobytes() for image in voted_faces.of_split("train").images}
    new = np.array([image.tobytes() not in known for image in otherwise.images])
    expected = vote_temperature_for_use(model, otherwise.subset(new))
    assert model.output.temperature == pytest.approx(expected)
    assert expected != pytest.approx(vote_temperature_for_use(model, otherwise))


@pytest.mark.parametrize(("unseen", "fitted"), [(0, False), (29, False), (30, True)])
def test_few_samples_that_were_not_trained_on_fit_nothing(tmp_path, tiny_run, faces, unseen, fitted):
    """Validation has half of the samples that were trained on, and some that were not."""
    trained, new = np.flatnonzero(faces.split == "train"), np.flatnonzero(faces.split == "validation")[:unseen]
    split = np.array(["train", "validation"] * len(faces))[: len(trained) + unseen].astype(faces.split.dtype)
    split[len(trained) :] = "validation"
    cut = replace(faces.subset(np.concatenate([trained, new])), split=split)
    shutil.copytree(tiny_run.path, tmp_path / "run")
    files = [tmp_path / "run" / "model.onnx", altered(tiny_run.model, tmp_path / "second.onnx", scale=4)]
    result = ensemble(files, cut, tmp_path / "both.onnx")
    codes = ["trained-on"] if fitted else ["trained-on", "temperature-not-fitted"]
    assert [each.code for each in result.notices] == codes
    assert (result.manifest.temperature != 1, result.manifest.cleaned_from != ()) == (fitted, fitted)
    assert result.manifest.scores == {}


def test_models_of_different_data_have_the_fingerprint_of_none(tmp_path, tiny_run, faces):
    """Nobody may take the ensemble for one that was trained on this data alone: copies would be missed."""
    other = altered(tiny_run.model, tmp_path / "second.onnx", scale=4, data_fingerprint="sha256:other")
    result = ensemble([tiny_run.model, other], faces, tmp_path / "both.onnx")
    own = faces.provenance["data_fingerprint"]
    assert result.manifest.data_fingerprint not in {own, "sha256:other"}
    assert not faces.matches_training_data(result.manifest.data_fingerprint)
    assert result.manifest.cleaned_from == (own,)
    assert result.manifest.scores == {}
    assert result.manifest.temperature != 1
    model = load(tmp_path / "both.onnx")
    assert package.evaluate(model, faces).predictions.temperature == 1, "it was fitted on these samples"


def test_a_list_of_changes_stays_in_the_manifest(tmp_path, tiny_run, faces):
    """Fitted on the cleaned data, whose samples are those of the data before."""
    cleaned = replace(faces, cleaned_from=(faces.fingerprint, faces.fingerprint_without_test)).subset(
        np.arange(len(faces)) != np.flatnonzero(faces.split == "train")[0]
    )
    files = [tiny_run.model, altered(tiny_run.model, tmp_path / "second.onnx", scale=4)]
    result = ensemble(files, cleaned, tmp_path / "both.onnx")
    assert result.manifest.cleaned_from == (cleaned.fingerprint_without_test, faces.fingerprint_without_test)
    assert package.evaluate(tmp_path / "both.onnx", faces).predictions.temperature == 1
