"""The cores of this machine, and which of the processes that train together this one is."""

from __future__ import annotations

import os


def available_cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_count() -> int:
    """How many processes train together, as ``torchrun`` says it in the environment; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def processes_here() -> int:
    """How many of them run on this machine."""
    return int(os.environ["LOCAL_WORLD_SIZE"]) if process_count() > 1 else 1


def is_main_process() -> bool:
    """Whether this is the first of them, or the only one: it alone writes files and says anything."""
    return process_count() == 1 or os.environ["RANK"] == "0"
