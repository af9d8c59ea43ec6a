"""Ray: the cluster that ``--engine ray`` works on."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mien.errors import RunError, needs_extra

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
            with _without_stderr():
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


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Ray's C++ part writes of its own log level to file descriptor 2, whatever that level is."""
    try:
        kept = os.dup(2)
    except OSError:  # a process may have none
        yield
        return
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
