"""The charts of a sweep."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.page.charts.svg import COLOURS, INK, Chart, make_chart
from mien.runs.trials import Axis, TrialResult, best_trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BEST = COLOURS[5]


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


def importance_plot(importance: Mapping[str, float]) -> Chart:
    """Share of the variance that each key explains, largest on top; at least one key."""

    def paint(axes: Axes) -> None:
        ranked = sorted(importance.items(), key=lambda each: each[1])
        percentages = [100 * value for _, value in ranked]
        bars = axes.barh(range(len(ranked)), percentages, 0.7, color=COLOURS[0])
        axes.bar_label(bars, [f"{value:.0f}" for value in percentages], padding=2, fontsize=8)
        axes.set_yticks(range(len(ranked)), [key for key, _ in ranked])
        axes.tick_params(axis="y", length=0)
        axes.set_xlim(0, 110)
        axes.set_xlabel("fraction of the variance of accuracy, %")
        axes.grid(axis="x")

    return make_chart("sweep-importance", paint, height_inches=0.7 + 0.26 * len(importance))


def parallel_plot(trials: Sequence[TrialResult], ranges: Sequence[Axis]) -> Chart:
    """Parallel coordinates, one key below the other so that any number of them fits a phone; accuracy at the bottom."""
    best = best_trial(trials)
    whole = sorted((trial for trial in trials if trial.outcome == "complete"), key=lambda trial: trial.accuracy)
    accuracies = [trial.accuracy for trial in trials if not math.isnan(trial.accuracy)] or [0.0]
    low, high = min(accuracies), max(accuracies)
    rows = [*ranges, Axis("accuracy, %", 100 * low, 100 * max(high, low + 1e-3))]

    def paint(axes: Axes) -> None:
        at = range(len(rows))
        for trial in trials:
            if trial.outcome != "complete":
                axes.plot(_places(trial, rows), at, color=INK, alpha=0.2, linewidth=0.7)
        for rank, trial in enumerate(whole):
            strength = 0.25 + 0.6 * rank / max(len(whole) - 1, 1)
            axes.plot(_places(trial, rows), at, color=COLOURS[0], alpha=strength, linewidth=1.0)
        if best is not None:
            axes.plot(_places(best, rows), at, color=_BEST, linewidth=2.0)
        for row, each in enumerate(rows):
            axes.plot([0, 1], [row, row], color=INK, linewidth=0.8)
            places = [each.place(value) for value in each.choices or (each.low, each.high)]
            axes.plot(places, [row] * len(places), "|", color=INK, markersize=6, markeredgewidth=0.8)
        # Beside the lines, which would cross out anything among them.
        axes.set_yticks(at, [f"{each.key}\n{_ends(each)}" for each in rows], fontsize=8)
        axes.tick_params(axis="y", length=0)
        axes.set_xticks([])
        axes.spines[:].set_visible(False)
        axes.set_xlim(-0.03, 1.03)
        axes.set_ylim(len(rows) - 0.8, -0.2)

    return make_chart("sweep-parallel", paint, height_inches=0.1 + 0.58 * len(rows))


def _points(trials: Sequence[TrialResult]) -> tuple[list[int], list[float]]:
    return [trial.number for trial in trials], [100 * trial.accuracy for trial in trials]


def _places(trial: TrialResult, rows: Sequence[Axis]) -> list[float]:
    """Where the trial crosses each row; NaN, a gap, where it has no value."""
    values = {**trial.values, rows[-1].key: 100 * trial.accuracy}
    return [each.place(values[each.key]) if each.key in values else math.nan for each in rows]


def _ends(axis: Axis) -> str:
    """What stands at the left and at the right, or every choice from left to right."""
    if axis.choices:
        # No line ends inside a choice.
        words = (str(choice).replace(" ", "\N{NO-BREAK SPACE}") for choice in axis.choices)
        return textwrap.fill(", ".join(words), 24, max_lines=3, placeholder=" ...")
    return f"{axis.low:.3g} to {axis.high:.3g}{', log' if axis.is_log else ''}"
