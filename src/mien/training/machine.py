"""The machine that a run is trained on, as far as its result depends on it bit by bit."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from mien.run_folder import RunFolder
from mien.training.device import threads, torch_version


def machine() -> dict[str, Any]:
    """What a result depends on bit by bit, beside recipe and data, as environment.json has it."""
    return {"threads": threads(), "torch": torch_version(), "processor": _processor()}


def _processor() -> str:
    """The CPU's name, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def machine_changes(run: RunFolder, device: str | None = None) -> dict[str, tuple[Any, Any]]:
    """What differs between now and the machine that last trained a run: name -> value then, value now.

    Where anything does, the run ends with other weights than on one machine.
    """
    begun = run.read_environment()
    before = {**begun, **{name: value for each in begun.get("resumed", []) for name, value in each.items()}}
    now = machine() | ({} if device is None else {"device": device})
    # Runs of earlier versions do not name their processor.
    return {name: (before[name], value) for name, value in now.items() if before.get(name, value) != value}
