"""Progress display of training: a line per epoch and a bar on a terminal, a live table in a notebook."""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mien.base.errors import MissingExtraError
from mien.base.progress import bars_are_shown, is_quiet
from mien.base.run_folder import HistoryLine
from mien.page.page import Column, Table
from mien.page.plots import training_chart
from mien.page.wording import duration_text
from mien.training.callback import Callback

if TYPE_CHECKING:
    from mien.training.state import TrainingState

_COLUMNS = (
    ("", "epoch", 7, "{epoch:.0f}/{epochs}"),
    ("train", "loss", 8, "{train_loss:.4f}"),
    ("train", "accuracy", 10, "{train_accuracy:.1%}"),
    ("validation", "loss", 8, "{validation_loss:.4f}"),
    ("validation", "accuracy", 10, "{validation_accuracy:.1%}"),
    ("validation", "macro-F1", 10, "{validation_macro_f1:.1%}"),
    ("", "rate", 8, "{learning_rate:.2g}"),
    ("", "seconds", 8, "{taken:.1f}"),
    ("", "left", 8, "{left}"),
)
"""Group, name, width and form of each column."""
HEADER: tuple[str, str] = (
    f"{'train':>20}{'validation':>22}",
    "".join(f"{name:>{width}}" for _, name, width, _ in _COLUMNS),
)


class TrainProgress(Callback):
    """Prints a line per epoch of one or more runs on stderr, unless ``--quiet``, with a bar on a terminal; in a
    notebook, a table with curves of loss and accuracy.
    """

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def on_train_begin(self, training: "TrainingState") -> None:
        """See :class:`mien.training.callback.Callback`."""
        self._training = training
        self._rows: list[tuple[str, ...]] = []
        self._epochs_before = len(training.history)
        self._seconds_before = training.history[-1]["seconds"] if training.history else 0.0
        self._loss = 0.0
        self._display: Any = None
        # A fitted head has no steps, and shows its own bars.
        if bars_are_shown() and not _in_notebook() and not training.recipe.tuning.fit_head:
            self._bar = _bar()
            steps = training.plan.steps_per_epoch
            epochs = training.recipe.epochs
            task = self._bar.add_task("", total=steps * epochs, epoch=1, epochs=epochs, rate="", loss="-")
            # After a resume, earlier epochs count as done, but not for the speed.
            self._bar.reset(task, completed=self._epochs_before * steps)
            self._bar.start()

    def on_step_end(self, epoch: int, images: int, loss: float) -> None:
        """See :class:`mien.training.callback.Callback`."""
        if self._bar is None:
            return
        # The loss of single batches fluctuates, so show a running mean.
        self._loss = loss if not self._loss else 0.95 * self._loss + 0.05 * loss
        task = self._bar.tasks[0]
        rate = f"{task.speed * images:,.0f} images/s" if task.speed else ""
        self._bar.update(task.id, advance=1, epoch=epoch, rate=rate, loss=f"{self._loss:.3f}")

    def on_epoch_end(self, metrics: HistoryLine, is_best: bool) -> None:
        """See :class:`mien.training.callback.Callback`."""
        if is_quiet() or self._training.recipe.tuning.fit_head:
            return
        self._rows.append(self._row(metrics, is_best))
        if _in_notebook():
            self._update_display()
            return
        for line in HEADER if len(self._rows) == 1 else ():
            self._print(line)
        cells = zip(self._rows[-1], _COLUMNS, strict=False)
        self._print("".join(f"{cell:>{width}}" for cell, (_, _, width, _) in cells) + (" *" if is_best else ""))

    def on_train_end(self, reason: str | None) -> None:
        """See :class:`mien.training.callback.Callback`."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if reason == "interrupted" and self._training.history and not is_quiet():
            self._print("Interrupted. The finished epochs are kept; Ctrl-C again stops at once.")

    def _row(self, metrics: HistoryLine, is_best: bool) -> tuple[str, ...]:
        history, epochs = self._training.history, self._training.recipe.epochs
        before = history[-2]["seconds"] if len(history) > 1 else 0.0
        done = len(history) - self._epochs_before
        left = (metrics["seconds"] - self._seconds_before) / done * (epochs - len(history))
        values = {**metrics, "epochs": epochs, "taken": metrics["seconds"] - before, "left": duration_text(left)}
        return (*(form.format(**values) for *_, form in _COLUMNS), "*" if is_best else "")

    def _print(self, line: str) -> None:
        if sys.stderr is None:
            return  # a program without a console
        if self._bar is None:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()
        else:
            self._bar.console.print(line, markup=False, highlight=False)

    def _update_display(self) -> None:
        ipython = import_module("IPython.display")
        columns = [Column(f"{group} {name}".strip(), "text") for group, name, *_ in _COLUMNS]
        table = Table("epochs", (*columns, Column("best", "text")), self._rows)
        shown = ipython.HTML(table._repr_html_() + self._curves())
        if self._display is None:
            self._display = ipython.display(shown, display_id=True)
        else:
            self._display.update(shown)

    def _curves(self) -> str:
        try:
            charts = [training_chart(self._training.history, name, None) for name in ("loss", "accuracy")]
        except MissingExtraError:
            return ""
        return "".join(each._repr_svg_() for each in charts)


def _bar() -> Progress:
    return Progress(
        TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("loss {task.fields[loss]}"),
        console=Console(stderr=True),
        # Show the speed of the last half minute, so that an epoch's validation does not look like a stall.
        speed_estimate_period=30,
        transient=True,
    )


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    return getattr(None if ipython is None else ipython.get_ipython(), "kernel", None) is not None
