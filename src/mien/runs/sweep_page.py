"""What a sweep finds, and what it writes of it: trials.csv, best.toml, and the page with its charts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import Notice
from mien.files import write_bytes, write_text
from mien.page.blocks import Block, CaptionedChart, Column, Section, Table, Text
from mien.page.charts.svg import COLOURS, INK, Chart, make_chart
from mien.page.page import Page
from mien.page.wording import percent
from mien.recipe_file import dump_recipe
from mien.runs.space import Space

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TRIALS_SHOWN = 20
_BEST = COLOURS[5]


@dataclass(frozen=True)
class TrialResult:
    """A finished trial.

    Attributes:
        number: counts from 0; one that was interrupted keeps its number, as its folder does.
        outcome: ``complete``, ``pruned`` by successive halving, ``diverged``, or ``invalid`` (values that do not go
            together).
        accuracy: on validation, 0..1, of the best epoch so far; NaN without any.
        epochs: how many it ran.
        seconds: of training and validation.
        values: of each key.
    """

    number: int
    outcome: str
    accuracy: float
    epochs: int
    seconds: float
    values: Mapping[str, Any]


def best_first(trials: Sequence[TrialResult]) -> list[TrialResult]:
    """Complete trials by accuracy, then the others by accuracy; of equals the one that began first."""

    def rank(trial: TrialResult) -> tuple[bool, float, int]:
        accuracy = -1.0 if math.isnan(trial.accuracy) else trial.accuracy
        return trial.outcome != "complete", -accuracy, trial.number

    return sorted(trials, key=rank)


def best_trial(trials: Sequence[TrialResult]) -> TrialResult | None:
    """The most accurate of complete trials; None where there is none."""
    return next((trial for trial in best_first(trials) if trial.outcome == "complete"), None)


@dataclass(frozen=True)
class SweepResult:
    """The result of a sweep.

    Attributes:
        folder: of the sweep.
        trials: the finished ones, by number.
        base: the recipe's own value of each searched key.
        total: how many there will be.
        was_stopped: whether Ctrl-C ended this worker.
        page: report.html; None while no trial is finished.
    """

    folder: Path
    trials: tuple[TrialResult, ...]
    base: Mapping[str, Any]
    total: int
    was_stopped: bool = False
    page: Path | None = None

    @property
    def best(self) -> TrialResult | None:
        """The most accurate complete trial."""
        return best_trial(self.trials)

    @property
    def best_recipe(self) -> Path:
        """The recipe of the best trial; no file while no trial is complete."""
        return self.folder / "best.toml"

    def to_dict(self) -> dict[str, object]:
        """JSON-ready."""
        best = self.best and {
            "trial": self.best.number,
            "validation_accuracy": self.best.accuracy,
            "values": dict(self.best.values),
            "recipe": str(self.best_recipe),
        }
        return {
            "folder": str(self.folder),
            "finished": len(self.trials),
            "total": self.total,
            "best": best,
        }


def write_small_files(out: Path, space: Space, trials: Sequence[TrialResult]) -> None:
    """Write trials.csv and best.toml. Raises :class:`mien.errors.RunError`."""
    write_bytes(out / "trials.csv", trials_table(trials, tuple(space.ranges)).to_csv())
    best = best_trial(trials)
    if best is not None:
        words = f"Trial {best.number}, the best of {len(trials)} of {space.name}: {best.accuracy:.1%} on validation"
        update = {"name": f"{space.base.name}-best", "description": words}
        write_text(out / "best.toml", dump_recipe(space.recipe_for(best.values).model_copy(update=update)))


def write_page(result: SweepResult, space: Space, lead: str, metadata: Mapping[str, Any]) -> Path:
    """Write report.html with its charts and tables.

    Args:
        result: with at least one finished trial.
        space: what was searched.
        lead: what the metrics are of.
        metadata: for the page: data, command, ...

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
        RunError: the file system refused.
    """
    finished, total = len(result.trials), result.total
    page = Page(
        title=f"Sweep of {space.base.name}",
        lead=lead,
        sections=sweep_sections(result),
        notices=[]
        if finished >= total
        else [Notice(f"{finished} of {total} trials are finished.", code="trials-unfinished")],
        metadata={
            "space": f"{space.name} ({space.digest[:19]}), seed {space.seed}",
            "recipe": f"{space.base.name} ({space.base.digest[:19]}), {space.base.epochs} epochs",
            **{name: str(value) for name, value in metadata.items()},
        },
    )
    return page.write(result.folder).page


def own_values(space: Space) -> dict[str, Any]:
    """The recipe's own value of each key that is searched."""
    content: Any = space.base.model_dump(mode="json")
    values = {}
    for key in space.ranges:
        value = content
        for part in key.split("."):
            value = value.get(part, "its default") if isinstance(value, dict) else value
        values[key] = value
    return values


def trials_table(trials: Sequence[TrialResult], keys: Sequence[str]) -> Table:
    """All finished trials, best first."""
    columns = (
        Column("trial", "text"),
        Column("outcome", "text"),
        Column("accuracy", "percent"),
        Column("epochs", "count"),
        Column("seconds", "number"),
        *(Column(key, "number") for key in keys),
    )
    rows = [
        (
            *(trial.number, trial.outcome, trial.accuracy, trial.epochs, trial.seconds),
            *(trial.values.get(key) for key in keys),
        )
        for trial in best_first(trials)
    ]
    return Table("trials", columns, rows, shown=TRIALS_SHOWN)


def keys_table(best: TrialResult, base: Mapping[str, Any]) -> Table:
    """What the best trial has beside the recipe's own value."""
    columns = (Column("key", "text"), Column("recipe", "number"), Column("best", "number"))
    return Table("best", columns, [(key, base[key], value) for key, value in best.values.items()])


def sweep_sections(result: SweepResult) -> list[Section]:
    """The sections of a sweep's page; at least one trial is finished."""
    trials, best = result.trials, result.best
    outcomes = [trial.outcome for trial in trials]
    counts = ", ".join(
        f"{outcomes.count(each)} {each}" for each in ("complete", "pruned", "diverged", "invalid") if each in outcomes
    )
    sections = []
    if best is not None:
        blocks: tuple[Block, ...] = (
            Text(f"Trial {best.number}: {percent(best.accuracy)} on validation after {best.epochs} epochs."),
            keys_table(best, result.base),
            Text(
                "This accuracy is optimistic: the best of many trials was selected on the same faces. Train best.toml "
                "with other seeds to confirm it: mien train best.toml --data PATH --set seed=1.",
                soft=True,
            ),
        )
        sections.append(Section("best", "Best recipe", blocks))
    history = CaptionedChart(history_plot(trials), "Accuracy of each trial on validation, and of the best one so far.")
    sections.append(Section("history", "History of the search", (Text(f"{len(trials)} trials: {counts}."), history)))
    sections.append(Section("trials", "All trials", (trials_table(trials, list(result.base)),)))
    return sections


def history_plot(trials: Sequence[TrialResult]) -> Chart:
    """Accuracy of each trial in the order of their numbers, and the best so far of complete trials."""
    seen = [trial for trial in sorted(trials, key=lambda trial: trial.number) if not math.isnan(trial.accuracy)]
    whole = [trial for trial in seen if trial.outcome == "complete"]
    short = [trial for trial in seen if trial.outcome != "complete"]

    def paint(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        axes.plot(*_points(short), "x", color=INK, alpha=0.5, markersize=4, markeredgewidth=0.9, label="not complete")
        axes.plot(*_points(whole), "o", color=COLOURS[0], markersize=4, label="complete")
        if whole:
            numbers, accuracies = _points(whole)
            best = np.maximum.accumulate(accuracies)
            axes.step([*numbers, seen[-1].number], [*best, best[-1]], where="post", color=_BEST, label="best so far")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("trial")
        axes.set_ylabel("accuracy on validation, %")
        axes.grid(axis="y")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, handlelength=1.6)

    return make_chart("sweep-history", paint, height_inches=3.0)


def _points(trials: Sequence[TrialResult]) -> tuple[list[int], list[float]]:
    return [trial.number for trial in trials], [100 * trial.accuracy for trial in trials]
