"""What TensorBoard shows of a run: its history.csv, once more, as lightning-fabric's logger writes it."""

from __future__ import annotations

from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from mien.run_folder import RunFolder
from mien.training.loop import Watch
from mien.training.state import HistoryLine

FOLDER = "tensorboard"


class TensorBoardLog:
    """A :class:`mien.training.loop.Watch` that copies each epoch of history.csv into the run folder's ``tensorboard``.

    What stands there is made anew when a run is resumed, so that no epoch is missing or there twice.
    """

    def __init__(self, run: RunFolder, shown: Watch) -> None:
        """Touches nothing on disk. ``shown`` is told of everything too."""
        self._run = run
        self._shown = shown
        self._logger = TensorBoardLogger(run.path, name="", version=FOLDER)
        self._epochs = 0

    def step(self, epoch: int, images: int, loss: float) -> None:
        """See :class:`mien.training.loop.Watch`."""
        self._shown.step(epoch, images, loss)

    def epoch(self, line: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.loop.Watch`."""
        self._shown.epoch(line, is_best)
        if not self._epochs:
            for former in (self._run.path / FOLDER).glob("events.out.tfevents.*"):
                former.unlink()
        for each in self._run.read_history()[self._epochs :]:
            metrics = {name: value for name, value in each.items() if name != "epoch"}
            self._logger.log_metrics(metrics, step=int(each["epoch"]))
            self._epochs += 1
        self._logger.save()
