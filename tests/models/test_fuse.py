"""Oracle: the network itself, as it was trained."""

import pytest
import torch
from torch import nn

from mien.base.recipe_tables import ModelRecipe
from mien.exporting.to_onnx import Pairs, fuse_for_inference
from mien.models.registry import build_model


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
    pytest.param(
        {},
        45,
        [nn.Conv2d, nn.ReLU],
        [nn.Conv2d, nn.ReLU, nn.MaxPool2d],
        [nn.Conv2d, nn.ReLU, nn.MaxPool2d],
        id="odd",
    ),
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
    network, images = trained(stem_width=20), torch.randn(5, 1, 44, 44)
    network.stem[1].weight.data[4] = -0.7
    copy = fuse_for_inference(network, 44)
    with torch.inference_mode():
        assert torch.allclose(copy(images), network(images), atol=1e-4)
    assert kinds(copy.stem) == [nn.Conv2d, nn.ReLU]
    # It turns the largest of four into the smallest.
    network, images = trained(), torch.randn(5, 1, 44, 44)
    network.stages[1].entry[2].weight.data[4] = -0.7
    copy = fuse_for_inference(network, 44)
    with torch.inference_mode():
        assert torch.allclose(copy(images), network(images), atol=1e-4)
    assert kinds(copy.stages[1].entry) == [nn.Conv2d, nn.MaxPool2d, nn.BatchNorm2d, nn.ReLU]
    assert kinds(copy.stages[0].entry) == [Pairs, nn.MaxPool2d]
    network, images = trained(widths=[16, 24, 16], pool_last=False), torch.randn(5, 1, 48, 48)
    copy = fuse_for_inference(network, 48)
    with torch.inference_mode():
        assert torch.allclose(copy(images), network(images), atol=1e-4)
    assert kinds(copy.stages[2].entry) == [Pairs]
    network, images = trained(name="joined", width=4), torch.randn(5, 1, 44, 44)
    copy = fuse_for_inference(network, 44)
    with torch.inference_mode():
        assert torch.allclose(copy(images), network(images), atol=1e-4)
    assert kinds(copy.light.stages[0].entry) == [Pairs, nn.MaxPool2d]
    torch.manual_seed(0)
    network = build_model(ModelRecipe(name="study-b"), 7, 48)
    copy = fuse_for_inference(network, 48)
    assert not copy.training
    assert [str(module) for module in copy.children()] == [str(module) for module in network.eval().children()]
