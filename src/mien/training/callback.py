"""How a program follows a training run, and stops it."""

from __future__ import annotations

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

    def should_stop(self) -> bool:
        """Whether the run should stop. Asked before each step and each epoch, so keep it fast.

        A stopped run keeps its finished epochs, discards the one under way, and can be resumed.
        """
        return False
