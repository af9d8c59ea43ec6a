"""Charts of differences and of robustness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import RobustnessResult
from mien.page.charts.curves import PANEL_COLUMNS
from mien.page.charts.svg import COLOURS, INK, Chart, make_chart, make_panels, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def differences_chart(name: str, named: Sequence[tuple[str, Estimate]]) -> Chart:
    """Draw differences in percentage points as bars with their intervals; at least one."""
    labels, estimates = [shorten(each) for each, _ in named], [each for _, each in named]

    def draw(axes: Axes) -> None:
        at, values = np.arange(len(labels)), [100 * each.value for each in estimates]
        error = {"elinewidth": 0.9, "ecolor": INK}
        axes.barh(at, values, 0.72, color=COLOURS[0], xerr=_reach(estimates), error_kw=error)
        axes.set_yticks(at, labels)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.1)
        axes.invert_yaxis()
        axes.set_xlabel("difference, points")
        axes.grid(axis="x")

    return make_chart(name, draw, height_inches=0.7 + 0.24 * len(labels))


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


def _reach(estimates: Sequence[Estimate]) -> npt.NDArray[np.float64]:
    """Return the lengths of intervals below and above the values, in percent; 0 without an interval."""
    below = [each.value - each.low for each in estimates]
    above = [each.high - each.value for each in estimates]
    return np.asarray(100 * np.clip(np.nan_to_num([below, above]), 0, None), dtype=np.float64)
