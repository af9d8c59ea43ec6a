import pytest
import torch
from torch import nn

from mien.training.average import WeightAverage


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))


def test_it_follows_the_written_formula():
    """Oracle: the recurrence in the docstring, by hand, for weights and running statistics."""
    net = network()
    average = WeightAverage(net, 0.9)
    expected = {name: value.clone() for name, value in net.state_dict().items() if value.is_floating_point()}
    for step in range(30):
        with torch.no_grad():
            net[0].weight.add_(1.0)
            net[1].running_mean.add_(0.5)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in net.state_dict().items():
            if name in expected:
                expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in expected.items():
        assert average.tensors[name].numpy() == pytest.approx(value.numpy(), rel=1e-5)


def test_in_place_swaps_and_gives_back_even_after_an_error():
    net = network()
    average = WeightAverage(net, 0.9)
    own = net[0].weight.clone()
    average.tensors["0.weight"].fill_(7.0)
    with pytest.raises(ZeroDivisionError), average.in_place():
        assert (net[0].weight == 7).all()
        raise ZeroDivisionError
    assert torch.equal(net[0].weight, own)
    assert (average.tensors["0.weight"] == 7).all()


def test_a_decay_of_0_is_the_network_itself():
    net = network()
    average = WeightAverage(net, 0.0)
    average.update(0)
    own = net[0].weight.clone()
    with average.in_place():
        assert torch.equal(net[0].weight, own)
    assert average.tensors == {}
