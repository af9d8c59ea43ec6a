"""What a person sees of a training run: one live line on a terminal, nothing elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from mien.progress import bars_are_shown
from mien.training.callback import Callback, HistoryLine

if TYPE_CHECKING:
    from mien.training.plan import TrainingPlan


class TrainProgress(Callback):
    """Shows epoch, images a second, time left, loss, validation accuracy."""

    def __init__(self, plan: TrainingPlan) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        recipe, steps = plan.recipe, plan.steps_per_epoch
        self._epochs = recipe.epochs
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(compact=True),
            TextColumn("loss {task.fields[loss]}  validation {task.fields[accuracy]}"),
            console=Console(stderr=True),
            disable=not bars_are_shown(),
            # Rates over the last half minute: an epoch's validation must not read as a stall.
            speed_estimate_period=30,
        )
        self._task = self._progress.add_task(
            "", total=steps * recipe.epochs, epoch=1, epochs=recipe.epochs, rate="", loss="-", accuracy="-"
        )
        self._images_a_step = recipe.batch_size
        self._steps = steps
        self._keeps_best = recipe.stopping.keep == "best"
        self._loss = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        """See :class:`mien.training.callback.Callback`."""
        # A single batch's loss jumps about; show a running mean.
        self._loss = loss if not self._loss else 0.95 * self._loss + 0.05 * loss
        task = self._progress.tasks[0]
        if task.completed == 0 and epoch > 1:
            # A resumed run: what was done before counts as done, not as speed.
            self._progress.reset(self._task, completed=(epoch - 1) * self._steps)
        rate = f"{task.speed * images:,.0f} images/s" if task.speed else ""
        self._progress.update(self._task, advance=1, epoch=epoch, rate=rate, loss=f"{self._loss:.3f}")

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.callback.Callback`."""
        mark = " (best)" if is_best and self._keeps_best else ""
        self._progress.update(self._task, accuracy=f"{metrics['validation_accuracy']:.1%}{mark}")
