"""Charts of ROC and precision-recall curves, calibration, coverage and robustness."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mien.base.labels import colour_of
from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.curves import Curve, RocCurves
from mien.evaluation.metrics import Floats
from mien.evaluation.results import Reliability
from mien.evaluation.robustness import RobustnessResult
from mien.page.charts.svg import COLOURS, INK, Chart, legend_above, make_chart, make_panels, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_COLUMNS = 3
"""Number of panels side by side."""

PANEL_NAME = 14
"""Longest name above a panel, in letters."""


class _Panel(NamedTuple):
    label: str
    title: str
    colour: str
    across: Sequence[float] | Floats
    up: Floats


def roc_chart(curves: RocCurves, classes: Sequence[str]) -> Chart:
    """Draw one panel for each class's ROC curve and both averages, with the other curves in grey."""
    averages = {"macro average": curves.macro, "micro average": curves.micro}
    names = ("false positive rate", "true positive rate")
    return _class_panels("roc-classes", curves.per_class, classes, averages, names)


def precision_recall_chart(curves: Sequence[Curve], classes: Sequence[str]) -> Chart:
    """Draw each class's precision-recall curve in a panel, with the other curves in grey."""
    return _class_panels("precision-recall", curves, classes, {}, ("recall", "precision"))


def _class_panels(
    name: str,
    curves: Sequence[Curve],
    classes: Sequence[str],
    averages: Mapping[str, Curve],
    axes_names: tuple[str, str],
) -> Chart:
    """Draw a panel for each curve that has points. Charts with averages also have the diagonal of chance."""
    named = [(of, colour_of(of, index), curve) for index, (of, curve) in enumerate(zip(classes, curves, strict=True))]
    panels = [
        _Panel(shorten(of), f"{shorten(of, PANEL_NAME)}\n{curve.area.value:.3f}", colour, curve.across, curve.up)
        for of, colour, curve in (*named, *((of, INK, curve) for of, curve in averages.items()))
        if len(curve.across)
    ]

    def prepare(axes: Axes) -> None:
        if averages:
            axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        _unit_square(axes, *axes_names, 0)
        axes.set(xticks=[0, 0.5, 1], yticks=[0, 0.5, 1])

    return _panels(name, panels, prepare, 1.48 if len(panels) > 2 else 2.0)


def _panels(name: str, panels: Sequence[_Panel], prepare: Callable[[Axes], None], row_inches: float) -> Chart:
    """Draw small multiples: each curve in its colour over the others in grey."""

    def panel(own: _Panel) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            prepare(axes)
            for other in panels:
                axes.plot(other.across, other.up, color=INK, alpha=0.15, linewidth=0.7)
            axes.plot(own.across, own.up, color=own.colour, linewidth=1.5, label=own.label)
            axes.set_title(own.title, fontsize="medium")

        return draw

    columns = min(PANEL_COLUMNS, len(panels))
    height = 0.5 + row_inches * -(-len(panels) // columns)
    return make_panels(name, [panel(each) for each in panels], columns=columns, height_inches=height)


def reliability_chart(curves: Mapping[str, Reliability], *, name: str = "reliability", of: str = "accuracy") -> Chart:
    """Draw the accuracy (or the fraction ``of`` something) by confidence with intervals; one or two curves by name."""
    styles = ((COLOURS[5], "o"), (COLOURS[0], "s"))

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        for index, ((label, each), (colour, marker)) in enumerate(zip(curves.items(), styles, strict=False)):
            full = each.count > 0
            # Intervals of two curves must not hide each other.
            at = each.confidence[full] + (0.008 * index - 0.004) * (len(curves) > 1)
            height = each.accuracy[full]
            reach = np.clip([height - each.low[full], each.high[full] - height], 0, 1)
            axes.errorbar(
                at, height, yerr=reach, color=colour, marker=marker, markersize=3.5, linewidth=1.1, elinewidth=0.8,
                label=label,
            )  # fmt: skip
        _unit_square(axes, "confidence", of, 2)

    return make_chart(name, draw, height_inches=4.2)


def coverage_chart(coverage: Floats, accuracy: Floats) -> Chart:
    """Draw the accuracy on the most confident samples by their fraction, float64 (P,) each."""

    def draw(axes: Axes) -> None:
        axes.plot(
            100 * coverage, 100 * accuracy, color=COLOURS[0], linewidth=1.5, label="accuracy",
            marker="o" if len(coverage) == 1 else "",
        )  # fmt: skip
        axes.set_ylim(min(50.0, math.floor(10 * accuracy.min()) * 10.0), 101)
        axes.set(xlim=(0, 101), xlabel="coverage: most confident faces first, %", ylabel="accuracy, %")
        axes.grid()

    return make_chart("coverage", draw, height_inches=3.4)


def robustness_curves_chart(result: RobustnessResult) -> Chart:
    """Draw one panel for each corruption: accuracy by strength, with the other corruptions in grey."""
    strengths = (0, *STRENGTHS)
    panels = [
        _Panel(name, name, COLOURS[0], strengths, 100 * np.append(result.clean_accuracy.value, accuracies))
        for name, accuracies in zip(result.corruptions, result.accuracy, strict=True)
    ]

    def prepare(axes: Axes) -> None:
        axes.set_xticks(strengths, [str(each) for each in strengths], fontsize="small")
        axes.set(xlabel="strength", ylabel="accuracy, %")
        axes.grid(axis="y")

    return _panels("robustness-curves", panels, prepare, 1.05)


def _unit_square(axes: Axes, across: str, up: str, columns: int) -> None:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel=across, ylabel=up)
    axes.grid()
    if columns:
        legend_above(axes, columns)
