"""Progress display of a study: a line for each ended run, and a bar over all epochs (in a log, a line every 10 s)."""

import sys
import time
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mien.base.errors import Notice
from mien.base.progress import bars_are_shown, is_quiet
from mien.evaluation.named_metrics import NamedMetric
from mien.page.wording import duration_text, metric_format, shown
from mien.runs.plan import CompletedRun, PlannedRun, StudyCallback


class StudyProgress(StudyCallback):
    """Prints to stderr, unless ``--quiet`` is given. The bar names the active run; ``metric`` is shown at its end."""

    def __init__(self, metric: NamedMetric) -> None:
        self._metric = metric
        self._epochs: dict[str, int] = {}
        self._bar = Progress(
            BarColumn(bar_width=24),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            disable=not bars_are_shown(),
            # Average the speed over the last hour, because epochs take minutes.
            speed_estimate_period=3600,
        )
        self._task = self._bar.add_task("", total=None)
        self._said = time.monotonic()

    def on_plan(self, runs: Sequence[PlannedRun], to_do: Sequence[PlannedRun], notices: Sequence[Notice]) -> None:
        """See :class:`mien.runs.plan.StudyCallback`."""
        for each in notices:
            self.say(each.line)
        self._bar.update(self._task, total=sum(run.recipe.epochs for run in to_do))
        self._bar.start()

    def on_epochs(self, run: PlannedRun, done: int) -> None:
        """See :class:`mien.runs.plan.StudyCallback`."""
        self._epochs[run.key] = done
        words = f"{run.variant}, seed {run.recipe.seed}: epoch {done}/{run.recipe.epochs}"
        self._bar.update(self._task, completed=sum(self._epochs.values()), description=words)
        if self._bar.disable and done < run.recipe.epochs and time.monotonic() - self._said >= 10:
            self._said = time.monotonic()
            self.say(words)

    def on_run_end(self, run: PlannedRun, completed: CompletedRun) -> None:
        """See :class:`mien.runs.plan.StudyCallback`."""
        self.on_epochs(run, run.recipe.epochs)
        record = completed.record
        how = record.failed
        if not how:
            predictions = completed.predictions()
            value = shown(self._metric.value(predictions), metric_format(self._metric))
            how = f"{self._metric.name} {value}, epoch kept {record.best_epoch} of {record.epochs}, "
            how += duration_text(record.seconds)
        self.say(f"{run.variant}, seed {run.recipe.seed}: {how}")

    def on_end(self) -> None:
        """See :class:`mien.runs.plan.StudyCallback`."""
        self._bar.stop()

    def say(self, line: str) -> None:
        """Print a line to stderr."""
        if not is_quiet():
            sys.stderr.write(line + "\n")
