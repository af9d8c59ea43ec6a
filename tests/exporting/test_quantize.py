"""Oracles: the fp32 file itself; numpy's own rounding; onnx's own types."""

import numpy as np
import onnx
import onnxruntime
import pytest

from mien.base.errors import ModelError
from mien.base.model_file import open_model
from mien.base.preprocess import to_input
from mien.exporting.quantize import _with_pooled_means, to_fp16, to_int8
from support import raises


@pytest.fixture(scope="module")
def inputs(tiny_run, faces):
    return to_input(np.asarray(faces.images[:200]), open_model(tiny_run.model)[1].input)


def logits(graph, inputs):
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(["logits", "features"], {"images": inputs})[0]


def test_fp16_equals_fp32_with_rounded_matrices(tiny_run, inputs):
    """Oracle: the fp32 file after numpy rounded its matrices to fp16."""
    graph = tiny_run.model.read_bytes()
    rounded = onnx.load_model_from_string(graph)
    for tensor in rounded.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim > 1:
            tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16).astype(np.float32), tensor.name))
    half = to_fp16(graph)
    expected = logits(rounded.SerializeToString(), inputs)
    assert logits(half, inputs) == pytest.approx(expected, abs=1e-5)
    assert not np.array_equal(expected, logits(graph, inputs))
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load_model_from_string(half).graph.initializer}
    assert all(kind == onnx.TensorProto.FLOAT16 for name, kind in kinds.items() if name.endswith(".half"))
    assert sum(name.endswith(".half") for name in kinds) >= 5


def test_to_fp16_refuses_weights_beyond_its_range(tiny_run):
    model = onnx.load_model_from_string(tiny_run.model.read_bytes())
    tensor = next(each for each in model.graph.initializer if each.name == "network.head.weight")
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 1e7, tensor.name))
    with raises(ModelError, "export-failed"):
        to_fp16(model.SerializeToString())


def test_int8_has_scales_per_channel_and_nearly_equal_outputs(tiny_run, inputs, capfd):
    graph = tiny_run.model.read_bytes()
    small = to_int8(graph, inputs)
    assert capfd.readouterr() == ("", ""), "what onnxruntime says is not for users"
    model = onnx.load_model_from_string(small)
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    kernels = {name: each for name, each in constants.items() if len(each.dims) == 4}
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    assert (first.input[0], kernels.pop(first.input[1]).data_type) == ("images", onnx.TensorProto.FLOAT)
    assert kernels
    for name, kernel in kernels.items():
        assert kernel.data_type == onnx.TensorProto.INT8
        scale = constants[name.replace("_quantized", "_scale")]
        assert list(scale.dims) == [kernel.dims[0]], "one scale a channel"

    def shares(graph):
        powers = np.exp(logits(graph, inputs))
        return powers / powers.sum(axis=1, keepdims=True)

    assert np.abs(shares(small) - shares(graph)).max() < 0.03
    assert not np.array_equal(shares(small), shares(graph))


def test_int8_replaces_means_by_poolings(tiny_run, inputs):
    """Oracle: the fp32 graph; and of the 8-bit one its nodes: each pooling between 8 bits on either side."""
    graph = tiny_run.model.read_bytes()
    means = [node for node in onnx.load_model_from_string(graph).graph.node if node.op_type == "ReduceMean"]
    assert logits(_with_pooled_means(graph), inputs) == pytest.approx(logits(graph, inputs), abs=1e-5)
    nodes = onnx.load_model_from_string(to_int8(graph, inputs)).graph.node
    made_by = {output: node.op_type for node in nodes for output in node.output}
    taken_by = {source: node.op_type for node in nodes for source in node.input}
    poolings = [node for node in nodes if node.op_type == "GlobalAveragePool"]
    assert len(poolings) == len(means) > 1
    assert "ReduceMean" not in {node.op_type for node in nodes}
    for node in poolings:
        assert (made_by[node.input[0]], taken_by[node.output[0]]) == ("DequantizeLinear", "QuantizeLinear")


def test_int8_ranges_omit_outermost_activations():
    """Oracle: all activations but one lie in 0..1, so that a step of 8 bits is about 1 / 255, not 1000 / 255."""
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    kernels = {"first": np.ones((1, 1, 1, 1), np.float32), "second": np.ones((3, 1, 1, 1), np.float32)}
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "first"], ["grey"], "a"),
            helper.make_node("Conv", ["grey", "second"], ["map"], "b"),
            helper.make_node("GlobalAveragePool", ["map"], ["pooled"], "c"),
            helper.make_node("Flatten", ["pooled"], ["logits"], "d"),
        ],
        "one outlier",
        [helper.make_tensor_value_info("images", floats, ["N", 1, 16, 16])],
        [helper.make_tensor_value_info("logits", floats, ["N", 3])],
        [onnx.numpy_helper.from_array(values, name) for name, values in kernels.items()],
    )
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    inputs = np.random.default_rng(0).random((2048, 1, 16, 16), np.float32)
    inputs[7, 0, 3, 3] = 1000
    small = onnx.load_model_from_string(to_int8(content, inputs))
    scales = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in small.graph.initializer}
    assert float(scales["grey_scale"]) == pytest.approx(1 / 255, rel=0.05)
