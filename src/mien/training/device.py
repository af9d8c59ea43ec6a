"""Where and in which precision to train: whatever the machine does best, through lightning-fabric."""

from __future__ import annotations

import logging
import os
import warnings
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision import MixedPrecision, Precision
from lightning_fabric.strategies.ddp import DDPStrategy

from mien.errors import TrainingError, arg, nearest
from mien.processes import process_count

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
            f"Training in fp16 is not for an Apple GPU. Train there in fp32 ({arg('settings', 'precision=fp32')}).",
            code="precision-device",
        )
    # By name Fabric would take bf16 for fp16 on a CPU.
    mixed: Literal["bf16-mixed", "16-mixed"] = "bf16-mixed" if precision == "bf16" else "16-mixed"
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
            plugins=Precision() if precision == "fp32" else MixedPrecision(mixed, accelerator),
        )


def _computes_bf16(on_gpu: bool) -> bool:
    if on_gpu:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def device_name() -> str:
    """Where :func:`make_fabric` trains, as environment.json has it: ``cpu`` or ``cuda:0``."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def threads() -> int:
    """With how many threads torch computes on the CPU."""
    return torch.get_num_threads()


def set_threads(count: int) -> None:
    """Let torch compute with so many threads, at least 1."""
    torch.set_num_threads(count)
