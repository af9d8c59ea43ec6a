"""Device, precision and processes for training, chosen with lightning-fabric.

``torchrun`` starts several processes that train one network (data parallelism). Every process makes the whole batch
from all faces and takes its part, so batches do not depend on the number of processes. torch's DistributedDataParallel
averages the gradients. Batch norms use the whole batch on GPUs (torch's SyncBatchNorm), and the process's part on CPUs.
"""

import ctypes
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal, TypeVar

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, distributed, nn
from torch.optim import Optimizer

from mien.base.errors import TrainingError, nearest
from mien.base.processes import process_count
from mien.training.batches import Batch

N = TypeVar("N", bound=nn.Module)
Result = TypeVar("Result")


def check_device(name: str) -> None:
    """Raise :class:`TrainingError` for a device that is unknown or not on this machine."""
    has = {"auto": True, "cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not has.get(name):
        known = [each for each in has if has[each]]
        words = f"There is no device '{name}' on this machine.{nearest(name, known)}"
        raise TrainingError(words, code="device-unknown")


def sum_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype for sums over an epoch: float64, or float32 on an Apple GPU, which lacks float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def default_device() -> str:
    """Describe the device that ``auto`` chooses here: ``"CPU, fp32, torch 2.13.0"``."""
    on_gpu = torch.cuda.is_available()
    name = torch.cuda.get_device_name(0) if on_gpu else "CPU"
    return f"{name}, {'bf16' if _computes_bf16(on_gpu) else 'fp32'}, torch {torch.__version__}"


class TrainingFabric(Fabric):
    """Fabric with all that several processes of one training need; with one process, each of these changes nothing."""

    @property
    def facts(self) -> dict[str, Any]:
        """Device, precision, threads, torch and processes: what affects the exact result besides recipe and data."""
        known = {"precision": self.precision, "threads": threads(), "torch": torch.__version__}
        return {"device": str(self.device), **known, **({"processes": self.world_size} if self.world_size > 1 else {})}

    @property
    def precision(self) -> str:
        """Precision of the network's computation: ``"bf16"`` or ``"fp32"``."""
        return "bf16" if isinstance(self.strategy.precision, MixedPrecision) else "fp32"

    def join(self, images: int, facts: Callable[[], object]) -> None:
        """Start the processes, and check that a batch has enough images, and that ``facts``, JSON-ready, are alike.

        Raises TrainingError, in every process (``processes``).
        """
        # A batch norm needs two images; on a CPU it sees those of its own process alone.
        each = 2 if self.world_size > 1 and self.device.type == "cpu" else 1
        if each * self.world_size > images:
            words = f"{self.world_size} processes need {each} images each; a batch has {images}. Raise batch_size."
            raise TrainingError(words, code="processes")
        if self.world_size == 1:
            return
        self.launch()
        digest = int(hashlib.sha256(json.dumps(facts(), sort_keys=True).encode()).hexdigest()[:12], 16)
        own = torch.tensor(digest, dtype=torch.int64, device=self.device)
        self.copy_first([first := own.clone()])
        if self.any(bool(first != own)):
            words = "The processes differ: recipe, data, teachers, and the run to start from or resume must be alike."
            raise TrainingError(words, code="processes")

    def set_up(self, network: N, make: Callable[[N], Optimizer]) -> tuple[N, nn.Module, Optimizer]:
        """Move a network to the device; return it, what to call in training, and its optimiser."""
        # oneDNN and cuDNN compute bf16 convolutions fastest in channels-last layout.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.world_size > 1 and self.device.type == "cuda":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
        model, optimizer = self.setup(network, make(network))
        if self.world_size > 1:
            _never_destroy(model)
        return network, model, optimizer

    def own_items(self, count: int) -> slice:
        """Return this process's contiguous part of ``count`` items; together the parts contain each item once."""
        rank, size = self.global_rank, self.world_size
        return slice(count * rank // size, count * (rank + 1) // size)

    def own_part(self, batch: Batch) -> Batch:
        """Return this process's part of a batch, weighted so that the processes' mean is the batch's mean."""
        if self.world_size == 1:
            return batch
        part, count = self.own_items(len(batch.chosen)), len(batch.chosen)
        return replace(batch.part(part), weight=(part.stop - part.start) * self.world_size / count)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process. All processes must call this."""
        return bool(self.sum(torch.tensor(float(flag))) > 0)

    def sum(self, value: Tensor) -> Tensor:
        """Sum a value over all processes; each of them must call this. The sum is on the value's device."""
        if self.world_size == 1:
            return value
        total: Any = self.all_reduce(value.to(self.device).clone(), reduce_op="sum")
        return torch.as_tensor(total).to(value.device)

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process's values to all processes."""
        if self.world_size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)


def make_fabric(
    precision: Literal["auto", "bf16", "fp32"], device: str = "auto", *, may_leave_out: bool = False
) -> TrainingFabric:
    """Make a Fabric for a device, auto, cpu, cuda or mps, or under ``torchrun`` for one device per process.

    ``auto`` is bf16 by autocast if the device supports it natively, else fp32. With ``may_leave_out``, some weights may
    have no gradient in a step. Raises TrainingError if the device does not exist.
    """
    check_device(device)
    on_gpu = device in {"auto", "cuda"} and torch.cuda.is_available()
    accelerator = "cuda" if on_gpu else "mps" if device == "mps" else "cpu"
    if precision == "auto":
        precision = "bf16" if accelerator != "mps" and _computes_bf16(on_gpu) else "fp32"
    count = process_count()
    if count > 1 and _left:
        words = "A program that torchrun starts can train once. Start it again for the next training."
        raise TrainingError(words, code="processes")
    here = int(os.environ["LOCAL_WORLD_SIZE"]) if count > 1 else 1
    # Fabric writes advertisements to the log.
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    if count > 1:  # the new name, forward_sync_buffers, is unknown to torch before 2.13
        warnings.filterwarnings("ignore", ".*broadcast_buffers.*")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Batches have a fixed size, so it is worth trying the kernels of each convolution once.
        torch.backends.cudnn.benchmark = on_gpu
        # Lightning's own launcher configures Fabric by LT_ variables.
        left_over = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("LT_")}
        try:
            return TrainingFabric(
                accelerator=accelerator,
                devices=here,
                num_nodes=count // here,
                # Do not broadcast buffers before each batch: processes may validate different numbers of batches.
                strategy="auto"
                if count == 1
                else DDPStrategy(
                    process_group_backend="nccl" if on_gpu else "gloo",
                    broadcast_buffers=False,
                    find_unused_parameters=may_leave_out,
                ),
                plugins=[
                    Precision() if precision == "fp32" else MixedPrecision("bf16-mixed", accelerator),
                    # Fabric would ask SLURM or MPI, which may have started this process to train alone.
                    LightningEnvironment() if count == 1 else TorchElasticEnvironment(),
                ],
            )
        finally:
            os.environ.update(left_over)


def join_processes(device: str) -> None:
    """Join the group of ``torchrun`` first of all: others would wait half an hour for a process that ends before it."""
    distributed.init_process_group("nccl" if device in {"auto", "cuda"} and torch.cuda.is_available() else "gloo")


def _computes_bf16(on_gpu: bool) -> bool:
    if on_gpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def threads() -> int:
    """Return the number of threads that torch uses on the CPU."""
    return torch.get_num_threads()


def set_threads(count: int) -> None:
    """Set the number of torch's threads, at least 1."""
    torch.set_num_threads(count)


def _never_destroy(model: object) -> None:
    """Prevent the destruction of a distributed model and its process group, which can deadlock (torch 2.13, gloo)."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))


def from_first(make: Callable[[], Result]) -> Result:
    """Run ``make`` in the first process, return its result in all processes, and leave the group."""
    if not distributed.is_initialized():
        return make()
    results: list[Any] = [make() if distributed.get_rank() == 0 else None]
    # Only objects from processes of the same run are unpickled here, never a file.
    distributed.broadcast_object_list(results)
    leave()
    result: Result = results[0]
    return result


_left: list[bool] = []
"""Groups that this process has left; joining the next one of the same torchrun would wait for ever."""


def leave() -> None:
    """Leave the process group when all processes are done."""
    if distributed.is_initialized():
        distributed.barrier()
        distributed.destroy_process_group()
        _left.append(True)
