"""What a person sees of a study: one live line on a terminal, and a line for every run that ends."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from mien.cli.options import remark
from mien.experiments.study_results import Finished, Planned
from mien.progress import bars_are_shown
from mien.report.study_wording import duration


class StudyView:
    """A :class:`mien.experiments.study_runs.StudyWatch`: runs done, what is running, time left."""

    def __init__(self, runs: Sequence[Planned], seconds: Sequence[float]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._cost = {run.key: each for run, each in zip(runs, seconds, strict=True)}
        self._share: dict[str, float] = {}
        self._under_way: dict[str, str] = {}
        self._ended = 0
        self._progress = Progress(
            TextColumn("{task.fields[ended]}/{task.fields[runs]} runs"),
            BarColumn(bar_width=24),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            disable=not bars_are_shown(),
            # Epochs come minutes apart: the rate is that of the last hour.
            speed_estimate_period=3600,
        )
        self._task = self._progress.add_task("", total=sum(seconds), ended=0, runs=len(runs))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def epochs(self, run: Planned, done: int) -> None:
        """See :class:`mien.experiments.study_runs.StudyWatch`."""
        self._share[run.key] = done / run.recipe.epochs
        self._under_way[run.key] = f"{run.variant}, seed {run.recipe.seed}: epoch {done}/{run.recipe.epochs}"
        self._update()

    def ended(self, run: Planned, finished: Finished) -> None:
        """See :class:`mien.experiments.study_runs.StudyWatch`."""
        self._share[run.key] = 1.0
        self._under_way.pop(run.key, None)
        self._ended += 1
        self._update()
        record = finished.record
        how = record.failed or f"best epoch {record.best_epoch} of {record.epochs}, {duration(record.seconds)}"
        remark(f"{run.variant}, seed {run.recipe.seed}: {how}")

    def _update(self) -> None:
        done = sum(self._cost[key] * share for key, share in self._share.items())
        words = "; ".join(self._under_way.values())
        self._progress.update(self._task, completed=done, ended=self._ended, description=words)
