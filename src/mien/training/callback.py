"""Callbacks that follow and change a training run, handling of Ctrl-C, and trackers: TensorBoard, W&B, MLflow."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partialmethod
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mien.base.errors import RunError, nearest, needs_extra, reason_of
from mien.base.run_folder import HistoryLine, RunFolder

if TYPE_CHECKING:
    from mien.training.batches import Batch
    from mien.training.state import TrainingState


class Callback:
    """Base class of callbacks for a training run. Override the methods that you need; they run in the training thread.

    >>> class StopAt(Callback):
    ...     def __init__(self, accuracy):
    ...         self.accuracy, self.reached = accuracy, False
    ...     def on_epoch_end(self, metrics, is_best):
    ...         self.reached = metrics["validation_accuracy"] >= self.accuracy
    ...     def should_stop(self):
    ...         return self.reached
    >>> early = StopAt(0.7)
    >>> early.on_epoch_end({"validation_accuracy": 0.71}, is_best=True)
    >>> early.should_stop()
    True
    """

    def on_train_begin(self, training: "TrainingState") -> None:
        """Called before the first step, also in a resumed run.

        ``network`` and ``optimizer`` of the state may be changed, here or later. The recipe does not record such
        changes, so make them again in a resumed run.
        """

    def on_step_begin(self, training: "TrainingState", batch: "Batch") -> "Batch | None":
        """Called before each optimiser step, after its learning rate is set in ``training.optimizer.param_groups``.

        Return another batch to train on (``dataclasses.replace(batch, images=...)``), or None to keep it. The batch's
        images are float32 (B, channels, S, S), augmented and normalised.
        """

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        """Called after each optimiser step with the epoch (from 1), the number of images and their mean loss.

        On a GPU, the loss is read only every 32 steps; this is the last value.
        """

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """Called after each epoch, when its checkpoint is written.

        ``metrics`` is the epoch's line of history.csv; ``is_best`` says whether its weights are the best so far.
        """

    def on_train_end(self, reason: str | None) -> None:
        """Called after the last epoch, before the model is exported.

        Reasons are ``all epochs done``, ``interrupted`` by Ctrl-C, ``stopped`` by a callback, ...; None after an error.
        """

    def on_result(self, result: Any) -> None:
        """Called when the model is exported and evaluated, with the result of :func:`mien.train`."""

    def should_stop(self) -> bool:
        """Return True to stop the run. The method is called before each step and epoch, so it must be fast.

        A stopped run keeps its finished epochs, discards the current one, and can be resumed.
        """
        return False


class Callbacks(Callback):
    """Several callbacks as one, called in order."""

    def __init__(self, *callbacks: Callback | None) -> None:
        self._all = [each for each in callbacks if each is not None]

    def _call(self, name: str, *arguments: Any, **named: Any) -> None:
        for each in self._all:
            getattr(each, name)(*arguments, **named)

    def on_step_begin(self, training: "TrainingState", batch: "Batch") -> "Batch":
        """See :class:`Callback`."""
        for each in self._all:
            batch = each.on_step_begin(training, batch) or batch
        return batch

    def should_stop(self) -> bool:
        """See :class:`Callback`."""
        return any(each.should_stop() for each in self._all)


for _name in ("on_train_begin", "on_step_end", "on_epoch_end", "on_train_end", "on_result"):
    setattr(Callbacks, _name, partialmethod(Callbacks._call, _name))


_current: threading.Event | None = None


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let the first Ctrl-C end the epoch properly; a second one stops at once.

    Nested blocks share the outer block's event, so that it also ends a loop over runs.
    """
    global _current
    interrupted = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield interrupted
        return
    if _current is not None:
        yield _current
        return
    former = signal.getsignal(signal.SIGINT)

    def note(signum: int, frame: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, former)

    signal.signal(signal.SIGINT, note)
    _current = interrupted
    try:
        yield interrupted
    finally:
        _current = None
        signal.signal(signal.SIGINT, former)


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
    """Copies each finished epoch of history.csv to a tracker in :data:`LOGGERS`, in a resumed run the first too."""

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
        try:
            yield
        except RunError:
            raise
        except Exception as error:
            words = f"{self._name} cannot be used: {reason_of(error)}. Change its settings, or leave out --log.{kept}"
            raise RunError(words, code="logger") from error
