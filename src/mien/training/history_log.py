"""Callbacks that copy history.csv to an experiment tracker: each epoch once, also when a run is resumed."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from mien.files import write_text
from mien.run_folder import RunFolder
from mien.training.callback import Callback, HistoryLine


class HistoryLog(Callback, ABC):
    """Copies each finished epoch of history.csv to a tracker. A context manager: leaving it closes the tracker.

    The run folder is the truth. A tracker is opened after the first epoch, when the folder exists for certain.
    """

    name: str
    """Of the tracker, as ``--log`` takes it."""

    def __init__(self, run: RunFolder, shown: Callback) -> None:
        """Touches nothing on disk. ``shown`` is called, too."""
        self._run = run
        self._shown = shown
        self._epochs: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._epochs is not None:
            self._close(failed=error is not None)

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        """See :class:`mien.training.callback.Callback`."""
        self._shown.on_step_end(epoch, images, loss)

    def should_stop(self) -> bool:
        """See :class:`mien.training.callback.Callback`."""
        return self._shown.should_stop()

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.callback.Callback`."""
        self._shown.on_epoch_end(metrics, is_best)
        if self._epochs is None:
            self._epochs = self._open()
        for line in self._run.read_history()[self._epochs :]:
            self._write({name: value for name, value in line.items() if name != "epoch"}, int(line["epoch"]))
            self._epochs += 1
        self._flush(self._epochs)

    @abstractmethod
    def _open(self) -> int:
        """Open the tracker's run; how many epochs it holds already."""

    @abstractmethod
    def _write(self, values: Mapping[str, float], epoch: int) -> None:
        """Log one epoch."""

    @abstractmethod
    def _flush(self, epochs: int) -> None:
        """Called after the last of so many epochs is written."""

    def _close(self, *, failed: bool) -> None:
        """End the tracker's run."""


class TrackedRun(HistoryLog):
    """A log to a tracker that knows runs by an id. ``NAME.json`` in the run folder holds it and the epochs logged."""

    _id: str

    def _kept(self) -> tuple[str | None, int]:
        """The id and the number of logged epochs; ``(None, 0)`` where this run was not logged before."""
        file = self._run.path / f"{self.name}.json"
        try:
            kept = json.loads(file.read_text(encoding="utf-8"))
            return str(kept["id"]), int(kept["epochs"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None, 0

    def _flush(self, epochs: int) -> None:
        write_text(self._run.path / f"{self.name}.json", json.dumps({"id": self._id, "epochs": epochs}) + "\n")
