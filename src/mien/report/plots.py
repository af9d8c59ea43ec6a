"""The figures of how good and how sure a classifier is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.evaluation.calibration import CoverageCurve, Reliability
from mien.evaluation.curves import GRID, PrecisionRecallCurve, RocCurve, RocCurves
from mien.evaluation.threshold import ThresholdResult
from mien.report.svg import COLOURS, INK, Drawing, draw, legend_above, legend_inches, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DASHES = ("-", "--", ":")


def look(index: int) -> tuple[str, str]:
    """Colour and dashes of the index-th line: six colours, then the same ones dashed."""
    return COLOURS[index % len(COLOURS)], _DASHES[index // len(COLOURS) % len(_DASHES)]


def roc_plot(curves: RocCurves, classes: Sequence[str]) -> Drawing:
    """ROC curve of each class that has one, against the rest, with its band."""
    labels = [f"{short(name)} {curve.area.value:.3f}" for name, curve in zip(classes, curves.per_class, strict=True)]

    def paint(axes: Axes) -> None:
        for index, (label, curve) in enumerate(zip(labels, curves.per_class, strict=True)):
            if len(curve.false_positive_rate):
                colour, dashes = look(index)
                _paint_band(axes, curve, colour, 0.1)
                axes.plot(
                    curve.false_positive_rate,
                    curve.true_positive_rate,
                    dashes,
                    color=colour,
                    linewidth=1.3,
                    label=label,
                )
        _roc_frame(axes)

    return draw("roc-classes", paint, height_inches=3.6 + legend_inches(labels, 3))


def roc_averages_plot(curves: RocCurves) -> Drawing:
    """Macro and micro ROC curves with their bands."""

    def paint(axes: Axes) -> None:
        for name, curve, colour in (("macro", curves.macro, COLOURS[0]), ("micro", curves.micro, COLOURS[5])):
            if not len(curve.false_positive_rate):
                continue
            _paint_band(axes, curve, colour, 0.22)
            axes.plot(
                curve.false_positive_rate,
                curve.true_positive_rate,
                color=colour,
                linewidth=1.5,
                label=_with_area(name, curve),
            )
        _roc_frame(axes)

    return draw("roc-averages", paint, height_inches=4.0)


def threshold_plot(result: ThresholdResult) -> Drawing:
    """ROC curve of the positive one of two classes, with the threshold asked for and the best one of validation."""

    def paint(axes: Axes) -> None:
        curve = result.roc
        if len(curve.false_positive_rate):
            _paint_band(axes, curve, COLOURS[0], 0.22)
            axes.plot(
                curve.false_positive_rate, curve.true_positive_rate, color=COLOURS[0], linewidth=1.5,
                label=_with_area(short(result.positive), curve),
            )  # fmt: skip
        points = [("asked for", result.chosen, COLOURS[5], "o")]
        if result.best is not None:
            points.append(("best on validation", result.best, COLOURS[2], "s"))
        for name, point, colour, marker in points:
            # Rates of a class without rows are NaN, which draws nothing.
            axes.plot(
                point.false_positive_rate, point.true_positive_rate, marker, color=colour, markersize=7,
                markerfacecolor="none", markeredgewidth=1.6, label=f"{name} {point.threshold:.3f}",
            )  # fmt: skip
        _roc_frame(axes)

    return draw("roc-threshold", paint, height_inches=4.0)


def precision_recall_plot(curves: Sequence[PrecisionRecallCurve], classes: Sequence[str]) -> Drawing:
    """Precision-recall curve of each class that has rows, with its band."""
    labels = [f"{short(name)} {curve.average_precision.value:.3f}" for name, curve in zip(classes, curves, strict=True)]

    def paint(axes: Axes) -> None:
        for index, (label, curve) in enumerate(zip(labels, curves, strict=True)):
            if len(curve.recall):
                colour, dashes = look(index)
                _paint_band(axes, curve, colour, 0.1)
                axes.plot(curve.recall, curve.precision, dashes, color=colour, linewidth=1.3, label=label)
        _unit_square(axes, "recall", "precision")

    return draw("precision-recall", paint, height_inches=3.6 + legend_inches(labels, 3))


def reliability_plot(before: Reliability, after: Reliability | None) -> Drawing:
    """Accuracy against confidence, with intervals; after the temperature too, where there is one."""

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
        kinds = [("as it is", before, COLOURS[5], "o", -0.004)]
        if after is not None:
            kinds.append(("after temperature", after, COLOURS[0], "s", 0.004))
        for name, each, colour, marker, shift in kinds:
            full = each.count > 0
            at, height = each.confidence[full], each.accuracy[full]
            reach = np.clip([height - each.low[full], each.high[full] - height], 0, 1)
            axes.errorbar(
                at + shift, height, yerr=reach, color=colour, marker=marker, markersize=3.5, linewidth=1.1,
                elinewidth=0.8, label=name,
            )  # fmt: skip
        _unit_square(axes, "confidence", "accuracy", 2)

    return draw("reliability", paint, height_inches=4.2)


def coverage_plot(curve: CoverageCurve) -> Drawing:
    """Accuracy on the surest part of the rows."""

    def paint(axes: Axes) -> None:
        axes.plot(
            100 * curve.coverage, 100 * curve.accuracy, color=COLOURS[0], linewidth=1.5,
            marker="o" if len(curve.coverage) == 1 else "",
        )  # fmt: skip
        axes.set_xlim(0, 101)
        axes.set_ylim(min(50.0, math.floor(10 * curve.accuracy.min()) * 10.0), 101)
        axes.set_xlabel("share of faces answered, surest first, %")
        axes.set_ylabel("accuracy on them, %")
        axes.grid()

    return draw("coverage", paint, height_inches=3.4)


def set_size_plot(size_counts: npt.NDArray[np.int64]) -> Drawing:
    """How many classes the prediction sets hold."""

    def paint(axes: Axes) -> None:
        shares = 100 * size_counts / max(int(size_counts.sum()), 1)
        bars = axes.bar(np.arange(len(size_counts)), shares, 0.8, color=COLOURS[0])
        axes.bar_label(bars, [f"{count:,}" if count else "" for count in size_counts], padding=2, fontsize=7)
        axes.set_xticks(np.arange(len(size_counts)))
        axes.margins(y=0.12)
        axes.set_xlabel("classes in the set")
        axes.set_ylabel("share of faces, %")
        axes.grid(axis="y")

    return draw("set-sizes", paint, height_inches=2.8)


def _paint_band(axes: Axes, curve: RocCurve | PrecisionRecallCurve, colour: str, alpha: float) -> None:
    if not np.isnan(curve.low).any():
        axes.fill_between(GRID, curve.low, curve.high, color=colour, alpha=alpha, linewidth=0)


def _with_area(name: str, curve: RocCurve) -> str:
    area = curve.area
    if math.isnan(area.low):
        return f"{name} {area.value:.3f}"
    return f"{name} {area.value:.3f} ({area.low:.3f}–{area.high:.3f})"


def _roc_frame(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=":")
    _unit_square(axes, "false positive rate", "true positive rate")


def _unit_square(axes: Axes, across: str, up: str, columns: int = 3) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_aspect("equal")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    axes.grid()
    legend_above(axes, columns)
