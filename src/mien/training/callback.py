"""How a program follows a training run and changes it: callbacks. And what stops it: Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.training.batches import Batch
    from mien.training.state import TrainingState

HistoryLine = dict[str, float]
"""One line of history.csv: ``epoch`` (1-based), ``seconds`` since the start, ``learning_rate``, ``train_loss``,
``train_accuracy``, and ``validation_loss``, ``_accuracy``, ``_macro_f1`` and ``_macro_auc``."""


class Callback:
    """Follow a run: override what you need. A run calls these methods in its own thread.

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
        """Called before the first step, of a resumed run too.

        Args:
            training: the run. Its ``network`` and ``optimizer`` may be changed, here or later; what is changed is
                not of the recipe, so that a resumed run has to do it again.
        """

    def on_step_begin(self, training: TrainingState, batch: Batch) -> Batch | None:
        """Called before each optimiser step, once its learning rate is set in ``training.optimizer.param_groups``.

        Args:
            training: the run.
            batch: ``images`` float32 (B, channels, S, S), augmented and normalised, and which samples they are.

        Returns:
            The batch to train on in its place (``dataclasses.replace(batch, images=...)``); None keeps it.
        """

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        """Called after each optimiser step.

        Args:
            epoch: from 1.
            images: how many images this step trained on.
            loss: mean loss of this step. On a GPU the loss is read every 32 steps only; this is the last one read.
        """

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """Called after each epoch, once its checkpoint is written.

        Args:
            metrics: this epoch's line of history.csv.
            is_best: whether the weights of this epoch are the ones to keep so far.
        """

    def on_train_end(self, reason: str | None) -> None:
        """Called after the last epoch, before the model is exported.

        Args:
            reason: why training ended: ``all epochs done``, ``interrupted`` by Ctrl-C, ``stopped`` by a callback, ...;
                None where an error ended it.
        """

    def should_stop(self) -> bool:
        """Whether the run should stop. Asked before each step and each epoch, so keep it fast.

        A stopped run keeps its finished epochs, discards the one under way, and can be resumed.
        """
        return False


class Callbacks(Callback):
    """Several callbacks as one; they are called in their order."""

    def __init__(self, *callbacks: Callback | None) -> None:
        self._all = [each for each in callbacks if each is not None]

    def on_train_begin(self, training: TrainingState) -> None:
        """See :class:`Callback`."""
        for each in self._all:
            each.on_train_begin(training)

    def on_step_begin(self, training: TrainingState, batch: Batch) -> Batch:
        """See :class:`Callback`."""
        for each in self._all:
            batch = each.on_step_begin(training, batch) or batch
        return batch

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        """See :class:`Callback`."""
        for each in self._all:
            each.on_step_end(epoch, images, loss)

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`Callback`."""
        for each in self._all:
            each.on_epoch_end(metrics, is_best)

    def on_train_end(self, reason: str | None) -> None:
        """See :class:`Callback`."""
        for each in self._all:
            each.on_train_end(reason)

    def should_stop(self) -> bool:
        """See :class:`Callback`."""
        return any(each.should_stop() for each in self._all)


_current: threading.Event | None = None


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Let the first Ctrl-C end the epoch in order; a second one stops at once.

    Inside another such block the event is that block's, so that what ends a run ends the loop over runs too.
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
