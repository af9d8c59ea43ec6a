"""Oracles: the models asked one by one by onnxruntime, averaged in NumPy."""

import hashlib
import os

import numpy as np
import onnx
import pytest
from scipy.special import softmax

from ensemble_support import altered, logits, mean
from mien.api.ensemble import ensemble, open_members
from mien.base.errors import ModelError
from mien.base.model_file import read_manifest
from mien.inference.predictor import load
from support import raises


@pytest.fixture
def voted_pair(tmp_path, voted_run):
    """Two models with two outputs, the second with its classes in another order."""
    second = altered(voted_run.model, tmp_path / "second.onnx", scale=-2, shift=3)
    return [voted_run.model, second]


def test_every_output_is_the_mean_of_the_models_own(tmp_path, voted_pair, voted_faces):
    out = tmp_path / "both.onnx"
    ensemble(voted_pair, voted_faces, out)
    images = voted_faces.of_split("test").images
    manifest, first = read_manifest(out), read_manifest(voted_pair[0])
    assert [(each.name, each.classes, each.target) for each in manifest.all_outputs] == [
        (each.name, each.classes, each.target) for each in first.all_outputs
    ]
    for each in manifest.all_outputs:
        expected = mean(voted_pair, images, each.name, each.classes)
        alone = mean(voted_pair[:1], images, each.name, each.classes)
        assert softmax(logits(out, images, each.logits), axis=1) == pytest.approx(expected, abs=1e-5)
        assert np.abs(expected - alone).max() > 0.01, "the models differ"
        own = load(out, output=each.name).probabilities(images)
        assert own == pytest.approx(softmax(np.log(expected) / each.temperature, axis=1), abs=1e-4)


def test_features_stand_side_by_side(tmp_path, voted_pair, voted_faces):
    ensemble(voted_pair, voted_faces, tmp_path / "both.onnx")
    images = voted_faces.images[:5]
    expected = np.concatenate([logits(file, images, "features") for file in voted_pair], axis=1)
    assert logits(tmp_path / "both.onnx", images, "features") == pytest.approx(expected, abs=1e-5)


def test_the_manifest_names_its_models(tmp_path, tiny_run, faces):
    second = altered(
        tiny_run.model, tmp_path / "second.onnx", scale=2, precision="int8", licence="A OR B", taught_by=("x",)
    )
    ensemble([tiny_run.model, second], faces, tmp_path / "both.onnx")
    first, manifest = read_manifest(tiny_run.model), read_manifest(tmp_path / "both.onnx")
    assert (manifest.name, manifest.full_name) == ("both", "both-int8")
    assert manifest.parameters == 2 * first.parameters
    assert manifest.licence == f"{first.licence} AND (A OR B)"
    assert manifest.taught_by == ("x",)
    members = manifest.recipe["members"]
    assert [each["sha256"] for each in members] == [
        hashlib.sha256(file.read_bytes()).hexdigest() for file in (tiny_run.model, second)
    ]
    assert [each["name"] for each in members] == [first.full_name, f"{first.name}-int8"]
    assert members[0]["recipe"] == first.recipe


def test_classes_that_mean_something_else_are_refused(tmp_path, tiny_run):
    def merged(file, scheme, scale):
        recipe = read_manifest(tiny_run.model).recipe | {"classes": scheme}
        return altered(tiny_run.model, tmp_path / file, scale=scale, recipe=recipe)

    first = merged("first.onnx", "negative=sad,positive=surprise+happy", 1)
    same = merged("same.onnx", "positive=happy+surprise,negative=sad", 2)
    other = merged("other.onnx", "positive=happy,negative=sad+surprise", 3)
    assert len(open_members([first, same])) == 2
    with raises(ModelError, "ensemble-members-differ", "sad+surprise"):
        open_members([first, same, other])


def test_models_without_features_make_one_without(tmp_path, tiny_run, faces):
    graph = onnx.load_model_from_string(tiny_run.model.read_bytes())
    kept = [each for each in graph.graph.output if each.name != "features"]
    del graph.graph.output[:]
    graph.graph.output.extend(kept)
    (tmp_path / "plain.onnx").write_bytes(graph.SerializeToString())
    second = altered(tiny_run.model, tmp_path / "second.onnx", scale=2)
    ensemble([tmp_path / "plain.onnx", second], faces, tmp_path / "both.onnx")
    assert load(tmp_path / "both.onnx").predict_crops(faces.images[:1])[0].top in faces.classes
    with raises(ModelError, "features-missing"):
        load(tmp_path / "both.onnx").features(np.asarray(faces.images[:2]))


def test_models_that_do_not_fit_together(tmp_path, tiny_run, voted_run):
    model, manifest = tiny_run.model, read_manifest(tiny_run.model)
    fewer = altered(model, tmp_path / "a.onnx", scale=2)
    other = {"classes": tuple(f"{name}!" for name in manifest.classes)}
    coarse = {"input": manifest.input.model_copy(update={"mean": 0.4})}
    copied = altered(model, tmp_path / "e.onnx", name="another-name")
    for files, code, *values in (
        ([model], "ensemble-too-few", 1),
        ([model, fewer, copied], "ensemble-same-model", model, copied),
        ([model, altered(model, tmp_path / "b.onnx", scale=3, **other)], "ensemble-members-differ", "happy!"),
        ([model, altered(model, tmp_path / "c.onnx", scale=3, **coarse)], "ensemble-members-differ", "0.4"),
        ([voted_run.model, fewer], "ensemble-members-differ", "perceived"),
    ):
        with raises(ModelError, code, *values):
            open_members(files)
    with raises(ModelError, "ensemble-same-model"):
        open_members([model, model])


@pytest.mark.parametrize(
    ("name", "meant"), [(b"n\xff.onnx", "n\\udcff"), (b"three-int8.onnx", "three"), (b"-int8.onnx", "ensemble")]
)
def test_the_name_of_the_file_is_that_of_the_model(tmp_path, tiny_run, faces, name, meant):
    second = altered(tiny_run.model, tmp_path / "second.onnx", scale=2, precision="int8")
    out = tmp_path / os.fsdecode(name)
    ensemble([tiny_run.model, second], faces, out)
    assert read_manifest(out).name == meant
    assert read_manifest(out).full_name == f"{meant}-int8"
