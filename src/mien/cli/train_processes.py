"""``--devices N``: one command in several processes that train together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import Any, NoReturn

from mien.errors import TrainingError
from mien.processes import available_cores

GRACE_SECONDS = 10.0
"""After a process has failed, so long the others may take to say why they end."""

_POLL_SECONDS = 0.1


def start_processes(count: int) -> NoReturn:
    """Run this very command in ``count`` processes on this machine, and end as they do.

    They find one another as those of ``torchrun`` do. That one is for several machines: it kills processes half a
    minute after Ctrl-C, in the middle of an evaluation, and ends with a traceback where they end with an error.

    Raises:
        SystemExit: with the exit code of the first process that failed, or 0.
        TrainingError: a process was killed (``process-lost``).
    """
    here = available_cores()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(here // count, 1)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(listener.getsockname()[1])}
    size = {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count), "TORCHELASTIC_RUN_ID": "mien"}
    running: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: Any) -> None:
        for each in running:
            each.send_signal(number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), pass_on)
    for rank in range(count):
        environment = {**os.environ, **address, **size, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        # A terminal's Ctrl-C goes to its whole process group, and a second one stops at once: each gets it from here.
        words = [sys.executable, "-m", "mien", *sys.argv[1:]]
        running.append(subprocess.Popen(words, env=environment, start_new_session=True))
    code = _wait(running)
    if code < 0:
        raise TrainingError(
            f"A process of this training was killed by signal {-code}. Continue with --resume.", code="process-lost"
        )
    sys.exit(code)


def _wait(running: list[subprocess.Popen[bytes]]) -> int:
    """Wait for all processes. Returns the exit code of the first that failed, after which the others are stopped."""
    failed = 0
    stop_at = float("inf")
    while any(each.poll() is None for each in running):
        time.sleep(_POLL_SECONDS)
        codes = [each.poll() for each in running]
        if not failed and any(codes):
            failed = next(code for code in codes if code)
            stop_at = time.monotonic() + GRACE_SECONDS
        if time.monotonic() > stop_at:
            for each in running:
                each.kill()
    return failed or next((each.returncode for each in running if each.returncode), 0)
