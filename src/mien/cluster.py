"""Ray: the cluster that ``--engine ray`` works on."""

from __future__ import annotations

import logging
import os
from typing import Any

from mien.errors import RunError, needs_extra


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
        try:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # noqa: BLE001 - a node that does not come up in 30 s raises a plain Exception
            raise RunError(f"Ray cannot be started: {str(error).splitlines()[0]}", code="ray-unreachable") from None
    return ray
