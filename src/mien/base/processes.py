"""The cores of this machine, work for all of them, and which of the processes that train together this one is."""

from __future__ import annotations

import logging
import math
import os
import platform
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from mien.base.errors import RunError, needs_extra

_CGROUP = Path("/sys/fs/cgroup")
Item = TypeVar("Item")
Result = TypeVar("Result")


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


def processor_name() -> str:
    """The processor as its maker calls it, where the system says."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@contextmanager
def usual_torch() -> Iterator[None]:
    """Work with gradients, float32 and the CPU, whatever modes a program that has loaded torch has left it in."""
    torch: Any = sys.modules.get("torch")
    if torch is None:
        yield
        return
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        with ExitStack() as modes:
            modes.enter_context(torch.inference_mode(False))
            modes.enter_context(torch.enable_grad())
            if torch.get_default_device().type != "cpu":
                modes.enter_context(torch.device("cpu"))
            yield
    finally:
        torch.set_default_dtype(dtype)


def process_count() -> int:
    """How many processes train together, as ``torchrun`` says it in the environment; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def is_main_process() -> bool:
    """Whether this is the first of them, or the only one: it alone writes files and says anything."""
    return process_count() == 1 or os.environ["RANK"] == "0"


def ordered_map(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """``map(work, items)`` in ``workers`` threads.

    Threads and not processes: decoding, OpenCV and onnxruntime release Python's lock (predicting photos holds it for 3%
    of the time, by ``py-spy record --gil``), and all threads share one model. At most two items a worker are taken
    ahead. An error in ``work`` or ``items`` ends the iteration and cancels the items that have not started.
    """
    if workers == 1:
        yield from map(work, items)
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


_CONNECT_SECONDS = 10


def start_ray() -> Any:
    """Ray, joined to the cluster that ``RAY_ADDRESS`` names, or started on this machine.

    Raises:
        MissingExtraError: Ray is not installed.
        RunError: it cannot be started, or there is no cluster at the address (``ray-unreachable``).
    """
    # Ray reports to its maker otherwise; images and how many there are stay on the machine.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Its own lines about its own workers, on the user's terminal.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with needs_extra("scale", "--engine ray"):
        import ray
    if not ray.is_initialized():
        _check_reachable(os.environ.get("RAY_ADDRESS", ""))
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # noqa: BLE001 - a node that does not come up in 30 s raises a plain Exception
            raise RunError(f"Ray cannot be started: {str(error).splitlines()[0]}", code="ray-unreachable") from None
    return ray


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes, and writes of it line by line. ``auto`` and ``local`` name no host."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not (host and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(
            f"No Ray cluster answers at RAY_ADDRESS={address}: {reason}. Start one with: ray start --head",
            code="ray-unreachable",
        ) from None
