"""Callbacks that follow and change a training run, and handling of Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod
from typing import TYPE_CHECKING, Any

from mien.base.run_folder import HistoryLine

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

    def on_train_begin(self, training: TrainingState) -> None:
        """Called before the first step, also in a resumed run.

        ``network`` and ``optimizer`` of the state may be changed, here or later. The recipe does not record such
        changes, so make them again in a resumed run.
        """

    def on_step_begin(self, training: TrainingState, batch: Batch) -> Batch | None:
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

    def on_step_begin(self, training: TrainingState, batch: Batch) -> Batch:
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
