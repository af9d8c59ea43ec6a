"""Oracle: the network before its norms were taken up."""

import pytest
import torch
from torch import nn

from mien.models.mien import Stage


@pytest.fixture
def stage():
    """A stage whose norms have seen something, with scales and shifts of both sizes."""
    torch.manual_seed(0)
    stage = Stage(3, 8, 2, pool=True)
    for module in stage.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.2, 3.0)
            nn.init.normal_(module.bias)
    stage.train()
    stage(torch.randn(16, 3, 11, 11))
    return stage.eval()


def test_a_norm_after_pooling_is_taken_up_by_the_convolution(stage):
    images = torch.randn(5, 3, 11, 11)
    with torch.inference_mode():
        before = stage(images)
        stage.take_up_norm()
        after = stage(images)
    assert after.shape == (5, 8, 5, 5)
    assert torch.allclose(before, after, atol=1e-5)
    assert [type(module) for module in stage.entry] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]


def test_a_negative_scale_turns_the_largest_into_the_smallest_and_stays_where_it_is(stage):
    images = torch.randn(5, 3, 11, 11)
    stage.entry[2].weight.data[4] = -0.7
    with torch.inference_mode():
        before = stage(images)
        stage.take_up_norm()
        assert torch.equal(stage(images), before)
    assert isinstance(stage.entry[2], nn.BatchNorm2d)


def test_a_stage_without_pooling_is_left_alone():
    stage = Stage(3, 8, 1, pool=False).eval()
    entry = stage.entry
    stage.take_up_norm()
    assert stage.entry is entry
