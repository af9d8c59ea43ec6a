"""One test covers every network that a recipe can name."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from mien.base.errors import RecipeError
from mien.base.recipe_tables import MODEL_SETTINGS, ModelRecipe
from mien.models.registry import MODELS, build_model, check_sizes, complete, starts_from_scratch
from support import raises

# The big families at a fraction of their width: the same code in a tenth of the time.
NARROW = {name: {"width": 8} for name in ("vgg11", "vgg13", "vgg16", "resnet18", "resnet34", "joined")}
NARROW |= {"timm": {"backbone": "test_resnet", "pretrained": False}}


@pytest.fixture(autouse=True)
def _timm_is_there(request):
    """Tests of the entry timm are skipped, with the reason, where timm cannot be imported."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params.get("name") == "timm":
        request.getfixturevalue("timm")


def narrow(name, classes=5):
    torch.manual_seed(0)
    return build_model(ModelRecipe.model_validate({"name": name, **NARROW.get(name, {})}), classes, 48)


@pytest.mark.parametrize("name", MODELS)
def test_networks_have_right_shapes_and_gradients(name):
    network, images = narrow(name), torch.randn(4, 1, 48, 48)
    assert network.features(images).shape == (4, network.head.in_features)
    logits = network(images)
    assert logits.shape == (4, 5)
    torch.nn.functional.cross_entropy(logits, torch.arange(4)).backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
    assert network.head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", [each for each in MODELS if each not in {"vgg13", "vgg16", "resnet34"}])
def test_exported_networks_equal_torch(name):
    """Oracle: the torch network itself, on batches of 1 and 3."""
    import onnxruntime

    from mien.exporting.to_onnx import to_graph

    network = narrow(name).eval()
    session = onnxruntime.InferenceSession(to_graph(network, 48), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        images = torch.randn(count, 1, 48, 48)
        with torch.inference_mode():
            ours, features_of_torch = network(images).softmax(1).numpy(), network.features(images).numpy()
        logits, features = session.run(["logits", "features"], {"images": images.numpy()})
        assert features == pytest.approx(features_of_torch, abs=1e-4, rel=1e-4)
        theirs = np.exp(logits - logits.max(1, keepdims=True))
        theirs /= theirs.sum(1, keepdims=True)
        assert theirs == pytest.approx(ours, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "settings", "smallest"),
    [("mien", {}, 16), ("mien", {"stem_stride": 1, "widths": [8, 16], "convolutions": [1, 1]}, 8),
     ("mien", {"widths": [8] * 4, "convolutions": [1] * 4}, 32), ("separable", {}, 16), ("study-a", {}, 16),
     ("study-b", {}, 36), ("vgg11", NARROW["vgg11"], 32), ("resnet18", NARROW["resnet18"], 8),
     ("timm", {**NARROW["timm"], "upsample_px": 64}, 8)],
)  # fmt: skip
def test_check_sizes_refuses_images_below_the_smallest(name, settings, smallest):
    """Oracle: torch, which gives an answer for a face of this side. A recipe's input has 8 px or more."""
    recipe = ModelRecipe.model_validate({"name": name, **settings})
    network = build_model(recipe, 3, smallest).eval()
    check_sizes(network, recipe, smallest)
    assert network(torch.zeros(1, 1, smallest, smallest)).shape == (1, 3)
    if smallest > 8:
        with raises(RecipeError, "model-setting", "progressive_resizing", smallest - 1):
            check_sizes(network, recipe, smallest, [smallest, smallest - 1])
        with raises(RecipeError, "model-setting", f"{smallest - 1} px", "input.crop_px"):
            check_sizes(build_model(recipe, 3, smallest - 1), recipe, smallest - 1)


def test_complete_writes_all_settings_and_knows_pretrained_ones():
    assert complete(ModelRecipe(name="vgg16")).settings == {"width": 64, "dropout": 0.5}
    assert complete(ModelRecipe.model_validate({"name": "vgg16", "width": 8})).settings == {"width": 8, "dropout": 0.5}
    assert {name: tuple(complete(ModelRecipe(name=name)).settings) for name in MODELS} == MODEL_SETTINGS
    assert starts_from_scratch(ModelRecipe(name="mien"))
    assert not starts_from_scratch(ModelRecipe(name="timm"))
    assert starts_from_scratch(ModelRecipe.model_validate({"name": "timm", "pretrained": False}))


@pytest.mark.parametrize(("table", "code", "named"), [
    ({"name": "resnet"}, "model-unknown", "Did you mean 'resnet"),
    ({"name": "resnet18", "widht": 3}, "model-setting", "'width'"),
    ({"name": "study-b", "width": 3}, "model-setting", "'width'"),
    ({"name": "resnet18", "width": 0}, "model-setting", "model.width = 0"),
    ({"name": "resnet18", "width": "16"}, "model-setting", "model.width = '16'"),
    ({"name": "mien", "widths": ["8", "16", "32"]}, "model-setting", "model.widths[0] = '8'"),
    ({"name": "vgg16", "dropout": 1}, "model-setting", "model.dropout = 1"),
    ({"name": "timm", "pretrained": False, "weights": "x"}, "model-setting", "model.weights = 'x'"),
    ({"name": "timm", "upsample_px": 40}, "model-setting", "model.upsample_px = 40"),
])  # fmt: skip
def test_build_model_refuses_bad_settings(table, code, named):
    recipe = ModelRecipe.model_validate(table)
    with raises(RecipeError, code, named):
        build_model(recipe, 7, 48)
    if recipe.name != "timm":  # its settings are each possible: before data is read, too
        with raises(RecipeError, code, named):
            complete(recipe)


def test_joined_network_is_the_weighted_mean_of_two():
    """Oracle: the two networks themselves."""
    torch.manual_seed(0)
    light = build_model(ModelRecipe(name="mien", widths=[8, 8], convolutions=[2, 1]), 5, 48).eval()
    deep, settings = narrow("resnet18").eval(), {**complete(ModelRecipe(name="mien")).settings, "widths": [8, 8]}
    both = {**settings, "convolutions": [2, 1], **NARROW["resnet18"]}
    joined = build_model(ModelRecipe.model_validate({"name": "joined", **both}), 5, 48).eval()
    join = runpy.run_path(str(Path(__file__).parents[2] / "release" / "join.py"))["join"]
    joined.load_state_dict(join(light.state_dict(), deep.state_dict(), 0.25))
    images = torch.randn(3, 1, 48, 48)
    with torch.inference_mode():
        assert torch.allclose(joined(images), 0.25 * light(images) + 0.75 * deep(images), atol=1e-5)


def study_b():
    torch.manual_seed(0)
    return build_model(ModelRecipe(name="study-b"), 7, 48)


def test_study_b_is_the_published_network():
    network = study_b()
    kinds = [type(layer).__name__ for layer in (*network.stages, *network.dense, network.head)]
    stage = ["Conv2d", "ReLU", "BatchNorm2d"] * 2 + ["MaxPool2d", "Dropout"]
    assert kinds == stage * 3 + ["Flatten", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.25, 0.25, 0.25, 0.5]
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            assert (layer.eps, layer.momentum) == (1e-3, 0.01)
        if isinstance(layer, nn.Conv2d):
            assert (layer.kernel_size, layer.padding) == ((3, 3), (0, 0))
    # Oracle: Keras' summary of the published network at seven classes.
    network = study_b()
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_391_943
    running = [b for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
    assert sum(buffer.numel() for buffer in running) == 2_240
    # Oracle: Glorot & Bengio 2010: uniform within sqrt(6 / (fan in + fan out)), biases 0.
    network = study_b()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_out, fan_in = layer.weight.shape[:2]
            bound = (6 / (layer.weight[0, 0].numel() * (fan_in + fan_out))) ** 0.5
            assert layer.weight.abs().max() <= bound
            assert layer.weight.abs().max() > 0.9 * bound
            assert (layer.bias == 0).all()
