"""The model file and its manifest. Oracle of odd graphs: onnx's own builders; each was seen to get through before."""

import json
import math
import multiprocessing
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from PIL import Image

import mien
from mien.base import model_file
from mien.base.errors import ModelError
from mien.base.model_file import SCHEMA_VERSION, Manifest, attach_manifest, open_model, read_manifest
from mien.base.preprocess import InputSpec
from support import raises, refused


def graph(name="images", logits=2, perceived=None, between=(), constants=(), kind=TensorProto.FLOAT):
    """A graph of the model file's form: sums of 8 x 8 pixels for each logit, of one output or two.

    ``between``: nodes from ``sums``, float32 (n, 2), to ``logits``.
    """
    images = helper.make_tensor_value_info(name, kind, ["n", 1, 8, 8])
    outputs = [helper.make_tensor_value_info("logits", kind, ["n", logits])]
    made = helper.make_tensor("w", kind, [64, logits], [0.01] * (64 * logits))
    tensors = [made, helper.make_tensor("s", TensorProto.INT64, [2], [-1, 64]), *constants]
    nodes = [
        helper.make_node("Reshape", [name, "s"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["sums"]),
        *(between or [helper.make_node("Identity", ["sums"], ["logits"])]),
    ]
    if perceived is not None:
        outputs.append(helper.make_tensor_value_info("logits_perceived", TensorProto.FLOAT, ["n", perceived]))
        tensors.append(helper.make_tensor("v", TensorProto.FLOAT, [64, perceived], [1.0] * (64 * perceived)))
        nodes.append(helper.make_node("MatMul", ["flat", "v"], ["logits_perceived"]))
    made = helper.make_graph(nodes, "g", [images], outputs, tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


MANIFEST = Manifest(
    name="tiny", classes=("a", "ä"), input=InputSpec(size_px=8, crop_px=8), parameters=3, recipe={"classes": "all"},
    recipe_digest="sha256:0", data_fingerprint="sha256:1", epoch=2, scores={"validation_accuracy": 0.5},
    mien_version="0.1.0", created="2026-01-01T00:00:00+00:00",
)  # fmt: skip
OUTPUTS = {
    "fer2013": {"classes": ["a", "ä"], "target": "label"},
    "perceived": {"classes": ["a", "ä", "unknown"], "temperature": 1.5, "target": "votes"},
}
ONE = MANIFEST.model_dump(mode="json")
BOTH = ONE | {"schema_version": 2, "outputs": OUTPUTS, "temperature": 0.8}


def write(path, model, manifest=MANIFEST):
    path.write_bytes(attach_manifest(model.SerializeToString(), manifest))
    return path


@pytest.fixture
def model(tmp_path):
    return write(tmp_path / "model.onnx", graph())


def test_write_manifest_keeps_graph_metadata_and_the_rule_of_the_answer(model, tmp_path):
    content = onnx.load(model)
    content.metadata_props.add(key="other", value="kept")
    onnx.save(content, model)
    model.write_bytes(attach_manifest(model.read_bytes(), MANIFEST.model_copy(update={"temperature": 1.5})))
    session, again = open_model(model)
    assert (again.temperature, session.get_modelmeta().custom_metadata_map["other"]) == (1.5, "kept")
    assert sorted(each.key for each in onnx.load(model).metadata_props) == ["mien.manifest", "other"]
    written = Manifest.model_validate(BOTH | {"answer": GOOD_RULE, "schema_version": SCHEMA_VERSION})
    found = read_manifest(write(tmp_path / "m.onnx", graph(perceived=3), written))
    assert (found.answer, found.schema_version) == (written.answer, SCHEMA_VERSION)
    assert [each.name for each in found.outputs_to_choose] == ["answer", "fer2013", "perceived"]
    assert (found.output().name, found.output("perceived").rule) == ("answer", None)
    manifest = Manifest.model_validate(BOTH)
    assert manifest.output() == manifest.output("perceived")
    assert (manifest.output().logits, manifest.output().temperature) == ("logits_perceived", 1.5)
    label = manifest.output("fer2013")
    assert (label.logits, label.temperature, label.perceived) == ("logits", 0.8, False)
    with raises(ModelError, "output-unknown"):
        manifest.output("percieved")


def with_manifest(file, content):
    model = graph()
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        model.metadata_props.add(key="mien.manifest", value=text)
    file.write_bytes(model.SerializeToString())
    return file


@pytest.mark.parametrize(("form", "manifest"), [
    ({"name": "x"}, MANIFEST),
    ({"logits": 5}, MANIFEST),
    ({"kind": TensorProto.DOUBLE}, MANIFEST),
    # The second output is missing, or has another number of classes.
    *(({"perceived": count}, Manifest.model_validate(BOTH)) for count in (None, 2, 4)),
])  # fmt: skip
def test_load_rejects_a_graph_that_differs_from_its_manifest(tmp_path, form, manifest):
    file = write(tmp_path / "m.onnx", graph(perceived=3), Manifest.model_validate(BOTH))
    assert list(read_manifest(file).outputs) == ["fer2013", "perceived"]
    with raises(ModelError, "model-damaged", *(["logits_perceived"] if manifest.outputs else [])):
        read_manifest(write(file, graph(**form), manifest))


GOOD_RULE = {"output": "perceived", "prior": [0.5, 0.3, 0.2], "strength": 0.4, "unsure_below": 0.3}


def outputs(**changes):
    """The manifest of two outputs, with one of them changed."""
    return BOTH | {"outputs": {name: each | changes.get(name, {}) for name, each in OUTPUTS.items()}}


def rule(**changes):
    return BOTH | {"answer": GOOD_RULE | changes, "schema_version": 4}


@pytest.mark.parametrize("content", [
    *("{", "[1]", "[" * 200_000, '{"schema_version": 1, "name": 3}'),
    *(ONE | {"temperature": each} for each in (math.inf, 0)),
    *(ONE | {"classes": each} for each in (["a", "a"], ["a"])),
    outputs(perceived={"classes": ["a", "a"]}),
    *(outputs(perceived={"temperature": 0}), outputs(perceived={"target": "guesses"})),
    *(rule(prior=[0.5, 0.5]), rule(prior=[0.5, 0.5, 0.0]), rule(output="fer2013"), rule(output="votes")),
    *(rule(strength=2), rule(unsure_below=1), rule(unsure_below=-0.1), rule(bias=1)),
], ids=lambda content: type(content).__name__)  # fmt: skip
def test_read_manifest_rejects_impossible_values(tmp_path, content):
    with raises(ModelError, "model-damaged"):
        read_manifest(with_manifest(tmp_path / "m.onnx", content))


def test_read_manifest_rejects_half_missing_other_and_newer_files(tmp_path, tiny_run):
    """Real weights: in half of a real file the graph is gone."""
    file, whole = tmp_path / "m.onnx", tiny_run.model.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not an onnx file", b"PK\x03\x04 of PyTorch"):
        file.write_bytes(content)
        with raises(ModelError, "model-damaged", "m.onnx"):
            read_manifest(file)
    for path in (tmp_path / "none.onnx", tmp_path):
        with raises(ModelError, "model-missing", path):
            read_manifest(path)
    with raises(ModelError, "manifest-missing"):
        read_manifest(with_manifest(tmp_path / "m.onnx", None))
    newer = ONE | {"schema_version": SCHEMA_VERSION + 1, "new_field": 1}
    with raises(ModelError, "model-newer", "pip install -U mien"):
        read_manifest(with_manifest(tmp_path / "m.onnx", newer))


def test_onnxruntime_does_not_report(tiny_run, tmp_path):
    """It would leave an identifier and a queue of what to send in the user's folders."""
    code = f"""
import os
import mien
mien.load({str(tiny_run.path)!r})
assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
"""
    folders = {name: str(tmp_path / name) for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR")}
    for folder in folders.values():
        Path(folder).mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    subprocess.run([sys.executable, "-B", "-c", code], env=environment | folders, check=True)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("found", "there"),
    [(["SSE42", "AVX2"], False), (["AVX2", "AVX512_ICL"], True), (["AVX512_SPR"], True), (["AVX512_SKX"], False)],
)
def test_int8_uses_the_dot_products_numpy_detects(monkeypatch, found, there):
    """Oracle: Intel's list of what Ice Lake and Sapphire Rapids have and Skylake has not."""
    monkeypatch.setattr("numpy.show_config", lambda mode: {"SIMD Extensions": {"found": found}})
    assert model_file._has_int8_dot_product() is there
    monkeypatch.setattr("numpy.show_config", lambda mode: {})
    assert model_file._has_int8_dot_product() is False


def test_load_explains_errors_of_onnxruntime(model, monkeypatch):
    """A stand-in for onnxruntime, whose own fallback prints to stdout, and whose errors go on with C++ locations."""
    asked = []

    def refuse(*arguments, **named):
        asked.append(named)
        raise RuntimeError("No such operator\n/onnxruntime/core/graph.cc:12")

    monkeypatch.setattr(onnxruntime, "InferenceSession", refuse)
    with raises(ModelError, "model-damaged", "No such operator") as caught:
        open_model(model)
    assert "graph.cc" not in str(caught.value)
    assert asked[0]["enable_fallback"] == 0


@pytest.mark.parametrize("where", ["w.bin", "../w.bin", "folder/w.bin"])
def test_load_rejects_external_weights(tmp_path, monkeypatch, where):
    """Not beside the model, nor in the working folder, where onnxruntime looks for those of a model in bytes."""
    model = graph()
    (weights,) = (each for each in model.graph.initializer if each.name == "w")
    for folder in (tmp_path, tmp_path / "here", tmp_path / "here" / "folder"):
        folder.mkdir(exist_ok=True)
        (folder / "w.bin").write_bytes(np.ones(128, np.float32).tobytes())
    weights.ClearField("float_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value=where)
    monkeypatch.chdir(tmp_path / "here")
    for file in ("m.onnx", tmp_path / "m.onnx"):
        with raises(ModelError, "model-damaged"):
            open_model(write(Path(file), model))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_predict_rejects_logits_that_are_not_finite(tmp_path, request, faces, value):
    command = request.getfixturevalue("mien")
    Image.fromarray(np.asarray(faces.images[0])).resize((8, 8)).save(tmp_path / "face.png")
    constant = helper.make_tensor("c", TensorProto.FLOAT, [1], [value])
    made = graph(between=[helper.make_node("Mul", ["sums", "c"], ["logits"])], constants=[constant])
    file = write(tmp_path / "m.onnx", made)
    for form in ((), ("--json",)):
        refused(command("predict", tmp_path / "face.png", "--crops", "--model", file, *form), "model-damaged", "NaN")


def test_predict_explains_errors_of_onnxruntime(tmp_path):
    """Fine on 64 images; with 3 a shape is impossible."""
    first = helper.make_node("Reshape", ["sums", "sizes"], ["all"])
    nodes = [first, helper.make_node("Reshape", ["all", "two"], ["logits"])]
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [2], [128, -1])
    two = helper.make_tensor("two", TensorProto.INT64, [2], [-1, 2])
    predictor = mien.load(write(tmp_path / "m.onnx", graph(between=nodes, constants=[sizes, two])))
    with raises(ModelError, "model-damaged"):
        predictor.probabilities(np.zeros((3, 8, 8), np.uint8))


@pytest.mark.parametrize("name", [b"images", b"logits", b"mien.manifest", b"tiny"])
def test_load_rejects_names_that_are_not_utf8(model, name):
    content = model.read_bytes()
    assert name in content
    model.write_bytes(content.replace(name, b"\xff" + name[1:]))
    with pytest.raises(ModelError):
        open_model(model)


def test_a_pickled_predictor_opens_its_file_again(faces):
    """Oracle: the predictor itself. Worker processes of torch and joblib get their copies so."""
    predictor, images = mien.load(), np.asarray(faces.images[:3])
    assert np.array_equal(pickle.loads(pickle.dumps(predictor)).probabilities(images), predictor.probabilities(images))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(predictor.probabilities, (images,)), predictor.probabilities(images))


@pytest.mark.parametrize(
    ("recipe", "mirrored"),
    [({}, True), ({"augment": {"flip": True}}, True), ({"augment": {"flip": False}}, False),
     ({"augment": {"flip": True, "name": "own"}}, False)],
)  # fmt: skip
def test_manifest_states_whether_training_mirrored_faces(tiny_run, recipe, mirrored):
    assert read_manifest(tiny_run.model).model_copy(update={"recipe": recipe}).mirrored is mirrored
