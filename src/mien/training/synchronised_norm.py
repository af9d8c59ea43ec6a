"""Batch norms of processes that train together: each measures the batches of all of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed
from torch.nn.modules.batchnorm import _BatchNorm

from mien.models.network import Network
from mien.training.batch_norm import batch_norms


def synchronise_batch_norms(network: Network) -> None:
    """Let the network's batch norms measure the batches of all processes together, on any device.

    torch's own SyncBatchNorm needs GPUs. Names of weights stay as they are.
    """
    for norm in batch_norms(network):
        norm.forward = partial(_forward, norm)  # type: ignore[method-assign]


def _forward(norm: _BatchNorm, inputs: Tensor) -> Tensor:
    """As :class:`torch.nn.BatchNorm2d`, over all processes: their sums, sums of squares and counts are added up."""
    if not norm.training:
        return type(norm).forward(norm, inputs)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    values = inputs.float()
    axes = [axis for axis in range(values.dim()) if axis != 1]
    count = values.new_tensor([values.numel() / values.shape[1]])
    channels = values.shape[1]
    own = torch.cat([values.sum(axes), values.square().sum(axes), count])
    sums: Tensor = _Sum.apply(own)  # type: ignore[no-untyped-call]
    mean, total = sums[:channels] / sums[-1], sums[-1].detach()
    variance = (sums[channels:-1] / sums[-1] - mean.square()).clamp_min(0)
    with torch.no_grad():
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked.add_(1)
        momentum = norm.momentum
        if momentum is None:
            assert norm.num_batches_tracked is not None
            momentum = 1 / float(norm.num_batches_tracked)
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
        norm.running_var.lerp_((variance * total / (total - 1)).to(norm.running_var.dtype), momentum)
    shape = [1, -1] + [1] * (values.dim() - 2)
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    moved = -mean * scale if norm.bias is None else norm.bias - mean * scale
    normalised: Tensor = values * scale.view(shape) + moved.view(shape)
    return normalised.to(inputs.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].contiguous().clone()
        distributed.all_reduce(total)
        return total
