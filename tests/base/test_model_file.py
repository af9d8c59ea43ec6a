import json
import math
import os
import subprocess
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from mien.base import model_file
from mien.base.errors import ModelError
from mien.base.model_file import SCHEMA_VERSION, Manifest, attach_manifest, open_model, read_manifest, replace_manifest
from mien.base.preprocess import InputSpec
from support import raises


def small_graph(name="images", logits=2, perceived=None):
    """A graph of the artifact's form: sums of 8 x 8 pixels, copied to each logit, of one output or two."""
    images = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, 8, 8])
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", logits])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [64, logits], [1.0] * (64 * logits))
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [-1, 64])
    nodes = [helper.make_node("Reshape", [name, "s"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    outputs, tensors = [output], [weights, shape]
    if perceived is not None:
        outputs.append(helper.make_tensor_value_info("logits_perceived", TensorProto.FLOAT, ["n", perceived]))
        tensors.append(helper.make_tensor("v", TensorProto.FLOAT, [64, perceived], [1.0] * (64 * perceived)))
        nodes.append(helper.make_node("MatMul", ["flat", "v"], ["logits_perceived"]))
    graph = helper.make_graph(nodes, "g", [images], outputs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


@pytest.fixture
def manifest():
    return Manifest(
        name="tiny",
        classes=("a", "ä"),
        input=InputSpec(size_px=8, crop_px=8),
        parameters=3,
        recipe={"classes": "all"},
        recipe_digest="sha256:0",
        data_fingerprint="sha256:1",
        epoch=2,
        scores={"validation_accuracy": 0.5},
        mien_version="0.1.0",
        created="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture
def both(manifest):
    """The manifest with two outputs, as a dict."""
    outputs = {
        "fer2013": {"classes": ["a", "ä"], "target": "label"},
        "perceived": {"classes": ["a", "ä", "unknown"], "temperature": 1.5, "target": "votes"},
    }
    return manifest.model_dump(mode="json") | {"schema_version": 2, "outputs": outputs, "temperature": 0.8}


@pytest.fixture
def model(tmp_path, manifest):
    file = tmp_path / "model.onnx"
    file.write_bytes(attach_manifest(small_graph(), manifest))
    return file


def test_a_manifest_comes_back_as_it_went_in(model, manifest):
    assert read_manifest(model) == manifest


def test_replacing_a_manifest_keeps_the_graph_and_other_metadata(model, manifest):
    content = onnx.load(model)
    content.metadata_props.add(key="other", value="kept")
    onnx.save(content, model)
    replace_manifest(model, manifest.model_copy(update={"temperature": 1.5}))
    session, again = open_model(model)
    assert again.temperature == 1.5
    assert session.get_modelmeta().custom_metadata_map["other"] == "kept"
    assert sorted(each.key for each in onnx.load(model).metadata_props) == ["mien.manifest", "other"]


def with_manifest(file, text):
    model = onnx.load_model_from_string(small_graph())
    if text is not None:
        model.metadata_props.add(key="mien.manifest", value=text)
    file.write_bytes(model.SerializeToString())
    return file


@pytest.mark.parametrize("form", [{"name": "x"}, {"logits": 5}])
def test_a_graph_that_does_not_fit_its_manifest_is_refused(tmp_path, manifest, form):
    file = tmp_path / "m.onnx"
    file.write_bytes(attach_manifest(small_graph(**form), manifest))
    with raises(ModelError, "graph-mismatch"):
        read_manifest(file)


def test_the_output_that_answers(both):
    manifest = Manifest.model_validate(both)
    assert manifest.output() == manifest.output("perceived")
    assert (manifest.output().logits, manifest.output().temperature) == ("logits_perceived", 1.5)
    label = manifest.output("fer2013")
    assert (label.logits, label.temperature, label.perceived) == ("logits", 0.8, False)
    with raises(ModelError, "output-unknown"):
        manifest.output("percieved")


@pytest.mark.parametrize("perceived", [None, 2, 4])
def test_a_graph_without_an_output_of_its_manifest_is_refused(tmp_path, both, perceived):
    """It is missing, or has another number of classes."""
    file = tmp_path / "m.onnx"
    file.write_bytes(attach_manifest(small_graph(perceived=3), Manifest.model_validate(both)))
    assert list(read_manifest(file).outputs) == ["fer2013", "perceived"]
    file.write_bytes(attach_manifest(small_graph(perceived=perceived), Manifest.model_validate(both)))
    with raises(ModelError, "graph-mismatch") as caught:
        read_manifest(file)
    assert "logits_perceived" in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda outputs: outputs["fer2013"].update(classes=["a", "b"]),
        lambda outputs: outputs["perceived"].update(classes=["a", "a"]),
        lambda outputs: outputs["perceived"].update(temperature=0),
        lambda outputs: outputs["perceived"].update(target="guesses"),
        lambda outputs: outputs["perceived"].update(target="label"),
        lambda outputs: outputs["fer2013"].update(target="votes"),
        lambda outputs: outputs.update({"Not a name": outputs["perceived"]}),
    ],
)
def test_impossible_outputs_are_damage(tmp_path, both, change):
    change(both["outputs"])
    with raises(ModelError, "manifest-damaged") as caught:
        read_manifest(with_manifest(tmp_path / "m.onnx", json.dumps(both)))
    assert "\n" not in str(caught.value)


GOOD_RULE = {"output": "perceived", "prior": [0.5, 0.3, 0.2], "strength": 0.4, "unsure_below": 0.3}


def test_a_rule_for_the_answer_comes_back(tmp_path, both):
    file = tmp_path / "m.onnx"
    written = Manifest.model_validate(both | {"answer": GOOD_RULE, "schema_version": 4})
    file.write_bytes(attach_manifest(small_graph(perceived=3), written))
    found = read_manifest(file)
    assert (found.answer, found.schema_version) == (written.answer, 4)
    assert [each.name for each in found.outputs_to_choose] == ["answer", "fer2013", "perceived"]
    assert (found.output().name, found.output("perceived").rule) == ("answer", None)
    assert json.loads(written.model_copy(update={"answer": None}).written()).get("answer", 0) == 0


@pytest.mark.parametrize(
    "change",
    [
        *({"prior": [0.5, 0.5]}, {"prior": [0.5, 0.5, 0.0]}, {"output": "fer2013"}, {"output": "votes"}),
        *({"strength": 2}, {"unsure_below": 1}, {"unsure_below": -0.1}, {"bias": 1}),
    ],
)
def test_a_rule_that_does_not_fit_is_damage(tmp_path, both, change):
    content = both | {"answer": GOOD_RULE | change, "schema_version": 4}
    with raises(ModelError, "manifest-damaged") as caught:
        read_manifest(with_manifest(tmp_path / "m.onnx", json.dumps(content)))
    assert "\n" not in str(caught.value)


def test_a_newer_schema_says_upgrade(tmp_path, manifest):
    newer = manifest.model_dump(mode="json") | {"schema_version": SCHEMA_VERSION + 1, "new_field": 1}
    with raises(ModelError, "model-newer", "pip install -U mien"):
        read_manifest(with_manifest(tmp_path / "m.onnx", json.dumps(newer)))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (None, "manifest-missing"),
        ("{", "manifest-damaged"),
        ("[1]", "manifest-damaged"),
        ("[" * 200_000, "manifest-damaged"),
        ('{"schema_version": 1, "name": 3}', "manifest-damaged"),
    ],
)
def test_other_peoples_and_damaged_manifests(tmp_path, text, code):
    with raises(ModelError, code):
        read_manifest(with_manifest(tmp_path / "m.onnx", text))


@pytest.mark.parametrize(
    ("key", "value"), [("temperature", math.inf), ("temperature", 0), ("classes", ["a", "a"]), ("classes", ["a"])]
)
def test_a_manifest_that_answers_nothing_is_damaged(tmp_path, manifest, key, value):
    content = manifest.model_dump(mode="json") | {key: value}
    with raises(ModelError, "manifest-damaged", f"'{key}'"):
        read_manifest(with_manifest(tmp_path / "m.onnx", json.dumps(content)))


def test_a_file_cut_in_half_is_one_line(tmp_path, tiny_run):
    """Real weights: in half of a real file the graph is gone."""
    file = tmp_path / "m.onnx"
    whole = tiny_run.model.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not an onnx file"):
        file.write_bytes(content)
        with raises(ModelError, "model-damaged", "m.onnx") as error:
            read_manifest(file)
        assert "\n" not in str(error.value)


def test_missing_file_and_folder(tmp_path):
    with raises(ModelError, "model-missing", "none.onnx"):
        read_manifest(tmp_path / "none.onnx")
    with raises(ModelError, "model-missing", tmp_path):
        read_manifest(tmp_path)


def test_onnxruntime_does_not_report(tiny_run, tmp_path):
    """It would leave an identifier and a queue of what to send in the user's folders.."""
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
def test_8_bit_dot_products_go_by_what_numpy_found(monkeypatch, found, there):
    """Oracle: Intel's list of what Ice Lake and Sapphire Rapids have and Skylake has not."""
    monkeypatch.setattr("numpy.show_config", lambda mode: {"SIMD Extensions": {"found": found}})
    assert model_file._has_int8_dot_product() is there
    monkeypatch.setattr("numpy.show_config", lambda mode: {})
    assert model_file._has_int8_dot_product() is False


def test_what_onnxruntime_says_is_one_line_and_it_tries_nothing_else(model, monkeypatch):
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
