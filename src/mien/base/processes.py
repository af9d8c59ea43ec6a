"""CPU cores, threads, Ray, and the rank of this process in distributed training."""

import logging
import math
import os
import platform
import random
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from mien.base.errors import RunError, needs_extra

_CGROUP = Path("/sys/fs/cgroup")
Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Return the number of cores this process may use, limited by its container's quota, rounded up."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(cores, math.ceil(_quota_cores(cores))), 1)


def _quota_cores(cores: int) -> float:
    """Return the CPU quota of the container in cores, from Linux control groups version 1 or 2; else ``cores``."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        with suppress(OSError, ValueError, ZeroDivisionError):
            quota, period = map(int, " ".join((_CGROUP / file).read_text() for file in files).split())
            if quota > 0:  # -1 means no limit, like "max" in version 2
                return quota / period
    return cores


def processor_name() -> str:
    """Return the processor's model name if the system gives it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


_LOCK = threading.RLock()


@contextmanager
def one_thread() -> Iterator[None]:
    """Do what only one thread of a process can do at a time: draw seeded numbers, train with Fabric, export to ONNX."""
    with _LOCK:
        yield


_program: list[Callable[[], None]] = []
"""Functions that restore the generators and torch's settings, while any thread is in :func:`torch_defaults`."""
_inside = 0


@contextmanager
def torch_defaults() -> Iterator[None]:
    """Use gradients, float32 and the CPU in the block; afterwards torch's modes and all random numbers are as before.

    Several threads may be inside; the last one restores the program's state.
    """
    global _inside
    torch: Any = sys.modules.get("torch")
    with _LOCK:
        if not _inside:
            _program[:] = _restorers(torch)
        _inside += 1
        if torch is not None:
            torch.set_default_dtype(torch.float32)
    try:
        with ExitStack() as modes:
            if torch is not None:
                modes.enter_context(torch.inference_mode(False))
                modes.enter_context(torch.enable_grad())
                if torch.get_default_device().type != "cpu":
                    modes.enter_context(torch.device("cpu"))
            yield
    finally:
        with _LOCK:
            _inside -= 1
            for restore in () if _inside else _program:
                restore()


def _restorers(torch: Any) -> list[Callable[[], None]]:
    from numpy import random as numpy_random

    found: list[Callable[[], None]] = [  # a user's own augmentation may draw from any
        partial(random.setstate, random.getstate()),
        partial(numpy_random.set_state, numpy_random.get_state()),  # noqa: NPY002
    ]
    if torch is None:
        return [*found, _restore_new_torch]
    found += [partial(torch.set_rng_state, torch.get_rng_state())]
    found += [partial(torch.set_default_dtype, torch.get_default_dtype())]
    if torch.cuda.is_initialized():
        found += [partial(torch.cuda.set_rng_state_all, torch.cuda.get_rng_state_all())]
        found += [partial(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)]
    return found


def _restore_new_torch() -> None:
    """Let a torch that was imported meanwhile go on from its own seed."""
    if torch := sys.modules.get("torch"):
        torch.set_rng_state(torch.Generator().get_state())


_TORCHRUN = (
    *("TORCHELASTIC_RUN_ID", "RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
)


def process_count() -> int:
    """Return how many processes ``torchrun`` started to train together, 1 without; other launchers change nothing."""
    return int(os.environ["WORLD_SIZE"]) if all(os.environ.get(name) for name in _TORCHRUN) else 1


def is_main_process() -> bool:
    """Return whether this is the only or first process (rank 0). Only the process of rank 0 writes files and prints."""
    return process_count() == 1 or os.environ["RANK"] == "0"


def in_background(items: Iterable[Item], size: int) -> Generator[Item, None, None]:
    """Yield items that another thread produces, at most ``size`` of them ahead."""
    made, end = iter(items), object()
    with ThreadPoolExecutor(1, "ahead") as pool:
        ahead: deque[Future[Any]] = deque(pool.submit(next, made, end) for _ in range(size))
        try:
            while (item := ahead.popleft().result()) is not end:
                ahead.append(pool.submit(next, made, end))
                yield item
        finally:
            for waiting in ahead:
                waiting.cancel()


def ordered_map(work: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """Apply ``work`` to ``items`` in ``workers`` threads and yield the results in order.

    Threads suffice because decoding and onnxruntime release Python's lock, and all threads share one model.
    Predicting photos holds the lock for 3% of the time (``py-spy record --gil``). At most two items per worker wait in
    the queue. An error in ``work`` or ``items`` ends the iteration and cancels the items that have not started.
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


def start_ray() -> Any:
    """Start Ray here, or join the cluster that ``RAY_ADDRESS`` names, and return its module; RunError (``ray``)."""
    # Without this, Ray sends usage reports to its maker.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Do not show messages of Ray's workers in the terminal.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    with needs_extra("scale", "--engine ray"):
        import ray
    if not ray.is_initialized():
        address = os.environ.get("RAY_ADDRESS", "")
        host = urlsplit(f"//{address.rpartition('//')[2]}")
        try:
            if host.port:  # by itself, Ray would retry for minutes
                socket.create_connection((host.hostname, host.port), timeout=10).close()
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # noqa: BLE001 - a node that does not come up in 30 s raises a plain Exception
            words = f"Ray cannot be started{f' at RAY_ADDRESS={address}' if address else ''}"
            raise RunError(f"{words}: {str(error).splitlines()[0]}", code="ray") from None
    return ray
