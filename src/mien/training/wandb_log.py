"""Weights & Biases: a run's history.csv as a W&B run. ``WANDB_MODE=offline`` keeps it on this machine."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from typing import Any

import wandb

from mien.errors import RunError
from mien.training.history_log import TrackedRun

_LOCAL = {"offline", "disabled", "dryrun"}


def check_login() -> None:
    """Refuse to begin a run that W&B would refuse after its first epoch. Raises :class:`RunError`."""
    if os.environ.get("WANDB_MODE", "").lower() not in _LOCAL and not wandb.login(prompt=False):
        raise RunError(
            "--log wandb: this machine is not logged in to Weights & Biases. Run `wandb login`, or keep the log on "
            "this machine with WANDB_MODE=offline.",
            code="logger-login",
        )


class WandbLog(TrackedRun):
    """A callback that copies each epoch of history.csv to Weights & Biases, with the recipe as its config.

    The project is ``WANDB_PROJECT``, or ``mien``. Offline files are in the run folder's ``wandb``; ``wandb sync`` sends
    them.
    """

    name = "wandb"
    _tracked: Any

    def _open(self) -> int:
        kept, epochs = self._kept()
        self._id = kept or secrets.token_hex(4)
        # W&B itself reads the environment once a process, which may have been before WANDB_MODE was set.
        mode: Any = os.environ.get("WANDB_MODE", "").lower() or None
        try:
            self._tracked = wandb.init(
                dir=self._run.path,
                id=self._id,
                name=self._run.path.resolve().name,
                project=os.environ.get("WANDB_PROJECT", "mien"),
                config=self._run.read_recipe().model_dump(mode="json"),
                mode=mode,
                resume="allow",
                settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
            )
        except wandb.errors.Error as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise RunError(
                f"Weights & Biases cannot be reached: {reason}. The epoch is kept; continue with --resume, "
                "without --log or with WANDB_MODE=offline.",
                code="logger-failed",
            ) from error
        return epochs

    def _write(self, values: Mapping[str, float], epoch: int) -> None:
        self._tracked.log(dict(values), step=epoch)

    def _close(self, *, failed: bool) -> None:
        self._tracked.finish(exit_code=int(failed))
