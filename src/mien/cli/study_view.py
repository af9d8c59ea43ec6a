"""What is shown of a study: the list of studies, what would run, and a live line on a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from mien.cli.output import notice, show, show_json
from mien.progress import bars_are_shown
from mien.runs.spec import Study, load_study, study_names
from mien.runs.store import CompletedRun, PlannedRun
from mien.runs.texts import duration


class StudyProgress:
    """A :class:`mien.runs.scheduler.StudyCallback`: runs done, what is running, time left."""

    def __init__(self, runs: Sequence[PlannedRun], seconds: Sequence[float]) -> None:
        self._cost = {run.key: each for run, each in zip(runs, seconds, strict=True)}
        self._done: dict[str, float] = {}
        self._running: dict[str, str] = {}
        self._count = 0
        self._progress = Progress(
            TextColumn("{task.fields[ended]}/{task.fields[runs]} runs"),
            BarColumn(bar_width=24),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.description}"),
            console=Console(stderr=True),
            disable=not bars_are_shown(),
            # Epochs take minutes: the speed is the mean of the last hour.
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

    def epochs(self, run: PlannedRun, done: int) -> None:
        """See :class:`mien.runs.scheduler.StudyCallback`."""
        self._done[run.key] = done / run.recipe.epochs
        self._running[run.key] = f"{run.variant}, seed {run.recipe.seed}: epoch {done}/{run.recipe.epochs}"
        self._update()

    def ended(self, run: PlannedRun, finished: CompletedRun) -> None:
        """See :class:`mien.runs.scheduler.StudyCallback`."""
        self._done[run.key] = 1.0
        self._running.pop(run.key, None)
        self._count += 1
        self._update()
        record = finished.record
        how = record.failed or f"epoch kept {record.best_epoch} of {record.epochs}, {duration(record.seconds)}"
        notice(f"{run.variant}, seed {run.recipe.seed}: {how}")

    def _update(self) -> None:
        total = sum(self._cost[key] * done for key, done in self._done.items())
        words = "; ".join(self._running.values())
        self._progress.update(self._task, completed=total, ended=self._count, description=words)


def show_studies(json: bool) -> None:
    """Print the studies that come with mien."""
    studies = [load_study(each) for each in study_names()]
    if json:
        show_json(
            [
                {"name": each.name, "title": each.title, "question": each.question, "variants": len(each.variants),
                 "runs": _count_runs(each)}
                for each in studies
            ]
        )  # fmt: skip
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for header in ("study", "runs", "question"):
        table.add_column(header, justify="right" if header == "runs" else "left")
    for each in studies:
        table.add_row(each.name, str(_count_runs(each)), Text(each.question or each.title))
    show(table)


def _count_runs(study: Study) -> int:
    return sum(len(study.seeds_of(variant)) for variant in study.variants if not variant.after)


def show_what_would_run(
    count: int, to_do: Sequence[PlannedRun], seconds: Sequence[float], at_once: int, json: bool
) -> None:
    """Print the runs of a dry run.

    Args:
        count: all runs of the study.
        to_do: those that are not finished.
        seconds: the estimated time of each.
        at_once: how many run at the same time.
        json: print JSON.
    """
    total = sum(seconds) / at_once
    if json:
        lines = [
            {"variant": run.variant, "seed": run.recipe.seed, "seconds": each}
            for run, each in zip(to_do, seconds, strict=True)
        ]
        show_json({"runs": count, "to_do": lines, "seconds": total})
        return
    table = Table(box=box.SIMPLE_HEAD, show_edge=False)
    for header in ("variant", "seed", "epochs", "time"):
        table.add_column(header, justify="left" if header == "variant" else "right")
    for run, each in zip(to_do, seconds, strict=True):
        table.add_row(run.variant, str(run.recipe.seed), str(run.recipe.epochs), duration(each))
    if to_do:
        show(table)
    how = ", one at a time" if at_once == 1 else f", {at_once} at a time"
    typer.echo(f"{len(to_do)} of {count} runs to do{how}: about {duration(total)} if none stops early.")
