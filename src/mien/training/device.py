"""Where and in which precision to train: whatever the machine does best, through lightning-fabric."""

from __future__ import annotations

import logging
import warnings
from typing import Literal

import torch
from lightning_fabric import Fabric


def make_fabric(precision: Literal["auto", "bf16", "fp32"]) -> Fabric:
    """One device, an NVIDIA GPU where there is one. ``auto`` is bf16 by autocast where the device computes in it."""
    if precision == "auto":
        precision = "bf16" if _computes_bf16() else "fp32"
    # Fabric advertises itself through the log.
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
        # Batches of one size come again and again: trying each convolution's kernels once pays.
        torch.backends.cudnn.benchmark = accelerator == "cuda"
        return Fabric(accelerator=accelerator, devices=1, precision="bf16-mixed" if precision == "bf16" else "32-true")


def _computes_bf16() -> bool:
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def threads() -> int:
    """With how many threads torch computes on the CPU."""
    return torch.get_num_threads()


def set_threads(count: int) -> None:
    """Let torch compute with so many threads, at least 1."""
    torch.set_num_threads(count)
