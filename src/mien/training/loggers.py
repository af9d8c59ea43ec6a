"""Experiment trackers by the name that ``--log`` takes. Each needs a package of its own."""

from __future__ import annotations

from importlib import import_module

from mien.errors import RunError, nearest, needs_extra
from mien.run_folder import RunFolder
from mien.training.callback import Callback
from mien.training.history_log import HistoryLog

LOGGERS = {
    "tensorboard": ("log", "mien.training.tensorboard", "TensorBoardLog"),
    "wandb": ("wandb", "mien.training.wandb_log", "WandbLog"),
    "mlflow": ("mlflow", "mien.training.mlflow_log", "MlflowLog"),
}
"""Name -> extra, module and class."""


def check_logger(name: str) -> None:
    """Refuse a logger before anything is read.

    Raises:
        RunError: an unknown name (``logger-unknown``), or no login (``logger-login``).
        MissingExtraError: its package is not installed.
    """
    if name not in LOGGERS:
        raise RunError(f"There is no logger '{name}'." + nearest(name, LOGGERS), code="logger-unknown")
    extra, module, _ = LOGGERS[name]
    with needs_extra(extra, f"--log {name}"):
        loaded = import_module(module)
        if name == "tensorboard":
            # lightning-fabric finds out that it is missing only when it writes.
            import_module("tensorboard")
    if name == "wandb":
        loaded.check_login()


def make_logger(name: str, run: RunFolder, shown: Callback) -> HistoryLog:
    """The callback of a checked logger, which calls ``shown`` too."""
    _, module, kind = LOGGERS[name]
    logger: HistoryLog = getattr(import_module(module), kind)(run, shown)
    return logger
