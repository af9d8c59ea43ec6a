"""Where and in which precision to train: whatever the machine does best, through lightning-fabric."""

from __future__ import annotations

import ctypes
import logging
import os
import platform
import warnings
from typing import Literal

import torch
from lightning_fabric import Fabric

# From glibc's malloc.h: what mallopt(3) is asked to change.
_M_TRIM_THRESHOLD = -1
_M_MMAP_MAX = -4


def make_fabric(precision: Literal["auto", "bf16", "fp32"]) -> Fabric:
    """One device, an NVIDIA GPU where there is one. ``auto`` is bf16 by autocast where the device computes in it."""
    if precision == "auto":
        precision = "bf16" if _computes_bf16() else "fp32"
    # Fabric advertises itself through the log.
    logging.getLogger("lightning_fabric").setLevel(logging.ERROR)
    if not torch.cuda.is_available():
        _keep_freed_memory()
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


def _keep_freed_memory() -> None:
    """Let the process keep what it frees: each step of training asks for the same large blocks as the one before.

    glibc gives large freed blocks back to the system, which hands them out again page by page and cleared: up to a
    sixth of a step on a CPU (docs/results.md, "Memory that is kept"). What is computed stays the same to the bit. It
    holds for the life of the process, which then needs as much memory as its largest step did. Nothing is done
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


def set_threads(count: int) -> None:
    """Let torch compute with so many threads, at least 1."""
    torch.set_num_threads(count)
