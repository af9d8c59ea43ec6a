"""Experiment trackers that copy history.csv, by the name that ``--log`` takes. Each needs a package of its own.

A resumed run gets its earlier epochs first: TensorBoard's files are written again, MLflow and Weights & Biases have a
new run that is whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

from mien.base.errors import RunError, nearest, needs_extra
from mien.base.run_folder import RunFolder
from mien.training.callback import Callback, HistoryLine

Tracker = tuple[Callable[[dict[str, float], int], Any], Callable[[bool], Any]]
"""Logs the values of an epoch; ends the tracker's run, which may have failed."""
_LONGEST = 500
"""Letters of a parameter's value that every MLflow store takes."""


def _tensorboard(run: RunFolder) -> Tracker:
    """Event files in the run folder's ``tensorboard``, as lightning-fabric's logger writes them."""
    for former in (run.path / "tensorboard").glob("events.out.tfevents.*"):
        former.unlink()
    made = import_module("lightning_fabric.loggers.tensorboard").TensorBoardLogger
    logger = made(run.path, name="", version="tensorboard")

    def log(values: dict[str, float], epoch: int) -> None:
        logger.log_metrics(values, step=epoch)
        logger.save()

    return log, lambda failed: None


def _wandb(run: RunFolder) -> Tracker:
    """A run of the project ``WANDB_PROJECT``, or ``mien``; offline files are in the run folder's ``wandb``."""
    wandb = import_module("wandb")
    tracked = wandb.init(
        dir=run.path,
        name=run.path.resolve().name,
        project=os.environ.get("WANDB_PROJECT", "mien"),
        config=run.read_recipe().model_dump(mode="json"),
        # W&B itself reads the environment once a process, which may have been before WANDB_MODE was set.
        mode=os.environ.get("WANDB_MODE", "").lower() or None,
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
    )
    return lambda values, epoch: tracked.log(values, step=epoch), lambda failed: tracked.finish(exit_code=int(failed))


def _mlflow(run: RunFolder) -> Tracker:
    """A run of the experiment ``MLFLOW_EXPERIMENT_NAME``, or ``mien``, in the store of ``MLFLOW_TRACKING_URI``."""
    mlflow = import_module("mlflow")
    mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "mien"))
    mlflow.start_run(run_name=run.path.resolve().name)
    for key, value in run.read_recipe().model_dump(mode="json").items():
        inner = {f"{key}.{each}": value[each] for each in value} if isinstance(value, dict) else {key: value}
        mlflow.log_params({each: str(text)[:_LONGEST] for each, text in inner.items()})
    return (
        lambda values, epoch: mlflow.log_metrics(values, step=epoch),
        lambda failed: mlflow.end_run("FAILED" if failed else "FINISHED"),
    )


LOGGERS: dict[str, tuple[Callable[[RunFolder], Tracker], str, str]] = {
    "tensorboard": (_tensorboard, "log", "tensorboard"),
    "wandb": (_wandb, "wandb", "wandb"),
    "mlflow": (_mlflow, "mlflow", "mlflow"),
}
"""Name -> what opens it, extra, package."""


class Logger(Callback):
    """Copies each finished epoch to a tracker of :data:`LOGGERS`.

    The tracker is opened after the first epoch, when the run folder exists, and closed after the last.
    """

    def __init__(self, name: str, run: RunFolder) -> None:
        """Touches nothing on disk."""
        self._name, self._run, self._epochs = name, run, 0
        self._tracker: Tracker | None = None

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.callback.Callback`."""
        try:
            if self._tracker is None:
                self._tracker = LOGGERS[self._name][0](self._run)
            for line in self._run.read_history()[self._epochs :]:
                self._epochs = int(line.pop("epoch"))
                self._tracker[0](line, self._epochs)
        except RunError:
            raise
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise RunError(
                f"{self._name} cannot be used: {reason}. The epoch is kept; continue with --resume, without --log or "
                f"with other settings of the tracker.",
                code="logger-failed",
            ) from error

    def on_train_end(self, reason: str | None) -> None:
        """See :class:`mien.training.callback.Callback`."""
        if self._tracker is not None:
            self._tracker[1](reason is None)


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
