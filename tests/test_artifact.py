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

from mien import artifact
from mien.artifact import SCHEMA_VERSION, Manifest, attach_manifest, open_model, read_manifest, replace_manifest
from mien.errors import ModelError
from mien.preprocess import InputSpec


def small_graph(name="images", logits=2):
    """A graph of the artifact's form: sums of 8 x 8 pixels, copied to each logit."""
    images = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 1, 8, 8])
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", logits])
    weights = helper.make_tensor("w", TensorProto.FLOAT, [64, logits], [1.0] * (64 * logits))
    shape = helper.make_tensor("s", TensorProto.INT64, [2], [-1, 64])
    nodes = [helper.make_node("Reshape", [name, "s"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["logits"])]
    graph = helper.make_graph(nodes, "g", [images], [output], [weights, shape])
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
    with pytest.raises(ModelError, match="does not fit its manifest"):
        read_manifest(file)


def test_a_newer_schema_says_upgrade(tmp_path, manifest):
    newer = manifest.model_dump(mode="json") | {"schema_version": SCHEMA_VERSION + 1, "new_field": 1}
    with pytest.raises(ModelError, match=r"newer mien.*pip install -U mien"):
        read_manifest(with_manifest(tmp_path / "m.onnx", json.dumps(newer)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "without mien's manifest"),
        ("{", "manifest is damaged"),
        ("[1]", "manifest is damaged"),
        ("[" * 200_000, "manifest is damaged"),
        ('{"schema_version": 1, "name": 3}', "manifest is damaged at"),
    ],
)
def test_other_peoples_and_damaged_manifests(tmp_path, text, message):
    with pytest.raises(ModelError, match=message):
        read_manifest(with_manifest(tmp_path / "m.onnx", text))


@pytest.mark.parametrize(
    ("key", "value"), [("temperature", math.inf), ("temperature", 0), ("classes", ["a", "a"]), ("classes", ["a"])]
)
def test_a_manifest_that_answers_nothing_is_damaged(tmp_path, manifest, key, value):
    content = manifest.model_dump(mode="json") | {key: value}
    with pytest.raises(ModelError, match=f"manifest is damaged at '{key}'"):
        read_manifest(with_manifest(tmp_path / "m.onnx", json.dumps(content)))


def test_a_file_cut_in_half_is_one_line(tmp_path, tiny_run):
    """Real weights: in half of a real file the graph is gone."""
    file = tmp_path / "m.onnx"
    whole = tiny_run.model.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not an onnx file"):
        file.write_bytes(content)
        with pytest.raises(ModelError, match=r"m\.onnx") as error:
            read_manifest(file)
        assert "\n" not in str(error.value)


def test_a_model_that_may_not_be_read_is_not_called_damaged(tiny_run, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ModelError, match=r"model\.onnx cannot be read: Permission denied\."):
        read_manifest(tiny_run.model)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        read_manifest(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match="is a folder"):
        read_manifest(tmp_path)


@pytest.mark.skipif(not Path("/proc/cpuinfo").is_file(), reason="the oracle is Linux's /proc/cpuinfo")
def test_the_exact_way_is_taken_only_where_there_is_no_8_bit_dot_product(tiny_run, monkeypatch):
    """Oracle: the flags of the CPU as Linux names them. onnxruntime refuses no key, so its options are watched."""
    flags = Path("/proc/cpuinfo").read_text().split()
    if artifact._has_int8_dot_product():
        assert "avx512_vnni" in flags
    else:
        assert not {"avx512_vnni", "avx512_vbmi2"} <= set(flags)
    seen = []

    class Options(onnxruntime.SessionOptions):
        def add_session_config_entry(self, key, value):
            seen.append((key, value))
            super().add_session_config_entry(key, value)

    monkeypatch.setattr(onnxruntime, "SessionOptions", Options)
    for there, expected in ((True, []), (False, [("session.x64quantprecision", "1")])):
        monkeypatch.setattr(artifact, "_has_int8_dot_product", lambda there=there: there)
        seen.clear()
        open_model(tiny_run.model)
        assert seen == expected


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
