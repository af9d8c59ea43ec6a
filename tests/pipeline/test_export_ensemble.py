"""Oracles: the models asked one by one by onnxruntime, averaged in NumPy; scipy's minimum for temperatures."""

import hashlib
import json
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from mien.artifact import attach_manifest, read_manifest
from mien.data.dataset import Dataset
from mien.data.read import ReadResult
from mien.errors import ModelError
from mien.inference.predictor import load
from mien.pipeline import export_ensemble as module
from mien.pipeline.export_ensemble import export_ensemble, open_members
from mien.preprocess import to_input
from support import note_codes, raises, refused


def altered(model, file, *, scale=1.0, shift=0, head="head", **changes):
    """Another model: the weights of its heads scaled, and its classes moved on by ``shift``."""
    graph = onnx.load_model_from_string(model.read_bytes())
    manifest = read_manifest(model)
    for tensor in graph.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if head in tensor.name:
            moved = np.roll(values * scale, shift, axis=0)
            tensor.CopyFrom(onnx.numpy_helper.from_array(moved, tensor.name))
    outputs = {
        name: each.model_copy(update={"classes": tuple(np.roll(each.classes, shift).tolist())})
        for name, each in manifest.outputs.items()
    }
    update = {"classes": tuple(np.roll(manifest.classes, shift).tolist()), "outputs": outputs, **changes}
    file.write_bytes(attach_manifest(graph.SerializeToString(), manifest.model_copy(update=update)))
    return file


def logits(file, images, name):
    """One output of a file, by onnxruntime alone."""
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    return session.run([name], {"images": to_input(np.asarray(images), read_manifest(file).input)})[0].astype(float)


def mean(files, images, output, classes):
    """Mean probabilities of an output, with the columns of ``classes``."""
    found = []
    for file in files:
        own = next(each for each in read_manifest(file).all_outputs if each.name == output)
        shares = softmax(logits(file, images, own.logits) / own.temperature, axis=1)
        found.append(shares[:, [own.classes.index(name) for name in classes]])
    return np.mean(found, axis=0)


def read(faces):
    return ReadResult(faces, "arrays", "as given", (), (), cached=False)


def made(files, faces, out):
    return export_ensemble(open_members(files), read(faces), out)


def best_temperature(labels, probabilities):
    """Of the least log loss, by scipy."""
    rows, logs = np.arange(len(labels)), np.log(probabilities)
    loss = lambda power: -np.log(softmax(logs / np.exp(power), axis=1)[rows, labels]).mean()  # noqa: E731
    return np.exp(minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-8}).x)


@pytest.fixture
def voted_pair(tmp_path, voted_run):
    """Two models with two outputs, the second with its classes in another order and other temperatures."""
    second = altered(voted_run.model, tmp_path / "second.onnx", scale=-2, shift=3, temperature=0.5)
    return [voted_run.model, second]


def test_every_output_is_the_mean_of_the_models_own(tmp_path, voted_pair, voted_faces):
    out = tmp_path / "both.onnx"
    result = made(voted_pair, voted_faces, out)
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
    assert 0 < result.largest_difference < 1e-5


def test_features_stand_side_by_side(tmp_path, voted_pair, voted_faces):
    made(voted_pair, voted_faces, tmp_path / "both.onnx")
    images = voted_faces.images[:5]
    expected = np.concatenate([logits(file, images, "features") for file in voted_pair], axis=1)
    assert logits(tmp_path / "both.onnx", images, "features") == pytest.approx(expected, abs=1e-5)


def test_temperatures_and_metrics_are_those_of_validation(tmp_path, tiny_run, faces):
    files = [tiny_run.model, altered(tiny_run.model, tmp_path / "second.onnx", scale=4)]
    result = made(files, faces, tmp_path / "both.onnx")
    chosen = faces.of_split("validation")
    expected = mean(files, chosen.images, None, faces.classes)
    manifest = read_manifest(tmp_path / "both.onnx")
    assert manifest == result.manifest
    assert manifest.temperature == pytest.approx(best_temperature(chosen.labels, expected), rel=1e-3)
    assert manifest.temperature != 1
    accuracy = (expected.argmax(1) == chosen.labels).mean()
    assert manifest.scores["validation_accuracy"] == pytest.approx(accuracy)
    assert result.measured.evaluation.accuracy.value == pytest.approx(accuracy)
    assert manifest.data_fingerprint == read_manifest(tiny_run.model).data_fingerprint
    assert result.measured.notices == []


def test_the_manifest_names_its_models(tmp_path, tiny_run, faces):
    second = altered(tiny_run.model, tmp_path / "second.onnx", scale=2, precision="int8", licence="CC0-1.0")
    made([tiny_run.model, second], faces, tmp_path / "both.onnx")
    first, manifest = read_manifest(tiny_run.model), read_manifest(tmp_path / "both.onnx")
    assert (manifest.name, manifest.full_name) == ("both", "both-int8")
    assert manifest.parameters == 2 * first.parameters
    assert manifest.licence == f"{first.licence} AND CC0-1.0"
    members = manifest.recipe["members"]
    assert [each["sha256"] for each in members] == [
        hashlib.sha256(file.read_bytes()).hexdigest() for file in (tiny_run.model, second)
    ]
    assert [each["name"] for each in members] == [first.full_name, f"{first.name}-int8"]
    assert members[0]["recipe"] == first.recipe


def test_probabilities_of_zero_stay_finite(tmp_path, tiny_run, faces):
    files = [altered(tiny_run.model, tmp_path / f"{scale}.onnx", scale=scale) for scale in (1e5, 2e5)]
    made(files, faces, tmp_path / "both.onnx")
    found = logits(tmp_path / "both.onnx", faces.images[:20], "logits")
    assert np.isfinite(found).all()
    assert mean(files, faces.images[:20], None, faces.classes).min() == 0
    assert softmax(found, axis=1) == pytest.approx(mean(files, faces.images[:20], None, faces.classes), abs=1e-5)


def test_an_ensemble_may_be_part_of_another(tmp_path, tiny_run, faces):
    files = [tiny_run.model, *(altered(tiny_run.model, tmp_path / f"{n}.onnx", shift=n) for n in (1, 2))]
    made(files[:2], faces, tmp_path / "two.onnx")
    made([tmp_path / "two.onnx", files[2]], faces, tmp_path / "three.onnx")
    images = faces.images[:20]
    expected = mean([tmp_path / "two.onnx", files[2]], images, None, faces.classes)
    assert softmax(logits(tmp_path / "three.onnx", images, "logits"), axis=1) == pytest.approx(expected, abs=1e-5)


def test_samples_that_a_model_was_trained_on_have_no_part_in_the_temperature(tmp_path, tiny_run, faces):
    """Oracle: scipy's temperature of those validation samples alone whose bytes were not in train."""
    otherwise = Dataset.from_arrays(
        faces.images,
        np.array(faces.classes)[faces.labels],
        classes=faces.classes,
        split=np.roll(faces.split, len(faces) // 8),
        size_px=faces.images.shape[1],
    )
    shutil.copytree(tiny_run.path, tmp_path / "run")
    files = [tmp_path / "run" / "model.onnx", altered(tiny_run.model, tmp_path / "second.onnx", scale=4)]
    result = made(files, otherwise, tmp_path / "both.onnx")
    chosen = otherwise.of_split("validation")
    known = {image.tobytes() for image in faces.of_split("train").images}
    new = np.array([image.tobytes() not in known for image in chosen.images])
    assert 0 < new.sum() < len(new)
    expected = mean(files, chosen.images, None, faces.classes)
    unseen, everything = (best_temperature(chosen.labels[each], expected[each]) for each in (new, new | ~new))
    assert result.manifest.temperature == pytest.approx(unseen, rel=1e-3)
    assert abs(unseen - everything) > 0.002 * unseen
    assert [each.code for each in result.measured.notices] == ["trained-on"]
    manifest = read_manifest(tiny_run.model)
    assert result.manifest.data_fingerprint == manifest.data_fingerprint
    assert otherwise.provenance["data_fingerprint"] in result.manifest.cleaned_from


def test_a_file_that_is_not_the_mean_is_not_written(tmp_path, monkeypatch, voted_pair, voted_faces):
    """The second output alone is wrong: that of the votes is compared too."""
    merge = module.merge_graphs
    wrong = altered(voted_pair[0], tmp_path / "wrong.onnx", scale=3, head="heads.1").read_bytes()
    monkeypatch.setattr(module, "merge_graphs", lambda graphs, manifests: merge([wrong, graphs[1]], manifests))
    with raises(ModelError, "export-parity"):
        made(voted_pair, voted_faces, tmp_path / "both.onnx")
    assert not (tmp_path / "both.onnx").exists()


def test_models_that_do_not_fit_together(tmp_path, tiny_run, voted_run):
    model, manifest = tiny_run.model, read_manifest(tiny_run.model)
    fewer = altered(model, tmp_path / "a.onnx", scale=2)
    other = {"classes": tuple(f"{name}!" for name in manifest.classes)}
    coarse = {"input": manifest.input.model_copy(update={"mean": 0.4})}
    copied = altered(model, tmp_path / "e.onnx", name="another-name")
    for files, code, *values in (
        ([model], "ensemble-too-few", 1),
        ([model, fewer, copied], "ensemble-same-model", model, copied),
        ([model, altered(model, tmp_path / "b.onnx", scale=3, **other)], "ensemble-classes-differ", "happy!"),
        ([model, altered(model, tmp_path / "c.onnx", scale=3, **coarse)], "ensemble-input-differs", "0.4"),
        ([voted_run.model, fewer], "ensemble-outputs-differ", "perceived"),
    ):
        with raises(ModelError, code, *values):
            open_members(files)


def test_operators_of_another_version_are_refused(tmp_path, tiny_run, faces):
    older = onnx.load_model_from_string(tiny_run.model.read_bytes())
    older.opset_import[0].version -= 1
    (tmp_path / "older.onnx").write_bytes(older.SerializeToString())
    with raises(ModelError, "ensemble-operators-differ", older.opset_import[0].version):
        made([tiny_run.model, tmp_path / "older.onnx"], faces, tmp_path / "both.onnx")
    assert not (tmp_path / "both.onnx").exists()


def test_the_command(mien, tmp_path, tiny_run, face_folder):
    second = altered(tiny_run.model, tmp_path / "second.onnx", scale=4)
    out = tmp_path / "both.onnx"
    given = (tiny_run.path, second, "--data", face_folder, "--out", out)
    said = mien("ensemble", *given)
    assert said.code == 0, said.err
    content = json.loads(mien("ensemble", *given, "--json").out)
    assert (content["file"], content["models"], content["bytes"]) == (str(out), 2, out.stat().st_size)
    evaluated = mien("evaluate", out, "--data", face_folder, "--json")
    assert json.loads(evaluated.out)["headline"] == content["headline"]
    assert note_codes(evaluated.err) == []
    face = next((face_folder / "test" / "happy").iterdir())
    assert mien("predict", face, "--crops", "--model", out).code == 0
    assert mien("explain", out, face, "--crops", "--out", tmp_path / "maps").code == 0


@pytest.mark.parametrize(
    ("models", "out", "code"),
    [
        (("second.onnx",), "both.onnx", "ensemble-too-few"),
        (("second.onnx", "run"), "both.txt", "out-suffix"),
        (("second.onnx", "run"), "second.onnx", "out-is-source"),
        (("second.onnx", "none.onnx"), "both.onnx", "model-missing"),
    ],
)
def test_mistakes_are_one_line(mien, tmp_path, monkeypatch, tiny_run, face_folder, models, out, code):
    monkeypatch.chdir(tmp_path)
    altered(tiny_run.model, tmp_path / "second.onnx", scale=4)
    shutil.copytree(tiny_run.path, tmp_path / "run")
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    refused(mien("ensemble", *models, "--data", face_folder, "--out", out), code)
    assert {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()} == before
