"""Where and in which precision to train: whatever the machine does best, through lightning-fabric."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import warnings
from datetime import timedelta
from inspect import signature
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies.ddp import DDPStrategy
from lightning_fabric.strategies.strategy import Strategy
from torch import distributed
from torch.distributed.rendezvous import rendezvous
from torch.nn.parallel import DistributedDataParallel

from mien.errors import TrainingError, nearest
from mien.processes import available_cores, process_count, processes_here

# From glibc's malloc.h: what mallopt(3) is asked to change.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


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


def check_device_count(name: str, count: int) -> None:
    """Refuse more devices of a name than this machine has. Raises :class:`TrainingError`."""
    gpus = torch.cuda.device_count() if name in {"auto", "cuda"} else 0
    # Two processes can be tried out on any machine.
    cores = max(available_cores(), 2)
    if name == "mps" or (gpus and count > gpus):
        found = "one Apple GPU" if name == "mps" else f"{gpus} NVIDIA GPU{'s' if gpus > 1 else ''}"
        raise TrainingError(
            f"--devices {count}: this machine has {found}. Give fewer, or use --device cpu.", code="device-count"
        )
    if not gpus and count > cores:
        raise TrainingError(
            f"--devices {count}: training on this machine's CPU can use at most {cores} processes, one for each core.",
            code="device-count",
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
    precision: Literal["auto", "bf16", "fp16", "fp32"], device: str = "auto", *, may_leave_out: bool = False
) -> Fabric:
    """One device of :data:`DEVICES`, or under ``torchrun`` one for each process.

    Args:
        precision: ``auto`` is bf16 by autocast where the device computes in it. fp16 is by autocast too, with a loss
            that is scaled so that small gradients do not vanish (Micikevicius et al., ICLR 2018).
        device: see :func:`check_device`.
        may_leave_out: whether some weights may be without a gradient in a step of several processes.

    Raises:
        TrainingError: the device does not exist, or does not train in the precision.
    """
    check_device(device)
    on_gpu = device in {"auto", "cuda"} and torch.cuda.is_available()
    accelerator = "cuda" if on_gpu else "mps" if device == "mps" else "cpu"
    if precision == "auto":
        precision = "bf16" if accelerator != "mps" and _computes_bf16(on_gpu) else "fp32"
    if precision == "fp16" and accelerator == "mps":
        raise TrainingError(
            "Training in fp16 is not for an Apple GPU. Train there in fp32 (--set precision=fp32).",
            code="precision-device",
        )
    # Fabric advertises itself through the log.
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    if accelerator == "cpu":
        _keep_freed_memory()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Batches of one size come again and again: trying each convolution's kernels once pays.
        torch.backends.cudnn.benchmark = on_gpu
        return Fabric(
            accelerator=accelerator,
            devices=processes_here(),
            num_nodes=process_count() // processes_here(),
            strategy=_strategy(accelerator, may_leave_out),
            plugins=_autocast(precision, accelerator),
        )


def _autocast(precision: str, accelerator: str) -> Precision:
    if precision == "fp32":
        return Precision()
    # By name Fabric would take bf16 for fp16 on a CPU.
    return MixedPrecision("bf16-mixed" if precision == "bf16" else "16-mixed", accelerator)


def _strategy(accelerator: str, may_leave_out: bool) -> Strategy | Literal["auto"]:
    if process_count() == 1:
        return "auto"
    backend = "nccl" if accelerator == "cuda" else "gloo"
    # Batch norms are alike in all processes, and not all validate as many batches; see mien.training.distributed.
    parameters = signature(DistributedDataParallel).parameters
    sync = "forward_sync_buffers" if "forward_sync_buffers" in parameters else "broadcast_buffers"
    options: dict[str, Any] = {sync: False, "find_unused_parameters": may_leave_out}
    return DDPStrategy(process_group_backend=backend, **options)


def join_processes(fabric: Fabric) -> None:
    """Meet the other processes of this training.

    Processes that ``torchrun`` starts again on one machine find their store as the dead ones left it (torch 2.13), and
    may read where those could be reached. So each start has its own part of the store. Machines count their starts
    each for itself, so several of them meet as torch has it.
    """
    shared = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True" and os.environ.get("GROUP_WORLD_SIZE") == "1"
    if shared and isinstance(fabric.strategy, DDPStrategy):
        patience = timedelta(minutes=30)  # lightning's; a process may have much data to read first
        store, rank, size = next(rendezvous("env://", timeout=patience))
        prefix = f"start-{os.environ['TORCHELASTIC_RESTART_COUNT']}"
        distributed.init_process_group(
            fabric.strategy.process_group_backend,
            store=distributed.PrefixStore(prefix, store),  # type: ignore[attr-defined]
            rank=rank,
            world_size=size,
            timeout=patience,
        )
    fabric.launch()


def _computes_bf16(on_gpu: bool) -> bool:
    if on_gpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def keep_for_ever(model: object) -> None:
    """Never destroy a model that processes train together, and with it torch's group of processes.

    The group's destructor waits for its threads while it holds Python's lock; a thread that is giving back the last
    gradients waits for that lock, and both wait for ever (seen with torch 2.13 and gloo after Ctrl-C). The
    processes end soon after.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(model))


def _keep_freed_memory() -> None:
    """Let the process keep what it frees: each step of training asks for the same large blocks as the last.

    glibc gives large freed blocks back to the system, which hands them out again page by page and cleared: up to a
    sixth of a step on a CPU (docs/lab-notebook.md, "Memory that is kept"). What is computed stays the same to the bit.
    It holds for the life of the process, which then needs as much memory as its largest step did. Nothing is done
    elsewhere than on glibc, or where the user has set malloc up.
    """
    has_settings = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if platform.libc_ver()[0] != "glibc" or has_settings:
        return
    libc = ctypes.CDLL(None)
    libc.mallopt(_M_MMAP_MAX, 0)
    libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def device_name() -> str:
    """Where :func:`make_fabric` trains, as environment.json has it: ``cpu`` or ``cuda:0``."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def threads() -> int:
    """With how many threads torch computes on the CPU."""
    return torch.get_num_threads()


def torch_version() -> str:
    """The torch that trains, e.g. ``2.13.0+cpu``."""
    return str(torch.__version__)


def set_threads(count: int) -> None:
    """Let torch compute with so many threads, at least 1."""
    torch.set_num_threads(count)
