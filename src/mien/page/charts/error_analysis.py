"""Charts of confused pairs, differences, and robustness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.error_analysis import ConfusedPair
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessResult
from mien.page.charts.curves import PANEL_COLUMNS
from mien.page.charts.svg import COLOURS, INK, Chart, make_chart, make_panels, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pairs_chart(pairs: Sequence[ConfusedPair], classes: Sequence[str]) -> Chart:
    """Draw the percentage of each true class predicted as another class; at least one pair."""
    short = [shorten(name, 14) for name in classes]
    names = [f"{short[pair.first]} as {short[pair.second]}" for pair in pairs]
    notes = [f"{pair.count:,}" for pair in pairs]
    return _bars("confused-pairs", names, [pair.rate for pair in pairs], notes, "of the true class, %", COLOURS[5])


def differences_chart(name: str, named: Sequence[tuple[str, Estimate]]) -> Chart:
    """Draw differences in percentage points with their intervals; at least one."""
    labels, estimates = [shorten(each) for each, _ in named], [each for _, each in named]
    return _bars(name, labels, estimates, None, "difference, points", COLOURS[0])


def robustness_curves_chart(result: RobustnessResult) -> Chart:
    """Draw accuracy by strength in a panel for each corruption, with the others in grey."""
    heights = [100 * np.append(result.clean_accuracy.value, each) for each in result.accuracy]
    strengths = [0, *STRENGTHS]

    def panel(index: int) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            for each in heights:
                axes.plot(strengths, each, color=INK, alpha=0.15, linewidth=0.7)
            axes.plot(strengths, heights[index], color=COLOURS[0], linewidth=1.5, label=result.corruptions[index])
            axes.set_title(result.corruptions[index], fontsize=8)
            axes.set_xticks(strengths, ["0", *map(str, STRENGTHS)], fontsize=7)
            axes.set_xlabel("strength")
            axes.set_ylabel("accuracy, %")
            axes.grid(axis="y")

        return draw

    rows = -(-len(heights) // PANEL_COLUMNS)
    panels = [panel(index) for index in range(len(heights))]
    return make_panels("robustness-curves", panels, columns=PANEL_COLUMNS, height_inches=0.5 + 1.05 * rows)


def _bars(
    name: str,
    labels: Sequence[str],
    estimates: Sequence[Estimate],
    notes: Sequence[str] | None,
    label: str,
    colour: str,
) -> Chart:
    """Draw bars from 0 to each estimate in percent, with its interval and a note."""

    def draw(axes: Axes) -> None:
        at = np.arange(len(labels))
        values = [100 * each.value for each in estimates]
        axes.barh(at, values, 0.72, color=colour, xerr=_reach(estimates), error_kw={"elinewidth": 0.9, "ecolor": INK})
        if notes is not None:
            ends = [100 * np.nanmax([each.high, each.value]) for each in estimates]
            for height, end, note in zip(at, ends, notes, strict=True):
                axes.annotate(note, (end, height), (4, 0), textcoords="offset points", va="center", fontsize=7)
        axes.set_yticks(at, labels)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.1)
        axes.invert_yaxis()
        axes.set_xlabel(label)
        axes.grid(axis="x")

    return make_chart(name, draw, height_inches=0.7 + 0.24 * len(labels))


def _reach(estimates: Sequence[Estimate]) -> npt.NDArray[np.float64]:
    """Return the lengths of intervals below and above the values, in percent; 0 without an interval."""
    below = [each.value - each.low for each in estimates]
    above = [each.high - each.value for each in estimates]
    return np.asarray(100 * np.clip(np.nan_to_num([below, above]), 0, None), dtype=np.float64)
