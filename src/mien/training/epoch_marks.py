"""What a person sees of a training run where no line can be written over: in a notebook, in a log."""

from __future__ import annotations

import sys


class EpochMarks:
    """A :class:`mien.training.loop.Watch`: a mark on stdout for each epoch, ``*`` for a best one so far, else ``.``."""

    def step(self, epoch: int, images: int, loss: float) -> None:
        """See :class:`mien.training.loop.Watch`."""

    def epoch(self, line: dict[str, float], is_best: bool) -> None:
        """See :class:`mien.training.loop.Watch`."""
        sys.stdout.write("*" if is_best else ".")
        sys.stdout.flush()
