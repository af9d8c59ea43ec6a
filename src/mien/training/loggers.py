"""Experiment trackers that copy history.csv, by the name that ``--log`` takes. Each needs a package of its own.

A resumed run gets its earlier epochs first: TensorBoard's files are written again, MLflow and Weights & Biases have a
new run that is whole.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from importlib import import_module
from typing import Any

from mien.base.errors import RunError, nearest, needs_extra
from mien.base.recipe import Recipe
from mien.base.run_folder import RunFolder
from mien.training.callback import Callback, HistoryLine

_LONGEST = 500
"""Letters of a parameter's value that every MLflow store takes."""


class Logger(Callback, ABC):
    """Copies each finished epoch to a tracker.

    The tracker is opened after the first epoch, when the run folder exists, and closed after the last.
    """

    def __init__(self, run: RunFolder) -> None:
        """Touches nothing on disk."""
        self._run = run
        self._epochs = 0

    def on_train_end(self, reason: str | None) -> None:
        """See :class:`mien.training.callback.Callback`."""
        if self._epochs:
            self._close(failed=reason is None)

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.callback.Callback`."""
        try:
            if not self._epochs:
                self._open(self._run.path.resolve().name, self._run.read_recipe())
            for line in self._run.read_history()[self._epochs :]:
                self._epochs = int(line.pop("epoch"))
                self._log(line, self._epochs)
        except RunError:
            raise
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise RunError(
                f"{type(self).__name__} cannot be used: {reason}. The epoch is kept; continue with --resume, without "
                f"--log or with other settings of the tracker.",
                code="logger-failed",
            ) from error

    @abstractmethod
    def _open(self, name: str, recipe: Recipe) -> None:
        """Open the tracker's run."""

    @abstractmethod
    def _log(self, values: dict[str, float], epoch: int) -> None:
        """Log one epoch."""

    def _close(self, *, failed: bool) -> None:
        """End the tracker's run."""


class TensorBoard(Logger):
    """Event files in the run folder's ``tensorboard``, as lightning-fabric's logger writes them."""

    def _open(self, name: str, recipe: Recipe) -> None:
        for former in (self._run.path / "tensorboard").glob("events.out.tfevents.*"):
            former.unlink()
        made = import_module("lightning_fabric.loggers.tensorboard").TensorBoardLogger
        self._logger = made(self._run.path, name="", version="tensorboard")

    def _log(self, values: dict[str, float], epoch: int) -> None:
        self._logger.log_metrics(values, step=epoch)
        self._logger.save()


class WeightsAndBiases(Logger):
    """A run of the project ``WANDB_PROJECT``, or ``mien``; offline files are in the run folder's ``wandb``."""

    def _open(self, name: str, recipe: Recipe) -> None:
        wandb = import_module("wandb")
        # W&B itself reads the environment once a process, which may have been before WANDB_MODE was set.
        mode: Any = os.environ.get("WANDB_MODE", "").lower() or None
        self._tracked = wandb.init(
            dir=self._run.path,
            name=name,
            project=os.environ.get("WANDB_PROJECT", "mien"),
            config=recipe.model_dump(mode="json"),
            mode=mode,
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )

    def _log(self, values: dict[str, float], epoch: int) -> None:
        self._tracked.log(values, step=epoch)

    def _close(self, *, failed: bool) -> None:
        self._tracked.finish(exit_code=int(failed))


class MLflow(Logger):
    """A run of the experiment ``MLFLOW_EXPERIMENT_NAME``, or ``mien``, in the store of ``MLFLOW_TRACKING_URI``."""

    def _open(self, name: str, recipe: Recipe) -> None:
        self._mlflow = mlflow = import_module("mlflow")
        mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "mien"))
        mlflow.start_run(run_name=name)
        for key, value in recipe.model_dump(mode="json").items():
            inner = {f"{key}.{each}": value[each] for each in value} if isinstance(value, dict) else {key: value}
            mlflow.log_params({each: str(text)[:_LONGEST] for each, text in inner.items()})

    def _log(self, values: dict[str, float], epoch: int) -> None:
        self._mlflow.log_metrics(values, step=epoch)

    def _close(self, *, failed: bool) -> None:
        self._mlflow.end_run("FAILED" if failed else "FINISHED")


LOGGERS: dict[str, tuple[type[Logger], str, str]] = {
    "tensorboard": (TensorBoard, "log", "tensorboard"),
    "wandb": (WeightsAndBiases, "wandb", "wandb"),
    "mlflow": (MLflow, "mlflow", "mlflow"),
}
"""Name -> class, extra, package."""


def check_logger(name: str) -> None:
    """Refuse a logger before anything is read.

    Raises:
        RunError: an unknown name (``logger-unknown``), or no login (``logger-login``).
        MissingExtraError: its package is not installed.
    """
    if name not in LOGGERS:
        raise RunError(f"There is no logger '{name}'." + nearest(name, LOGGERS), code="logger-unknown")
    _, extra, package = LOGGERS[name]
    with needs_extra(extra, f"--log {name}"):
        loaded = import_module(package)
    local = os.environ.get("WANDB_MODE", "").lower() in {"offline", "disabled", "dryrun"}
    if name == "wandb" and not local and not loaded.login(prompt=False):
        raise RunError(
            "--log wandb: this machine is not logged in to Weights & Biases. Run `wandb login`, or keep the log on "
            "this machine with WANDB_MODE=offline.",
            code="logger-login",
        )


def make_logger(name: str, run: RunFolder) -> Logger:
    """The callback of a checked logger."""
    return LOGGERS[name][0](run)
