"""The first run of a model that did not come with mien, in a process of its own that may take so much and no more.

What passes :func:`mien.onnx_graph.check_graph` costs as much for any images as for these. So what ends here within its
limits also does in ``mien predict``, and what ends in a crash does so here. It happens once for each graph: an empty
file named by its SHA-256 stays in the user's cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from platformdirs import user_cache_dir

from mien.errors import ModelError
from mien.onnx_graph import graph_sha256

CPU_SECONDS, WALL_SECONDS = 60, 300
"""Time that opening a model and a batch of 64 images may take, of the processor and in all."""

MEMORY_BYTES = 4 * 1024**3
"""Address space of the process, beside four times the file's size. Linux keeps to it; macOS and Windows may not."""

_CHILD = Path(__file__).with_name("first_run_child.py")
_SHIPPED = Path(__file__).resolve().parent / "shipped"


def check_first_run(model: bytes, path: Path) -> None:
    """Run a model once within the limits, unless it came with mien or was run before.

    Args:
        model: the file's content.
        path: where it was read from.

    Raises:
        ModelError: the model cannot be opened or run within the limits (``model-first-run``).
    """
    if _SHIPPED in path.resolve().parents:
        return
    mark = _mark(model)
    if mark.exists():
        return
    memory = MEMORY_BYTES + 4 * len(model)
    command = [sys.executable, "-P", str(_CHILD), str(CPU_SECONDS), str(memory)]
    try:
        ended = subprocess.run(command, input=model, capture_output=True, timeout=WALL_SECONDS, check=False)
        reason = ended.stdout.decode(errors="replace").strip() or f"it ended with status {ended.returncode}"
        passed = ended.returncode == 0
    except subprocess.TimeoutExpired:
        passed, reason = False, "out of time"
    if not passed:
        raise ModelError(
            f"{path} cannot be opened as an ONNX model: it failed its first run within {CPU_SECONDS} s and "
            f"{memory / 1024**3:.0f} GiB ({reason[:160]}).",
            code="model-first-run",
        )
    remember(model)


def remember(model: bytes) -> None:
    """Note that a model needs no first run: this process made it."""
    # The note only saves time; a cache that cannot be written is no reason to stop.
    with suppress(OSError):
        mark = _mark(model)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _mark(model: bytes) -> Path:
    folder = os.environ.get("MIEN_CACHE") or user_cache_dir("mien", appauthor=False)
    return Path(folder) / "ran" / graph_sha256(model)
