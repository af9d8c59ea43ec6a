"""Where, in which precision and in how many processes to train: what the machine does best, by lightning-fabric.

``torchrun`` starts several processes that train one network (data parallelism). Every process holds all faces and makes
the whole batch, as one process would, then takes its part of it. So the batches do not depend on the number of
processes. Gradients are averaged by torch's DistributedDataParallel; batch norms measure the whole batch.
"""

from __future__ import annotations

import ctypes
import logging
import os
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed
from torch.nn.modules.batchnorm import _BatchNorm

from mien.base.errors import TrainingError, nearest
from mien.base.processes import process_count
from mien.models.network import Network
from mien.training import checkpoint
from mien.training.average import batch_norms
from mien.training.batches import Batch

if TYPE_CHECKING:
    from mien.training.state import TrainingState


DEVICES = ("auto", "cpu", "cuda", "mps")
"""Names of devices; ``auto`` is an NVIDIA GPU where there is one, else the CPU."""


def check_device(name: str) -> None:
    """Refuse a device that mien does not know, or that this machine lacks. Raises :class:`TrainingError`."""
    if name not in DEVICES:
        raise TrainingError(f"There is no device '{name}'." + nearest(name, DEVICES), code="device-unknown")
    lacks_cuda = name == "cuda" and not torch.cuda.is_available()
    lacks_mps = name == "mps" and not torch.backends.mps.is_available()
    if lacks_cuda or lacks_mps:
        what = "NVIDIA GPU" if name == "cuda" else "Apple GPU"
        raise TrainingError(
            f"There is no device '{name}': torch finds no {what} on this machine. Train on the CPU.",
            code="device-missing",
        )


def sum_dtype(device: torch.device) -> torch.dtype:
    """In what sums over an epoch are taken: float64, or float32 on an Apple GPU, which has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def default_device() -> str:
    """What ``auto`` chooses on this machine, in words: ``"CPU, fp32, torch 2.13.0"``."""
    on_gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name(0) if on_gpu else "CPU"
    return f"{name}, {'bf16' if _computes_bf16(on_gpu) else 'fp32'}, torch {torch.__version__}"


def make_fabric(
    precision: Literal["auto", "bf16", "fp32"], device: str = "auto", *, may_leave_out: bool = False
) -> Fabric:
    """One device of :data:`DEVICES`, or under ``torchrun`` one for each process.

    Args:
        precision: ``auto`` is bf16 by autocast where the device computes in it, else fp32.
        device: see :func:`check_device`.
        may_leave_out: whether some weights may be without a gradient in a step of several processes.

    Raises:
        TrainingError: the device does not exist.
    """
    check_device(device)
    on_gpu = device in {"auto", "cuda"} and torch.cuda.is_available()
    accelerator = "cuda" if on_gpu else "mps" if device == "mps" else "cpu"
    if precision == "auto":
        precision = "bf16" if accelerator != "mps" and _computes_bf16(on_gpu) else "fp32"
    count = process_count()
    here = int(os.environ["LOCAL_WORLD_SIZE"]) if count > 1 else 1
    # Fabric advertises itself through the log.
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Batches of one size come again and again: trying each convolution's kernels once pays.
        torch.backends.cudnn.benchmark = on_gpu
        return Fabric(
            accelerator=accelerator,
            devices=here,
            num_nodes=count // here,
            # Batch norms are alike in all processes, and not all validate as many batches: nothing to broadcast.
            strategy="auto"
            if count == 1
            else DDPStrategy(
                process_group_backend="nccl" if on_gpu else "gloo",
                broadcast_buffers=False,
                find_unused_parameters=may_leave_out,
            ),
            plugins=Precision() if precision == "fp32" else MixedPrecision("bf16-mixed", accelerator),
        )


def _computes_bf16(on_gpu: bool) -> bool:
    if on_gpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def threads() -> int:
    """With how many threads torch computes on the CPU."""
    return torch.get_num_threads()


def set_threads(count: int) -> None:
    """Let torch compute with so many threads, at least 1."""
    torch.set_num_threads(count)


def part_of_process(count: int, fabric: Fabric) -> slice:
    """The positions of this process among ``count``: contiguous, none twice, none left out."""
    rank, size = fabric.global_rank, fabric.world_size
    return slice(count * rank // size, count * (rank + 1) // size)


def part_of_batch(batch: Batch, fabric: Fabric) -> tuple[Batch, float]:
    """The part of a batch for this process, and the factor of its loss: the mean over processes is then the batch's."""
    count = len(batch.chosen)
    if fabric.world_size == 1:
        return batch, 1.0
    part = part_of_process(count, fabric)
    return batch.part(part), (part.stop - part.start) * fabric.world_size / count


def any_process(fabric: Fabric, flag: bool) -> bool:
    """Whether the flag is set in any process. All of them have to ask."""
    return bool(sum_of_processes(fabric, torch.tensor(float(flag))) > 0)


def sum_of_processes(fabric: Fabric, value: Tensor) -> Tensor:
    """The sum over all processes, each of which has to ask; on the value's own device."""
    if fabric.world_size == 1:
        return value
    total: Any = fabric.all_reduce(value.to(fabric.device).clone(), reduce_op="sum")
    return torch.as_tensor(total).to(value.device)


def share_state(state: TrainingState) -> None:
    """Give all processes the first one's weights, average, optimizer state and history."""
    if state.fabric.world_size == 1:
        return
    optimizer = checkpoint.optimizer_tensors(state.optimizer)
    targets = None if state.self_adaptive is None else state.self_adaptive.moving
    content = (state.network.state_dict(), state.average.tensors, optimizer, targets, state.history)
    # Between processes of one run, which trust each other; no file is unpickled.
    weights, average, optimizer, targets, history = state.fabric.broadcast(content)
    if state.fabric.global_rank:
        state.network.load_state_dict(weights)
        state.average.restore(average)
        if optimizer:
            checkpoint.restore_optimizer(state.optimizer, optimizer)
        if state.self_adaptive is not None and targets is not None:
            state.self_adaptive.restore(targets)
        state.history = history


def keep_for_ever(model: object) -> None:
    """Never destroy a model that processes train together, and with it torch's group of processes.

    The group's destructor waits for its threads while it holds Python's lock; a thread that is giving back the last
    gradients waits for that lock, and both wait for ever (seen with torch 2.13 and gloo after Ctrl-C). The
    processes end soon after.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))


def leave() -> None:
    """Leave the processes that train together, when all are done."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()


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
    assert norm.num_batches_tracked is not None
    values = inputs.float()
    axes = [axis for axis in range(values.dim()) if axis != 1]
    channels = values.shape[1]
    count = values.new_tensor([values.numel() / channels])
    own = torch.cat([values.sum(axes), values.square().sum(axes), count])
    sums: Tensor = _Sum.apply(own)  # type: ignore[no-untyped-call]
    mean, total = sums[:channels] / sums[-1], sums[-1].detach()
    variance = (sums[channels:-1] / sums[-1] - mean.square()).clamp_min(0)
    with torch.no_grad():
        norm.num_batches_tracked.add_(1)
        momentum = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
        norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
        norm.running_var.lerp_((variance * total / (total - 1)).to(norm.running_var.dtype), momentum)
    shape = [1, -1] + [1] * (values.dim() - 2)
    scale = (variance + norm.eps).rsqrt() * norm.weight
    moved = norm.bias - mean * scale
    return (values * scale.view(shape) + moved.view(shape)).to(inputs.dtype)


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
