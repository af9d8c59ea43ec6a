"""Charts of ROC and precision-recall curves, calibration, coverage and robustness."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mien.base.labels import colour_of
from mien.evaluation.calibration import CoverageCurve
from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.curves import Curve, RocCurves
from mien.evaluation.results import Reliability
from mien.evaluation.robustness import RobustnessResult
from mien.page.charts.svg import COLOURS, INK, Chart, legend_above, make_chart, make_panels, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANEL_COLUMNS = 3
"""Number of panels side by side."""

PANEL_NAME = 14
"""Longest name above a panel, in letters."""

_NamedCurve: TypeAlias = tuple[str, str, Curve]
"""Name, colour and curve for a panel."""


def roc_chart(curves: RocCurves, classes: Sequence[str]) -> Chart:
    """Draw one panel for each class's ROC curve and both averages, with the other curves in grey."""
    drawn = _of_classes(curves.per_class, classes)
    drawn += [("macro average", INK, curves.macro), ("micro average", INK, curves.micro)]
    return _panels("roc-classes", drawn, "false positive rate", "true positive rate", diagonal=True)


def precision_recall_chart(curves: Sequence[Curve], classes: Sequence[str]) -> Chart:
    """Draw each class's precision-recall curve in a panel, with the other curves in grey."""
    return _panels("precision-recall", _of_classes(curves, classes), "recall", "precision")


def _of_classes(curves: Sequence[Curve], classes: Sequence[str]) -> list[_NamedCurve]:
    return [
        (name, colour_of(name, index), curve) for index, (name, curve) in enumerate(zip(classes, curves, strict=True))
    ]


def _panels(name: str, named: Sequence[_NamedCurve], across: str, up: str, *, diagonal: bool = False) -> Chart:
    """Draw small multiples: each curve in its colour over the others in grey."""
    drawn = [each for each in named if len(each[2].across)]

    def panel(own: _NamedCurve) -> Callable[[Axes], None]:
        def draw(axes: Axes) -> None:
            if diagonal:
                axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
            for _, _, other in drawn:
                axes.plot(other.across, other.up, color=INK, alpha=0.15, linewidth=0.7)
            label, colour, curve = own
            axes.plot(curve.across, curve.up, color=colour, linewidth=1.5, label=shorten(label))
            axes.set_title(f"{shorten(label, PANEL_NAME)}\n{curve.area.value:.3f}", fontsize=8)
            _unit_square(axes, across, up, 0)
            axes.set_xticks([0, 0.5, 1])
            axes.set_yticks([0, 0.5, 1])

        return draw

    columns = min(PANEL_COLUMNS, len(drawn))
    rows = -(-len(drawn) // columns)
    panels = [panel(each) for each in drawn]
    return make_panels(name, panels, columns=columns, height_inches=0.5 + (1.48 if columns > 2 else 2.0) * rows)


def reliability_chart(before: Reliability, after: Reliability | None) -> Chart:
    """Draw accuracy by confidence with intervals, before and after temperature scaling (None: only before)."""
    kinds = [("uncalibrated" if after is not None else "predictions", before, COLOURS[5], "o", -0.004)]
    if after is not None:
        kinds.append(("after temperature scaling", after, COLOURS[0], "s", 0.004))
    return _reliability("reliability", kinds, "accuracy")


def vote_reliability_chart(reliability: Reliability) -> Chart:
    """Draw how many annotators chose the predicted class, as a fraction, by its probability; with intervals."""
    kinds = [("predicted class", reliability, COLOURS[5], "o", 0.0)]
    return _reliability("vote-reliability", kinds, "fraction of annotators")


def _reliability(name: str, kinds: Sequence[tuple[str, Reliability, str, str, float]], up: str) -> Chart:
    """Draw reliability diagrams, each with label, colour, marker and horizontal shift."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        for label, each, colour, marker, shift in kinds:
            full = each.count > 0
            at, height = each.confidence[full], each.accuracy[full]
            reach = np.clip([height - each.low[full], each.high[full] - height], 0, 1)
            axes.errorbar(
                at + shift, height, yerr=reach, color=colour, marker=marker, markersize=3.5, linewidth=1.1,
                elinewidth=0.8, label=label,
            )  # fmt: skip
        _unit_square(axes, "confidence", up, 2)

    return make_chart(name, draw, height_inches=4.2)


def coverage_chart(curve: CoverageCurve) -> Chart:
    """Draw the accuracy on the most confident samples by their fraction."""

    def draw(axes: Axes) -> None:
        axes.plot(
            100 * curve.coverage, 100 * curve.accuracy, color=COLOURS[0], linewidth=1.5, label="accuracy",
            marker="o" if len(curve.coverage) == 1 else "",
        )  # fmt: skip
        axes.set_xlim(0, 101)
        axes.set_ylim(min(50.0, math.floor(10 * curve.accuracy.min()) * 10.0), 101)
        axes.set_xlabel("coverage: most confident faces first, %")
        axes.set_ylabel("accuracy, %")
        axes.grid()

    return make_chart("coverage", draw, height_inches=3.4)


def robustness_curves_chart(result: RobustnessResult) -> Chart:
    """Draw one panel for each corruption: accuracy by strength, with the other corruptions in grey."""
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


def _unit_square(axes: Axes, across: str, up: str, columns: int) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid()
    if columns:
        legend_above(axes, columns)
