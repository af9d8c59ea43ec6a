"""Where, in which precision and in how many processes to train: what the machine does best, by lightning-fabric.

``torchrun`` starts several processes that train one network (data parallelism). Every process holds all faces and makes
the whole batch, as one process would, then takes its part of it. So the batches do not depend on the number of
processes. Gradients are averaged by torch's DistributedDataParallel. Batch norms measure the whole batch on GPUs, by
torch's SyncBatchNorm, and on CPUs their process's part of it.
"""

from __future__ import annotations

import ctypes
import logging
import os
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed

from mien.base.errors import TrainingError, nearest
from mien.base.processes import process_count
from mien.training.batches import Batch

Result = TypeVar("Result")

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
    """Return what ``auto`` chooses on this machine, in words: ``"CPU, fp32, torch 2.13.0"``."""
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
            # Not all processes validate as many batches: nothing is broadcast before each.
            strategy="auto"
            if count == 1
            else DDPStrategy(
                process_group_backend="nccl" if on_gpu else "gloo",
                broadcast_buffers=False,
                find_unused_parameters=may_leave_out,
            ),
            plugins=Precision() if precision == "fp32" else MixedPrecision("bf16-mixed", accelerator),
        )


def precision_name(fabric: Fabric) -> str:
    """In what the network computes: ``"bf16"`` or ``"fp32"``."""
    return "bf16" if isinstance(fabric.strategy.precision, MixedPrecision) else "fp32"


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


def share_first(fabric: Fabric, tensors: Iterable[Tensor]) -> None:
    """Give every process the first one's values."""
    if fabric.world_size > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, 0)


def keep_for_ever(model: object) -> None:
    """Never destroy a model that processes train together, and with it torch's group of processes.

    The group's destructor waits for its threads while it holds Python's lock; a thread that is giving back the last
    gradients waits for that lock, and both wait for ever (seen with torch 2.13 and gloo after Ctrl-C). The
    processes end soon after.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))


def from_first(make: Callable[[], Result]) -> Result:
    """Return in all processes what ``make`` returns in the first. Then leave the group."""
    if not distributed.is_initialized():
        return make()
    results: list[Any] = [make() if distributed.get_rank() == 0 else None]
    # Between processes of one run, which trust each other; no file is unpickled.
    distributed.broadcast_object_list(results)
    leave()
    result: Result = results[0]
    return result


def leave() -> None:
    """Leave the processes that train together, when all are done."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
