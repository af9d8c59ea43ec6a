import torch
from torch import nn

from mien.base.recipe_tables import ModelRecipe
from mien.models.registry import build_model


def study_b():
    torch.manual_seed(0)
    return build_model(ModelRecipe(name="study-b"), 7, 48)


def test_study_b_has_the_published_parameter_counts():
    """Oracle: Keras' summary of the published network at seven classes."""
    network = study_b()
    assert sum(parameter.numel() for parameter in network.parameters()) == 1_391_943
    running = [b for name, b in network.named_buffers() if name.endswith(("running_mean", "running_var"))]
    assert sum(buffer.numel() for buffer in running) == 2_240


def test_study_b_layers_have_the_published_order():
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


def test_study_bs_weights_are_glorot_uniform():
    """Oracle: Glorot & Bengio 2010: uniform within sqrt(6 / (fan in + fan out)), biases 0."""
    network = study_b()
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_out, fan_in = layer.weight.shape[:2]
            bound = (6 / (layer.weight[0, 0].numel() * (fan_in + fan_out))) ** 0.5
            assert layer.weight.abs().max() <= bound
            assert layer.weight.abs().max() > 0.9 * bound
            assert (layer.bias == 0).all()
