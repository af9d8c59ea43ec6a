"""The cores of this machine, and which of the processes that train together this one is."""

from __future__ import annotations

import math
import os
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """How many cores this process may use: its own, and no more than its container's quota, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(cores, math.ceil(_quota_cores(cores))), 1)


def _quota_cores(cores: int) -> float:
    """Cores' worth of time that a container gets, as Linux's control groups say it, version 2 or 1; else ``cores``."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = map(int, " ".join((_CGROUP / file).read_text() for file in files).split())
            if quota > 0:  # -1: no limit, as "max" in version 2
                return quota / period
    return cores


def process_count() -> int:
    """How many processes train together, as ``torchrun`` says it in the environment; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def is_main_process() -> bool:
    """Whether this is the first of them, or the only one: it alone writes files and says anything."""
    return process_count() == 1 or os.environ["RANK"] == "0"
