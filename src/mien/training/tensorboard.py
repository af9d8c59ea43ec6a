"""What TensorBoard shows of a run: its history.csv, once more, as lightning-fabric's logger writes it."""

from __future__ import annotations

from collections.abc import Mapping

from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from mien.run_folder import RunFolder
from mien.training.callback import Callback
from mien.training.history_log import HistoryLog

FOLDER = "tensorboard"


class TensorBoardLog(HistoryLog):
    """A callback that copies each epoch of history.csv into the run folder's ``tensorboard``.

    The files are rewritten when a run is resumed, so that no epoch is missing or there twice.
    """

    name = "tensorboard"

    def __init__(self, run: RunFolder, shown: Callback) -> None:
        """Touches nothing on disk. ``shown`` is called, too."""
        super().__init__(run, shown)
        self._logger = TensorBoardLogger(run.path, name="", version=FOLDER)

    def _open(self) -> int:
        for former in (self._run.path / FOLDER).glob("events.out.tfevents.*"):
            former.unlink()
        return 0

    def _write(self, values: Mapping[str, float], epoch: int) -> None:
        self._logger.log_metrics(dict(values), step=epoch)

    def _flush(self, epochs: int) -> None:
        self._logger.save()
