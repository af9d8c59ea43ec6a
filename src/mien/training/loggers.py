"""Trackers that log a training run: TensorBoard, Weights & Biases, MLflow."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from mien.base.errors import RunError, nearest, needs_extra, reason_of
from mien.base.run_folder import HistoryLine, RunFolder
from mien.training.callback import Callback

Tracker = tuple[Callable[[HistoryLine, int], Any], Callable[[bool], Any]]
"""Two functions of a tracker: log the values of an epoch; end the tracker's run, given whether it failed."""


def _tensorboard(run: RunFolder) -> Tracker:
    """Write event files to the run folder's ``tensorboard``."""
    folder = run.path / "tensorboard"
    for former in folder.glob("events.out.tfevents.*"):
        former.unlink()
    writer = import_module("torch.utils.tensorboard").SummaryWriter(folder)

    def log(values: HistoryLine, epoch: int) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, epoch)
        writer.flush()

    return log, lambda failed: writer.close()


def _wandb(run: RunFolder) -> Tracker:
    """Log to a run in the project ``WANDB_PROJECT``, or ``mien``. Offline files are in the run folder's ``wandb``."""
    wandb = import_module("wandb")
    tracked = wandb.init(
        dir=run.path,
        name=run.path.resolve().name,
        project=os.environ.get("WANDB_PROJECT", "mien"),
        config=run.read_recipe().model_dump(mode="json"),
        # W&B reads the environment only once per process, possibly before WANDB_MODE was set.
        mode=os.environ.get("WANDB_MODE", "").lower() or None,
        settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
    )
    return lambda values, epoch: tracked.log(values, step=epoch), lambda failed: tracked.finish(exit_code=int(failed))


def _mlflow(run: RunFolder) -> Tracker:
    """Log to a run in the experiment ``MLFLOW_EXPERIMENT_NAME``, or ``mien``, in the store ``MLFLOW_TRACKING_URI``."""
    mlflow = import_module("mlflow")
    mlflow.set_experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", "mien"))
    mlflow.start_run(run_name=run.path.resolve().name)
    for key, value in run.read_recipe().model_dump(mode="json").items():
        inner = {f"{key}.{each}": value[each] for each in value} if isinstance(value, dict) else {key: value}
        # All stores of MLflow accept values of up to 500 letters.
        mlflow.log_params({each: str(text)[:500] for each, text in inner.items()})
    return (
        lambda values, epoch: mlflow.log_metrics(values, step=epoch),
        lambda failed: mlflow.end_run("FAILED" if failed else "FINISHED"),
    )


LOGGERS: dict[str, tuple[Callable[[RunFolder], Tracker], str]] = {
    "tensorboard": (_tensorboard, "log"),
    "wandb": (_wandb, "wandb"),
    "mlflow": (_mlflow, "mlflow"),
}
"""For each tracker: the function that opens its run, and the extra that installs it."""


class Logger(Callback):
    """Copies each finished epoch of history.csv to a tracker in :data:`LOGGERS`.

    A resumed run is logged from its first epoch: TensorBoard's files are rewritten, MLflow and W&B get a new run.
    """

    def __init__(self, name: str, run: RunFolder) -> None:
        """Check that the tracker can be used, before data is read.

        Raises MissingExtraError, and RunError (``logger``): an unknown name, no login or another error of the tracker.
        """
        if name not in LOGGERS:
            raise RunError(f"There is no logger '{name}'." + nearest(name, LOGGERS), code="logger")
        self._name, self._run, self._epochs = name, run, 0
        self._open, extra = LOGGERS[name]
        self._tracker: Tracker | None = None
        with needs_extra(extra, f"--log {name}"):
            package = import_module(name)
        local = os.environ.get("WANDB_MODE", "").lower() in {"offline", "disabled", "dryrun"}
        with self._in_one_line(kept=""):
            if name == "wandb" and not local and not package.login(prompt=False):
                words = "--log wandb: not logged in. Run `wandb login`, or log here with WANDB_MODE=offline."
                raise RunError(words, code="logger")

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`Callback`. The tracker is opened only now, because the run folder did not exist before."""
        with self._in_one_line():
            self._tracker = self._tracker or self._open(self._run)
            for line in self._run.read_history()[self._epochs :]:
                self._epochs = int(line.pop("epoch"))
                self._tracker[0](line, self._epochs)

    def on_train_end(self, reason: str | None) -> None:
        """See :class:`Callback`. A run that had finished before is logged now."""
        if self._tracker is None and reason not in {None, "interrupted", "stopped"}:
            self.on_epoch_end({}, False)
        if self._tracker is not None:
            with self._in_one_line():
                self._tracker[1](reason is None)

    @contextmanager
    def _in_one_line(self, kept: str = " Finished epochs are kept; go on with --resume.") -> Iterator[None]:
        """Turn any error of a tracker into a RunError with one line."""
        try:
            yield
        except RunError:
            raise
        except Exception as error:
            words = f"{self._name} cannot be used: {reason_of(error)}. Change its settings, or leave out --log.{kept}"
            raise RunError(words, code="logger") from error
