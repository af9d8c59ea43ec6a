"""Model files that are odd or damaged and still load: each is one line with a code, never a class.

Oracle: onnx's own builders make each graph, and each was seen to get through before.
"""

import multiprocessing
import pickle
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import mien
from mien.base.errors import ModelError
from mien.base.model_file import Manifest, attach_manifest, open_model
from mien.base.preprocess import InputSpec
from support import raises, refused


def manifest_of(name="m"):
    return Manifest(
        name=name,
        classes=("a", "b"),
        input=InputSpec(size_px=8, crop_px=8),
        parameters=128,
        recipe={},
        recipe_digest="sha256:0",
        data_fingerprint="sha256:1",
        epoch=1,
        mien_version="0.1.0",
        created="2026-01-01T00:00:00+00:00",
    )


def small_graph():
    return with_nodes([helper.make_node("Identity", ["sums"], ["logits"])]).SerializeToString()


def write(path, model):
    path.write_bytes(attach_manifest(model.SerializeToString(), manifest_of()))
    return path


def with_nodes(nodes, constants=(), kind=TensorProto.FLOAT):
    """A model with nodes between ``sums``, float32 (n, 2), and ``logits``."""
    images = helper.make_tensor_value_info("images", kind, ["n", 1, 8, 8])
    logits = helper.make_tensor_value_info("logits", kind, ["n", 2])
    shape = helper.make_tensor("two", TensorProto.INT64, [2], [-1, 2])
    weights = helper.make_tensor("w", kind, [64, 2], [0.01] * 128)
    flat = helper.make_tensor("flat", TensorProto.INT64, [2], [-1, 64])
    first = [
        helper.make_node("Reshape", ["images", "flat"], ["rows"]),
        helper.make_node("MatMul", ["rows", "w"], ["sums"]),
    ]
    graph = helper.make_graph([*first, *nodes], "g", [images], [logits], [shape, weights, flat, *constants])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


@pytest.mark.parametrize("where", ["w.bin", "../w.bin", "folder/w.bin"])
def test_weights_in_another_file_are_not_read(tmp_path, monkeypatch, where):
    """Not beside the model, nor in the working folder, where onnxruntime looks for those of a model in bytes."""
    model = onnx.load_model_from_string(small_graph())
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
def test_logits_that_are_no_numbers_are_one_line_and_never_a_class(tmp_path, request, faces, value):
    from PIL import Image

    command = request.getfixturevalue("mien")
    Image.fromarray(np.asarray(faces.images[0])).resize((8, 8)).save(tmp_path / "face.png")
    constant = helper.make_tensor("c", TensorProto.FLOAT, [1], [value])
    file = write(tmp_path / "m.onnx", with_nodes([helper.make_node("Mul", ["sums", "c"], ["logits"])], [constant]))
    refused(command("predict", tmp_path / "face.png", "--crops", "--model", file), "model-output")
    refused(command("predict", tmp_path / "face.png", "--crops", "--model", file, "--json"), "model-output")


def test_an_input_of_doubles_does_not_fit(tmp_path):
    model = with_nodes([helper.make_node("Identity", ["sums"], ["logits"])], kind=TensorProto.DOUBLE)
    with raises(ModelError, "graph-mismatch"):
        open_model(write(tmp_path / "m.onnx", model))


def test_what_onnxruntime_raises_in_a_run_is_one_line(tmp_path):
    """Fine on 64 images; with 3 a shape is impossible."""
    nodes = [
        helper.make_node("Reshape", ["sums", "sizes"], ["all"]),
        helper.make_node("Reshape", ["all", "two"], ["logits"]),
    ]
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [2], [128, -1])
    predictor = mien.load(write(tmp_path / "m.onnx", with_nodes(nodes, [sizes])))
    with raises(ModelError, "model-run") as caught:
        predictor.probabilities(np.zeros((3, 8, 8), np.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [b"images", b"logits", b"mien.manifest", b"tiny"])
def test_a_name_that_is_no_utf8_is_one_line(tmp_path, name):
    content = attach_manifest(small_graph(), manifest_of(name="tiny"))
    assert name in content
    (tmp_path / "m.onnx").write_bytes(content.replace(name, b"\xff" + name[1:]))
    with pytest.raises(ModelError) as caught:
        open_model(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)


def test_a_pickled_predictor_opens_its_file_again(faces):
    """Oracle: the predictor itself. Worker processes of torch and joblib get their copies so."""
    predictor = mien.load()
    images = np.asarray(faces.images[:3])
    again = pickle.loads(pickle.dumps(predictor))
    assert np.array_equal(again.probabilities(images), predictor.probabilities(images))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(predictor.probabilities, (images,)), predictor.probabilities(images))
