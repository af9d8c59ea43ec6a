"""Model files made to do harm, or damaged so that they still load: each is one line with a code, within seconds.

Oracle of what is harmful: onnx's own builders make each graph, and each was seen to get through before.
"""

import json
import multiprocessing
import pickle
import sys
import time
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import mien
from mien.artifact import attach_manifest, open_model
from mien.errors import ModelError
from mien.first_run import check_first_run
from mien.first_run_child import limit
from mien.manifest import Manifest
from mien.preprocess import InputSpec
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


def test_weights_in_another_file_are_refused_before_onnxruntime_sees_the_model(tmp_path, monkeypatch):
    model = onnx.load_model_from_string(small_graph())
    (weights,) = (each for each in model.graph.initializer if each.name == "w")
    (tmp_path / "w.bin").write_bytes(np.ones(128, np.float32).tobytes())
    weights.ClearField("float_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="w.bin")
    monkeypatch.setattr("onnxruntime.InferenceSession", None)
    with raises(ModelError, "model-external-data"):
        open_model(write(tmp_path / "m.onnx", model))


def loop():
    """Adds up for ever: a Loop without a count, whose condition stays true."""
    true = helper.make_tensor("true", TensorProto.BOOL, [], [True])
    names = ["i", "c", "x"]
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["again"]), helper.make_node("Add", ["x", "x"], ["next"])],
        "body",
        [helper.make_tensor_value_info(n, k, s) for n, k, s in zip(names, [7, 9, 1], [[], [], ["n", 2]], strict=True)],
        [helper.make_tensor_value_info("again", 9, []), helper.make_tensor_value_info("next", 1, ["n", 2])],
    )
    return with_nodes([helper.make_node("Loop", ["", "true", "sums"], ["logits"], body=body)], [true])


def size_from_pixels():
    nodes = [
        helper.make_node("Cast", ["sums"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["whole", "one"], ["sizes"]),
        helper.make_node("Expand", ["w1", "sizes"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["total"], keepdims=0),
        helper.make_node("Add", ["sums", "total"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("one", TensorProto.INT64, [1], [-1]),
        helper.make_tensor("w1", TensorProto.FLOAT, [1], [1.0]),
    ]
    return with_nodes(nodes, constants)


def size_from_a_shape_made_of_pixels():
    """Pixels reshape an image; its shape, which is computed from no pixel itself, then says how large an array is."""
    nodes = [
        helper.make_node("ReduceMax", ["images"], ["top"], keepdims=0),
        helper.make_node("Cast", ["top"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Max", ["whole", "least"], ["rows_wanted"]),
        helper.make_node("Concat", ["rows_wanted", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["images", "target"], ["told"]),
        helper.make_node("Shape", ["told"], ["size"]),
        helper.make_node("ConstantOfShape", ["size"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["total"], keepdims=0),
        helper.make_node("Add", ["sums", "total"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("least", TensorProto.INT64, [1], [1]),
        helper.make_tensor("rest", TensorProto.INT64, [1], [-1]),
    ]
    return with_nodes(nodes, constants)


@pytest.mark.parametrize(
    ("make", "code"),
    [(loop, "model-operator"), (size_from_pixels, "model-size"), (size_from_a_shape_made_of_pixels, "model-size")],
)
def test_a_cost_that_depends_on_pixels_is_refused(tmp_path, make, code):
    with raises(ModelError, code):
        open_model(write(tmp_path / "m.onnx", make()))


def outer_product(side):
    """A product of (n, side) and (side, n * side) is asked for by a file of a few kilobytes."""
    nodes = [
        helper.make_node("Expand", ["w1", "side"], ["large"]),
        helper.make_node("ReduceSum", ["large"], ["total"], keepdims=0),
        helper.make_node("ReduceSum", ["sums"], ["zero"], keepdims=0),
        helper.make_node("Add", ["total", "zero"], ["both"]),
        helper.make_node("Add", ["sums", "both"], ["logits"]),
    ]
    constants = [
        helper.make_tensor("side", TensorProto.INT64, [2], [side, side]),
        helper.make_tensor("w1", TensorProto.FLOAT, [1], [1.0]),
    ]
    return with_nodes(nodes, constants)


def test_more_memory_than_a_model_may_take_is_refused_in_a_process_of_its_own(tmp_path):
    """40,000 x 40,000 floats are 6.4 GB; the limit is 4 GiB. This process never holds them."""
    file = write(tmp_path / "m.onnx", outer_product(40_000))
    began = time.monotonic()
    with raises(ModelError, "model-first-run"):
        open_model(file)
    assert time.monotonic() - began < 60
    open_model(write(tmp_path / "small.onnx", outer_product(10)))


def test_more_time_than_a_model_may_take_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mien.first_run.CPU_SECONDS", 1)
    squares = [helper.make_node("MatMul", [f"s{n}" if n else "large", "large"], [f"s{n + 1}"]) for n in range(40)]
    nodes = [
        helper.make_node("ReduceSum", ["sums"], ["one"], keepdims=0),
        helper.make_node("Expand", ["one", "side"], ["large"]),
        *squares,
        helper.make_node("ReduceSum", ["s40"], ["total"], keepdims=0),
        helper.make_node("Add", ["sums", "total"], ["logits"]),
    ]
    side = helper.make_tensor("side", TensorProto.INT64, [2], [4000, 4000])
    with raises(ModelError, "model-first-run"):
        open_model(write(tmp_path / "m.onnx", with_nodes(nodes, [side])))


def test_a_model_is_run_first_once_and_what_came_with_mien_never(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "m.onnx"
    file.write_bytes(attach_manifest(small_graph(), manifest_of()))
    open_model(file)

    def refuse(*_, **__):
        raise AssertionError("a process was started")

    monkeypatch.setattr("subprocess.run", refuse)
    open_model(file)
    file.write_bytes(attach_manifest(small_graph(), manifest_of(name="another")))
    open_model(file)
    mien.load("default")
    with pytest.raises(AssertionError):
        check_first_run(file.read_bytes() + b"\x40\x01", file)  # a field more


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_no_numbers_are_one_line_and_never_a_class(tmp_path, request, faces, value):
    from PIL import Image

    command = request.getfixturevalue("mien")
    Image.fromarray(np.asarray(faces.images[0])).resize((8, 8)).save(tmp_path / "face.png")
    constant = helper.make_tensor("c", TensorProto.FLOAT, [1], [value])
    file = write(tmp_path / "m.onnx", with_nodes([helper.make_node("Mul", ["sums", "c"], ["logits"])], [constant]))
    refused(command("predict", tmp_path / "face.png", "--crops", "--model", file), "model-output")
    refused(command("predict", tmp_path / "face.png", "--crops", "--model", file, "--json"), "model-output")


def test_one_row_for_all_images_is_refused(tmp_path):
    one = helper.make_tensor("dim", TensorProto.INT64, [1], [0])
    nodes = [helper.make_node("ReduceMean", ["sums", "dim"], ["logits"], keepdims=1)]
    predictor = mien.load(write(tmp_path / "m.onnx", with_nodes(nodes, [one])))
    with raises(ModelError, "model-output"):
        predictor.probabilities(np.zeros((3, 8, 8), np.uint8))


def test_an_input_of_doubles_does_not_fit(tmp_path):
    model = with_nodes([helper.make_node("Identity", ["sums"], ["logits"])], kind=TensorProto.DOUBLE)
    with raises(ModelError, "model-first-run"):
        open_model(write(tmp_path / "m.onnx", model))


def test_what_onnxruntime_raises_in_a_run_is_one_line(tmp_path):
    """Fine on the 64 images of the first run; with 3 a shape is impossible."""
    nodes = [
        helper.make_node("Reshape", ["sums", "sizes"], ["all"]),
        helper.make_node("Reshape", ["all", "two"], ["logits"]),
    ]
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [2], [128, -1])
    predictor = mien.load(write(tmp_path / "m.onnx", with_nodes(nodes, [sizes])))
    with raises(ModelError, "model-run") as caught:
        predictor.probabilities(np.zeros((3, 8, 8), np.uint8))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("temperature", 1e-320), ("std", 1e-300), ("temperature", 1e300)])
def test_numbers_that_make_every_answer_infinite_are_a_damaged_manifest(tmp_path, name, value):
    content = manifest_of().model_dump(mode="json")
    (content["input"] if name == "std" else content)[name] = value
    model = onnx.load_model_from_string(small_graph())
    model.metadata_props.add(key="mien.manifest", value=json.dumps(content))
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=f"damaged at '.*{name}'"):
        open_model(tmp_path / "m.onnx")


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


def test_limits_that_the_system_refuses_do_not_end_the_first_run(monkeypatch):
    """A stand-in for ``resource``: macOS refuses a limit of memory, and a shell (ulimit) may have set lower ones."""
    asked = {}

    def setrlimit(kind, limits):
        if kind == "as":
            raise ValueError("current limit exceeds maximum limit")
        asked[kind] = limits

    system = SimpleNamespace(
        **{"RLIMIT_CPU": "cpu", "RLIMIT_AS": "as", "RLIMIT_CORE": "core", "RLIM_INFINITY": -1},
        getrlimit=lambda kind: (10, 20) if kind == "cpu" else (-1, -1),
        setrlimit=setrlimit,
    )
    monkeypatch.setitem(sys.modules, "resource", system)
    limit(60, 2**32)
    assert asked == {"cpu": (20, 20), "core": (0, 0)}


def test_a_recipe_that_is_none_is_shown_as_such(mien, tmp_path):
    """The recipe in a stranger's manifest may hold anything."""
    odd = manifest_of().model_copy(update={"recipe": {"model": "conv"}})
    (tmp_path / "m.onnx").write_bytes(attach_manifest(small_graph(), odd))
    answer = mien("info", tmp_path / "m.onnx")
    assert answer.code == 0, answer.err
    assert "?, 128 parameters" in answer.out
