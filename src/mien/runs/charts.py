"""Drawings of a study."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.evaluation.seed_variance import Spread
from mien.page.charts.svg import COLOURS, INK, WIDTH_INCHES, make_chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from mien.page.charts.svg import Chart


def spreads_plot(
    name: str,
    labels: Sequence[str],
    spreads: Sequence[Spread],
    published: Sequence[float | None],
    what: str,
    scale: float,
    width_inches: float = WIDTH_INCHES,
) -> Chart:
    """Each variant's mean with its interval, every run as a ring, what was published as a cross; at least one variant.

    Args:
        name: of the drawing.
        labels: one a variant.
        spreads: one a variant.
        published: what its authors found, or None.
        what: the axis' name.
        scale: 100 for what is shown in percent, otherwise 1.
        width_inches: width at natural size.
    """

    def draw(axes: Axes) -> None:
        at = np.arange(len(labels))
        middle = np.array([scale * each.mean for each in spreads])
        ends = np.array([[scale * each.interval.low, scale * each.interval.high] for each in spreads]).T
        reach = np.clip(np.nan_to_num([middle - ends[0], ends[1] - middle]), 0, None)
        axes.errorbar(
            middle, at, xerr=reach, fmt="o", color=COLOURS[0], markersize=5, elinewidth=1, label="ours, mean, 95%"
        )
        several = [
            (scale * value, height)
            for height, each in zip(at, spreads, strict=True)
            if each.runs > 1
            for value in each.values
        ]
        if several:
            across, up = zip(*several, strict=True)
            axes.plot(across, up, "o", markersize=8, fillstyle="none", color=COLOURS[0], linewidth=0, label="each run")
        theirs = [(scale * value, height) for height, value in zip(at, published, strict=True) if value is not None]
        if theirs:
            across, up = zip(*theirs, strict=True)
            axes.plot(across, up, "x", markersize=6, color=COLOURS[5], linewidth=0, label="published")
        axes.set_yticks(at, labels)
        axes.tick_params(axis="y", length=0)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.set_xlabel(what)
        axes.grid(axis="x", color=INK)
        # Over the labels too: the axes alone are too narrow beside long ones.
        axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, handletextpad=0.4, columnspacing=1.0)

    return make_chart(name, draw, height_inches=1.0 + 0.26 * len(labels), width_inches=width_inches)
