import shutil
from pathlib import Path

import onnx
import torch

import mien
from mien.base.errors import ModelError, RunError
from mien.base.model_file import read_manifest
from mien.base.run_folder import RunFolder, find_run
from mien.exporting import to_onnx as export
from mien.exporting.to_onnx import export_run
from mien.training import checkpoint
from support import raises


def test_exported_file_equals_torch_and_has_its_manifest(tmp_path, tiny_run, faces):
    file = tmp_path / "x.onnx"
    exported = export_run(tiny_run)
    exported.write(file)
    parity = exported.parity
    assert parity.largest_difference < 1e-5
    assert parity.agreement == 1.0
    manifest = read_manifest(file)
    recipe = tiny_run.read_recipe()
    tensors, facts = checkpoint.load(tiny_run.best)
    assert (manifest.classes, manifest.input) == (faces.classes, recipe.input)
    assert manifest.recipe == recipe.model_dump(mode="json")
    assert manifest.recipe_digest == recipe.digest
    assert (manifest.data_fingerprint, manifest.epoch) == (faces.fingerprint_without_test, facts["epoch"])
    assert manifest.scores == read_manifest(tiny_run.model).scores != {}
    running = ("running_mean", "running_var", "num_batches_tracked")
    assert manifest.parameters == sum(t.numel() for name, t in tensors.items() if not name.endswith(running))


def test_export_fuses_norms_in_the_file_only(tiny_run):
    network, _ = checkpoint.load_best(tiny_run)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    graph = onnx.load_model_from_string(export.to_graph(network, 44, {})).graph
    assert {node.op_type for node in graph.node} >= {"Conv", "MaxPool", "Relu"}
    assert "BatchNormalization" not in {node.op_type for node in graph.node}
    assert network.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


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
    own = export.export_network(network, manifest, start=start)
    assert own.parity.largest_difference <= export.MAX_DIFFERENCE


def test_exported_file_contains_no_local_path(tiny_run):
    """The exporter notes stack traces; a file that is handed on must not tell of its maker's folders."""
    content = tiny_run.model.read_bytes()
    for trace in (b".py", b"site-packages", str(Path(export.__file__).parent).encode()):
        assert trace not in content


def test_export_drops_metrics_of_another_epoch(own_run):
    tensors, facts = checkpoint.load(own_run.best)
    checkpoint.save(own_run.best, tensors, {**facts, "epoch": facts["epoch"] + 1})
    export_run(own_run).write(own_run.model)
    assert read_manifest(own_run.model).scores == {}


def test_export_keeps_the_answer_rule(tmp_path):
    fast, run = find_run("fast"), RunFolder(tmp_path / "run")
    shutil.copytree(fast.path, run.path)
    export_run(run).write(run.model)
    assert read_manifest(run.model).answer == read_manifest(fast.model).answer is not None


def test_export_refuses_nan_weights(own_run):
    tensors, facts = checkpoint.load(own_run.best)
    checkpoint.save(own_run.best, {**tensors, "head.bias": tensors["head.bias"] * float("nan")}, facts)
    before = own_run.model.read_bytes()
    with raises(ModelError, "export-failed"):
        mien.export(own_run.path)
    assert own_run.model.read_bytes() == before


def test_export_refuses_a_run_without_finished_epoch(tmp_path, tiny_recipe):
    run = RunFolder(tmp_path / "run")
    run.create(tiny_recipe, {})
    with raises(RunError, "weights-unreadable", "best.safetensors is missing"):
        export_run(run)
