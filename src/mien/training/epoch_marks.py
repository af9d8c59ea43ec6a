"""What a person sees of a training run where no line can be written over: in a notebook, in a log."""

from __future__ import annotations

import sys

from mien.training.callback import Callback, HistoryLine


class EpochMarks(Callback):
    """Prints a mark for each epoch: ``*`` for the best one so far, else ``.``."""

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.callback.Callback`."""
        sys.stdout.write("*" if is_best else ".")
        sys.stdout.flush()
