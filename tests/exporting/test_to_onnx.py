"""Oracles: the network as it was trained; the fp32 file itself; numpy's own rounding; onnx's own types."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

import mien
from mien.base.errors import ModelError, RunError
from mien.base.model_file import open_model, read_manifest
from mien.base.preprocess import to_input
from mien.base.recipe_tables import ModelRecipe
from mien.base.run_folder import RunFolder, find_run
from mien.exporting import to_onnx as export
from mien.exporting.quantize import _with_pooled_means, to_fp16, to_int8
from mien.exporting.to_onnx import Pairs, export_run, fuse_for_inference
from mien.models.registry import build_model
from mien.training import checkpoint
from support import raises


def test_exported_file_equals_torch_and_has_its_manifest(tmp_path, tiny_run, faces):
    file, exported = tmp_path / "x.onnx", export_run(tiny_run)
    exported.write(file)
    parity = exported.parity
    assert parity.largest_difference < 1e-5
    assert parity.agreement == 1.0
    manifest, recipe = read_manifest(file), tiny_run.read_recipe()
    tensors, facts = checkpoint.load(tiny_run.best)
    assert (manifest.classes, manifest.input) == (faces.classes, recipe.input)
    assert (manifest.recipe, manifest.recipe_digest) == (recipe.model_dump(mode="json"), recipe.digest)
    assert (manifest.data_fingerprint, manifest.epoch) == (faces.fingerprint_without_test, facts["epoch"])
    assert manifest.scores == read_manifest(tiny_run.model).scores != {}
    running = ("running_mean", "running_var", "num_batches_tracked")
    assert manifest.parameters == sum(t.numel() for name, t in tensors.items() if not name.endswith(running))


def test_export_fuses_norms(tiny_run):
    graph = onnx.load_model_from_string(export.to_graph(checkpoint.load_network(tiny_run), 44)).graph
    assert {node.op_type for node in graph.node} >= {"Conv", "MaxPool", "Relu"}
    assert "BatchNormalization" not in {node.op_type for node in graph.node}


def test_export_refuses_a_file_that_differs_from_torch(tmp_path, tiny_run, monkeypatch):
    def other_network(network, *rest):
        with torch.no_grad():
            network.head.bias += 0.01 * torch.arange(7)
        graph = original(network, *rest)
        with torch.no_grad():
            network.head.bias -= 0.01 * torch.arange(7)
        return graph

    original = export.to_graph
    monkeypatch.setattr(export, "to_graph", other_network)
    with raises(ModelError, "export-failed"):
        mien.export(tiny_run.path, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_fitted_head_takes_the_graph_of_its_start_unless_other_weights_changed(monkeypatch):
    """The file of ``tiny`` stores weights in fp16; a graph with a new last layer stores them in fp32."""
    start, made = find_run("tiny"), export.to_graph
    network, facts = checkpoint.load_best(start)
    manifest = export.make_manifest(network, start.read_recipe(), facts, None)
    with torch.no_grad():
        network.head.weight.mul_(0.5)
    monkeypatch.delattr(export, "to_graph")
    taken = export.export_network(network, manifest, start=start)
    graph = onnx.load_from_string(taken.graph).graph
    assert [each.name for each in graph.output] == ["logits", "features", "logits_perceived", "logits_photographs"]
    assert onnx.TensorProto.FLOAT16 not in {each.data_type for each in graph.initializer}
    assert taken.parity.largest_difference < export.MAX_ROUNDED
    monkeypatch.setattr(export, "to_graph", made, raising=False)
    with torch.no_grad():
        network.stem[0].weight.mul_(2)
    assert export.export_network(network, manifest, start=start).parity.largest_difference <= export.MAX_DIFFERENCE


def test_export_keeps_the_rule_no_path_and_no_metrics_of_another_epoch(own_run, tiny_run, tmp_path, tiny_recipe):
    tensors, facts = checkpoint.load(own_run.best)
    checkpoint.save(own_run.best, tensors, {**facts, "epoch": facts["epoch"] + 1})
    export_run(own_run).write(own_run.model)
    assert read_manifest(own_run.model).scores == {}
    # The exporter notes stack traces; a file that is handed on must not tell of its maker's folders.
    content = tiny_run.model.read_bytes()
    for trace in (b".py", b"site-packages", str(Path(export.__file__).parent).encode()):
        assert trace not in content
    fast, run = find_run("fast"), RunFolder(tmp_path / "fast")
    shutil.copytree(fast.path, run.path)
    export_run(run).write(run.model)
    assert read_manifest(run.model).answer == read_manifest(fast.model).answer is not None
    run = RunFolder(tmp_path / "unfinished")
    run.create(tiny_recipe, {})
    with raises(RunError, "weights-unreadable", "best.safetensors is missing"):
        export_run(run)


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
    half, expected = to_fp16(graph), logits(rounded.SerializeToString(), inputs)
    assert logits(half, inputs) == pytest.approx(expected, abs=1e-5)
    assert not np.array_equal(expected, logits(graph, inputs))
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load_model_from_string(half).graph.initializer}
    assert all(kind == onnx.TensorProto.FLOAT16 for name, kind in kinds.items() if name.endswith(".half"))
    assert sum(name.endswith(".half") for name in kinds) >= 5


def test_export_refuses_nan_and_weights_beyond_fp16s_range(tiny_run, own_run):
    model = onnx.load_model_from_string(tiny_run.model.read_bytes())
    tensor = next(each for each in model.graph.initializer if each.name == "network.head.weight")
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * 1e7, tensor.name))
    with raises(ModelError, "export-failed"):
        to_fp16(model.SerializeToString())
    tensors, facts = checkpoint.load(own_run.best)
    checkpoint.save(own_run.best, {**tensors, "head.bias": tensors["head.bias"] * float("nan")}, facts)
    before = own_run.model.read_bytes()
    with raises(ModelError, "export-failed"):
        mien.export(own_run.path)
    assert own_run.model.read_bytes() == before


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
        assert list(constants[name.replace("_quantized", "_scale")].dims) == [kernel.dims[0]], "one scale a channel"

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
    node, info = helper.make_node, helper.make_tensor_value_info
    nodes = [node("Conv", ["images", "first"], ["grey"], "a"), node("Conv", ["grey", "second"], ["map"], "b")]
    nodes += [node("GlobalAveragePool", ["map"], ["pooled"], "c"), node("Flatten", ["pooled"], ["logits"], "d")]
    images, logits = info("images", floats, ["N", 1, 16, 16]), info("logits", floats, ["N", 3])
    tensors = [onnx.numpy_helper.from_array(values, name) for name, values in kernels.items()]
    graph = helper.make_graph(nodes, "one outlier", [images], [logits], tensors)
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    inputs = np.random.default_rng(0).random((2048, 1, 16, 16), np.float32)
    inputs[7, 0, 3, 3] = 1000
    small = onnx.load_model_from_string(to_int8(content, inputs))
    scales = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in small.graph.initializer}
    assert float(scales["grey_scale"]) == pytest.approx(1 / 255, rel=0.05)


def trained(**settings):
    """A network of mien's own whose norms have seen something, with scales and shifts of both sizes."""
    torch.manual_seed(0)
    default = {"stem_width": 8, "stem_stride": 1, "widths": [16, 24, 20], "convolutions": [1, 3, 2], "dropout": 0.2}
    network = build_model(ModelRecipe.model_validate({"name": "mien", **default, **settings}), 7, 44)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 3.0)
            nn.init.normal_(module.bias)
    network.train()
    network(torch.randn(16, 1, 44, 44))
    return network.eval()


def kinds(layers):
    return [type(layer) for layer in layers]


@pytest.mark.parametrize(("settings", "crop_px", "stem", "first", "second"), [
    pytest.param({}, 44, [Pairs], [Pairs, nn.MaxPool2d], [nn.Conv2d, nn.ReLU, nn.MaxPool2d], id="narrow"),
    pytest.param(
        {"stem_width": 17, "widths": [17, 16, 20]},
        *(44, [nn.Conv2d, nn.ReLU], [nn.Conv2d, nn.ReLU, nn.MaxPool2d], [Pairs, nn.MaxPool2d]),
        id="wide, then narrow",
    ),
    pytest.param({}, *(45, [nn.Conv2d, nn.ReLU]), *2 * ([nn.Conv2d, nn.ReLU, nn.MaxPool2d],), id="odd"),
    pytest.param(
        {"stem_stride": 2, "widths": [16, 16, 20]},
        *(44, [nn.Conv2d, nn.ReLU], [Pairs, nn.MaxPool2d], [nn.Conv2d, nn.ReLU, nn.MaxPool2d]),
        id="a stem in steps of two: 22, then 11 places a side",
    ),
    pytest.param(
        {"name": "separable"}, *(44, [Pairs], *2 * ([nn.Conv2d, nn.Conv2d, nn.ReLU, nn.MaxPool2d],)), id="separable"
    ),
])  # fmt: skip
def test_fused_copy_equals_the_network(settings, crop_px, stem, first, second):
    network, images = trained(**settings), torch.randn(5, 1, crop_px, crop_px)
    with torch.inference_mode():
        before, copy = network(images), fuse_for_inference(network, crop_px)
        assert torch.allclose(copy(images), before, atol=1e-4 * float(before.abs().max()))
        assert torch.equal(network(images), before), "the network itself is left as it is"
    assert (kinds(copy.stem), kinds(copy.stages[0].entry), kinds(copy.stages[1].entry)) == (stem, first, second)


def test_norms_are_fused_where_they_may_be():
    def fused(network, crop_px=44):
        images, copy = torch.randn(5, 1, crop_px, crop_px), fuse_for_inference(network, crop_px)
        with torch.inference_mode():
            assert torch.allclose(copy(images), network(images), atol=1e-4)
        return copy

    network = trained(stem_width=20)
    network.stem[1].weight.data[4] = -0.7
    assert kinds(fused(network).stem) == [nn.Conv2d, nn.ReLU]
    # It turns the largest of four into the smallest.
    network = trained()
    network.stages[1].entry[2].weight.data[4] = -0.7
    copy = fused(network)
    assert kinds(copy.stages[1].entry) == [nn.Conv2d, nn.MaxPool2d, nn.BatchNorm2d, nn.ReLU]
    assert kinds(copy.stages[0].entry) == [Pairs, nn.MaxPool2d]
    assert kinds(fused(trained(widths=[16, 24, 16], pool_last=False), 48).stages[2].entry) == [Pairs]
    assert kinds(fused(trained(name="joined", width=4)).light.stages[0].entry) == [Pairs, nn.MaxPool2d]
    network = build_model(ModelRecipe(name="study-b"), 7, 48)
    copy = fuse_for_inference(network, 48)
    assert not copy.training
    assert [str(module) for module in copy.children()] == [str(module) for module in network.eval().children()]
