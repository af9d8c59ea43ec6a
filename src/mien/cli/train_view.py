"""What a person sees of a training run: one live line on a terminal, nothing elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from mien.data.balance import balanced_counts
from mien.data.faceset import FaceSet
from mien.labels import parse_scheme
from mien.progress import bars_are_shown
from mien.recipe import Recipe


class TrainView:
    """A :class:`mien.training.loop.Watch`: epoch, images a second, time left, loss, validation accuracy."""

    def __init__(self, recipe: Recipe, faces: FaceSet) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        learnt = faces.with_scheme(parse_scheme(recipe.classes)).counts("train")
        steps = max(int(balanced_counts(learnt, recipe.balance).sum()) // recipe.batch_size, 1)
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
        self._loss = 0.0

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, epoch: int, images: int, loss: float) -> None:
        """See :class:`mien.training.loop.Watch`."""
        # A single batch's loss jumps about; show a running mean.
        self._loss = loss if not self._loss else 0.95 * self._loss + 0.05 * loss
        task = self._progress.tasks[0]
        if task.completed == 0 and epoch > 1:
            # A resumed run: what was done before counts as done, not as speed.
            self._progress.reset(self._task, completed=(epoch - 1) * self._steps)
        rate = f"{task.speed * images:,.0f} images/s" if task.speed else ""
        self._progress.update(self._task, advance=1, epoch=epoch, rate=rate, loss=f"{self._loss:.3f}")

    def epoch(self, line: dict[str, float], is_best: bool) -> None:
        """See :class:`mien.training.loop.Watch`."""
        mark = " (best)" if is_best else ""
        self._progress.update(self._task, accuracy=f"{line['validation_accuracy']:.1%}{mark}")
