"""Charts of training, the confusion matrix, curves, calibration, robustness; sheets of faces. All need matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mien.base.arrays import Floats, Ints, Pixels, Reals
from mien.base.errors import DataError, nearest
from mien.base.labels import colour_of
from mien.evaluation.curves import Curve, RocCurves
from mien.evaluation.metrics import divide
from mien.evaluation.named_metrics import METRICS
from mien.evaluation.results import Estimate, Reliability
from mien.evaluation.robustness import STRENGTHS, RobustnessResult
from mien.page.chart import COLOURS, INK, WIDTH_INCHES, Chart, ink_on, legend_above, make_chart, make_panels, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def training_chart(history: Sequence[Mapping[str, Any]], metric: str, best_epoch: int | None) -> Chart:
    """Draw a metric over the epochs, for training and validation if both are known, with the kept epoch marked.

    ``metric`` is a key of the history (one epoch or more), or the part of a key after ``train_`` and ``validation_``:
    ``"loss"``, ``"accuracy"``, ``"macro_f1"``, ``"learning_rate"``, ... Raises DataError if it is not there.
    """
    kinds = (
        ("train_", "train", COLOURS[1], "--"),
        ("validation_", "validation", COLOURS[0], "-"),
        ("", metric.replace("_", " "), COLOURS[0], "-"),
    )
    curves = [
        (kind, history, f"{prefix}{metric}", colour, style)
        for prefix, kind, colour, style in kinds
        if f"{prefix}{metric}" in history[0]
    ]
    return _curves_chart(f"{metric.replace('_', '-')}-curve", curves, metric, [history], best_epoch)


def runs_chart(histories: Mapping[str, Sequence[Mapping[str, Any]]], metric: str = "validation_accuracy") -> Chart:
    """Draw one metric of several runs, by name, over their epochs. Raises DataError if no history has this metric.

    Runs whose names have the same text before " / " share a colour, and the first one's entry in the legend.
    """
    curves, families = [], dict[str, int]()
    for name, history in histories.items():
        if history and metric in history[0]:
            family = name.split(" / ")[0]
            label = f"_{name}" if family in families else shorten(family)
            at = families.setdefault(family, len(families))
            style = ("-", "--", ":")[at // len(COLOURS) % 3]
            curves.append((label, history, metric, COLOURS[at % len(COLOURS)], style))
    return _curves_chart(f"runs-{metric.replace('_', '-')}", curves, metric, histories.values(), height_inches=3.2)


def _curves_chart(
    name: str,
    curves: Sequence[tuple[str, Sequence[Mapping[str, Any]], str, str, str]],
    metric: str,
    histories: Iterable[Sequence[Mapping[str, Any]]],
    best_epoch: int | None = None,
    height_inches: float = 2.6,
) -> Chart:
    """Draw curves: label, history, key, colour and style of each. Raises DataError if there is none."""
    if not curves:
        keys = {key for history in histories if history for key in history[0]} - {"epoch"}
        keys |= {key.removeprefix("train_").removeprefix("validation_") for key in keys}
        words = f"The history has no '{metric}'.{nearest(metric, keys) if keys else ' No run has a history.'}"
        raise DataError(words, code="metric-unknown")
    known = METRICS.get(metric.removeprefix("train_").removeprefix("validation_"))
    percent = 100 if known is not None and known.percent else 1
    longest = max(len(history) for _, history, *_ in curves)

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for label, history, key, colour, style in curves:
            epochs = [int(line["epoch"]) for line in history]
            values = [math.nan if line.get(key) is None else percent * float(line[key]) for line in history]
            # A line of one point is invisible without a marker.
            marker = "o" if len(epochs) == 1 else ""
            axes.plot(epochs, values, style, color=colour, label=label, linewidth=1.6, marker=marker, markersize=4)
        if best_epoch is not None:
            axes.axvline(best_epoch, color=INK, linewidth=0.9, linestyle=":", label=f"epoch kept ({best_epoch})")
        if longest == 1:
            axes.set_xlim(0, 2)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        words = metric.replace("macro_f1", "macro-F1").replace("_", " ")
        axes.set(xlabel="epoch", ylabel=f"{words}, %" if percent == 100 else words)
        axes.grid(axis="y")
        legend_above(axes, 3)

    return make_chart(name, draw, height_inches=height_inches)


def rate_chart(rates: Floats, losses: Floats, suggestion: float) -> Chart:
    """Draw the loss by learning rate of a range test, float64 (N,) each, with the suggested rate marked."""

    def draw(axes: Axes) -> None:
        axes.plot(rates, losses, color=COLOURS[0], linewidth=1.6, label="training loss")
        axes.axvline(suggestion, color=INK, linewidth=0.9, linestyle=":", label=f"suggested ({suggestion:.2g})")
        axes.set_xscale("log")
        # matplotlib writes powers as mathematics, but these charts show text as it is.
        raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
        axes.xaxis.set_major_formatter(lambda rate, _: "10" + f"{math.log10(rate):.0f}".translate(raised))
        axes.minorticks_off()
        axes.set(xlabel="learning rate", ylabel="loss")
        axes.grid(axis="y")
        legend_above(axes, 2)

    return make_chart("learning-rate", draw, height_inches=2.6)


def confusion_chart(
    confusion: Ints, classes: Sequence[str], links: Mapping[tuple[int, int], str] | None = None, name: str = "confusion"
) -> Chart:
    """Draw the confusion matrix, int64 (C, C), rows are true classes. Colour and percentage refer to the true class.

    Colours go from white to blue, so that 2% and 12% look different, even in print. The smaller number is the count.
    ``links`` gives, for some cells (row, column), the key of the page element ``NAME-KEY`` that a click leads to.
    """
    count = len(classes)
    # If a class has no samples, its row is NaN and has no colour.
    fractions = divide(confusion, confusion.sum(axis=1, keepdims=True))
    names = [shorten(name) for name in classes]
    # Width of the names beside the cells: 0.065 inches per letter.
    beside_inches = max(1.0, 0.4 + 0.065 * max(map(len, names)))
    # Cells are small enough for a phone, but large enough for their numbers.
    cell_inches = max(0.46, (WIDTH_INCHES - beside_inches) / max(count, 4))

    def draw(axes: Axes) -> None:
        from matplotlib import colormaps, rcParams
        from matplotlib.patches import Rectangle

        letters = rcParams["font.size"] / 9 * float(np.clip(cell_inches * 17, 7, 11))

        colours = colormaps["Blues"]
        axes.pcolormesh(fractions, cmap=colours, vmin=0, vmax=1, edgecolors="face", linewidth=0.3)
        for row, column in np.ndindex(count, count):
            fraction, here = float(fractions[row, column]), (column + 0.5, row + 0.5)
            if math.isnan(fraction):
                axes.text(*here, "–", ha="center", va="center", fontsize=letters)
                continue
            style: dict[str, Any] = {"ha": "center", "color": ink_on(colours(fraction))}
            if not confusion[row, column]:
                axes.text(*here, "0", va="center", fontsize=letters, **style)
                continue
            axes.text(*here, f"{100 * fraction:.0f}%", va="bottom", fontsize=letters, **style)
            axes.text(*here, f"{confusion[row, column]:,}", va="top", fontsize=0.8 * letters, **style)
        for (row, column), key in (links or {}).items():
            # Place the link above the cell and its numbers, so that the whole cell is clickable.
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor="#ffffff00", zorder=9, url=f"#{name}-{key}"))
        axes.invert_yaxis()
        ticks = np.arange(count) + 0.5
        axes.set_xticks(ticks, names, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(ticks, names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted class", ylabel="true class")

    width, height = cell_inches * count + beside_inches, 0.85 * (cell_inches * count + 1.0) + 0.2
    return make_chart(name, draw, height_inches=height + 0.64 * (beside_inches - 1.0), width_inches=width)


def class_chart(class_counts: Mapping[str, Sequence[int]], classes: Sequence[str]) -> Chart:
    """Draw the class balance of each split (C counts) as bars, with the number of faces at the ends."""
    splits = len(class_counts)
    thickness = 0.8 / splits
    positions = np.arange(len(classes))

    def draw(axes: Axes) -> None:
        for index, (split, counts) in enumerate(class_counts.items()):
            percentages = 100 * np.asarray(counts) / max(sum(counts), 1)
            at = positions + (index - (splits - 1) / 2) * thickness
            bars = axes.barh(at, percentages, 0.9 * thickness, color=COLOURS[index % len(COLOURS)], label=split)
            axes.bar_label(bars, [f"{number:,}" for number in counts], padding=2, fontsize="small")
        axes.set_yticks(positions, [shorten(name) for name in classes])
        axes.tick_params(axis="y", length=0)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        axes.set_xlabel("of the split, %")
        axes.grid(axis="x")
        legend_above(axes, 3, handlelength=1.0)

    return make_chart("class-bars", draw, height_inches=0.9 + len(classes) * (0.12 + 0.16 * splits))


FACE_INCHES = 0.85
"""Size of a face with its gap. Faces of FER2013, 48 px, are enlarged by half."""

_GAP = 0.08
"""Gap between faces as a fraction of that size."""


def face_sheet(images: Sequence[Pixels], captions: Sequence[str], *, columns: int, name: str = "faces") -> Chart:
    """Draw faces, uint8 (H, W) or (H, W, 3), in rows at the same size, each with a line of text above."""
    rows = -(-len(images) // columns)
    # The unit of the axes is the size of one face.
    row_height = 1.2

    def draw(axes: Axes) -> None:
        for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
            left, bottom = index % columns, -(index // columns + 1) * row_height
            right, top = left + 1 - _GAP, bottom + 1 - _GAP
            pixels = np.stack([image] * 3, axis=-1) if image.ndim == 2 else image
            # "none" stores the original pixels in the file; the viewer enlarges them.
            axes.imshow(pixels, extent=(left, right, bottom, top), interpolation="none")
            axes.text(left, top + 0.02, caption, va="bottom", fontsize="small")
        axes.set(xlim=(0, columns - _GAP), ylim=(-rows * row_height, 0), aspect="equal")
        axes.set_axis_off()

    return make_chart(name, draw, height_inches=FACE_INCHES * rows * row_height, width_inches=FACE_INCHES * columns)


def embedding_chart(points: Reals, groups: Mapping[str, tuple[str, Any]], axes_name: str) -> Chart:
    """Draw points, float (N, 2), as a scatter plot; ``groups`` has the colour and the indices of each group by name."""

    def draw(axes: Axes) -> None:
        for name, (colour, members) in groups.items():
            across, up = points[members].T
            axes.scatter(across, up, s=7, color=colour, alpha=0.7, linewidth=0, label=shorten(name))
        axes.set(xticks=[], yticks=[], xlabel=f"{axes_name} 1", ylabel=f"{axes_name} 2")
        legend_above(axes, 4, markerscale=2, handletextpad=0.1)

    return make_chart("embeddings", draw, height_inches=4.2)


def differences_chart(name: str, named: Sequence[tuple[str, Estimate]]) -> Chart:
    """Draw differences in percentage points as bars with their intervals; at least one."""
    labels, estimates = [shorten(each) for each, _ in named], [each for _, each in named]

    def draw(axes: Axes) -> None:
        at, values = np.arange(len(labels)), [100 * each.value for each in estimates]
        # A difference without an interval has no ends.
        sides = [[each.value - each.low for each in estimates], [each.high - each.value for each in estimates]]
        reach = 100 * np.clip(np.nan_to_num(sides), 0, None)
        axes.barh(at, values, 0.72, color=COLOURS[0], xerr=reach, error_kw={"elinewidth": 0.9, "ecolor": INK})
        axes.set_yticks(at, labels)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.1)
        axes.invert_yaxis()
        axes.set_xlabel("difference, points")
        axes.grid(axis="x")

    return make_chart(name, draw, height_inches=0.7 + 0.24 * len(labels))


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
