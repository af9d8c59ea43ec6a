"""The figures of where a classifier fails."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.evaluation.corruptions import STRENGTHS
from mien.evaluation.dependence import AccuracyBy
from mien.evaluation.failures import ConfusedPair
from mien.evaluation.merging import Dendrogram, MergedPair
from mien.evaluation.results import Estimate
from mien.evaluation.robustness import CorruptionErrors, RobustnessResult
from mien.report.svg import COLOURS, INK, Drawing, draw, legend_above, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pairs_plot(pairs: Sequence[ConfusedPair], classes: Sequence[str]) -> Drawing:
    """Share of each true class that was taken for another, for the most confused ordered pairs; at least one."""
    names = [f"{_half(classes[pair.first])} taken for {_half(classes[pair.second])}" for pair in pairs]
    notes = [f"{pair.count:,}" for pair in pairs]
    return _bars(
        "confused-pairs", names, [pair.share for pair in pairs], notes, "share of the true class, %", COLOURS[5]
    )


def merging_plot(pairs: Sequence[MergedPair], classes: Sequence[str]) -> Drawing:
    """Gain of accuracy from merging each pair, with its interval; at least one pair."""
    names = [f"{_half(classes[pair.first])} + {_half(classes[pair.second])}" for pair in pairs]
    return _bars("merging", names, [pair.gain for pair in pairs], None, "gain of accuracy, points", COLOURS[0])


def differences_plot(name: str, named: Sequence[tuple[str, Estimate]]) -> Drawing:
    """Differences of shares with their intervals; at least one."""
    labels, estimates = [short(each) for each, _ in named], [each for _, each in named]
    return _bars(name, labels, estimates, None, "difference, points", COLOURS[0])


def dendrogram_plot(dendrogram: Dendrogram, classes: Sequence[str]) -> Drawing:
    """Which classes join first: the further left, the more they are confused."""
    count = len(classes)

    def paint(axes: Axes) -> None:
        place = {int(leaf): (0.0, float(at)) for at, leaf in enumerate(dendrogram.order)}
        heights = dendrogram.merges[:, 2]
        least = float(heights.min())
        # The classes stand a little before the first merge, not at distance 0, which all merges are far from.
        begin = least - 0.15 * max(float(heights.max()) - least, 0.02)
        place = {leaf: (begin, at) for leaf, (_, at) in place.items()}
        for index, (first, second, height, _) in enumerate(dendrogram.merges):
            (x1, y1), (x2, y2) = place[int(first)], place[int(second)]
            axes.plot([x1, height, height, x2], [y1, y1, y2, y2], color=COLOURS[0], linewidth=1.6)
            place[count + index] = (float(height), (y1 + y2) / 2)
        axes.set_yticks(range(count), [short(classes[int(leaf)]) for leaf in dendrogram.order])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.invert_yaxis()
        axes.set_xlabel("distance: 1 - share taken for each other")
        axes.grid(axis="x")

    return draw("dendrogram", paint, height_inches=0.9 + 0.27 * count)


def accuracy_by_plot(name: str, by: AccuracyBy, what: str) -> Drawing:
    """Accuracy over the bins of a number, with intervals; at least one bin."""

    def paint(axes: Axes) -> None:
        at = [each.mean for each in by.bins]
        estimates = [each.accuracy for each in by.bins]
        axes.errorbar(
            at, [100 * each.value for each in estimates], yerr=_reach(estimates), color=COLOURS[0], marker="o",
            markersize=4, linewidth=1.3, elinewidth=0.9,
        )  # fmt: skip
        axes.set_xlabel(what)
        axes.set_ylabel("accuracy, %")
        axes.grid(axis="y")

    return draw(f"accuracy-by-{name}", paint, height_inches=2.5)


def robustness_plot(result: RobustnessResult) -> Drawing:
    """Accuracy under each corruption as it grows stronger: small panels in one pair of axes would not be read."""
    order = np.argsort(-result.accuracy.mean(axis=1), kind="stable")

    def paint(axes: Axes) -> None:
        from matplotlib import colormaps

        from mien.report.svg import readable_on

        shares = np.column_stack([np.full(len(order), result.clean_accuracy.value), result.accuracy[order]])
        colours = colormaps["cividis"]
        top = float(shares.max()) or 1.0
        axes.pcolormesh(shares, cmap=colours, vmin=0, vmax=top, edgecolors="face", linewidth=0.3)
        for row, column in np.ndindex(shares.shape):
            share = float(shares[row, column])
            axes.text(
                column + 0.5, row + 0.5, f"{100 * share:.0f}", ha="center", va="center", fontsize=8,
                color=readable_on(colours(share / top)),
            )  # fmt: skip
        axes.set_xticks(np.arange(len(STRENGTHS) + 1) + 0.5, ["clean", *map(str, STRENGTHS)])
        axes.set_yticks(np.arange(len(order)) + 0.5, [result.corruptions[index] for index in order])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.invert_yaxis()
        axes.set_xlabel("strength")

    return draw("robustness", paint, height_inches=0.8 + 0.27 * len(order))


def robustness_curves_plot(result: RobustnessResult) -> Drawing:
    """The same as lines."""
    from mien.report.plots import look

    def paint(axes: Axes) -> None:
        for index, name in enumerate(result.corruptions):
            colour, dashes = look(index)
            heights = 100 * np.append(result.clean_accuracy.value, result.accuracy[index])
            axes.plot([0, *STRENGTHS], heights, dashes, color=colour, linewidth=1.3, label=name)
        axes.set_xticks([0, *STRENGTHS], ["clean", *map(str, STRENGTHS)])
        axes.set_xlabel("strength")
        axes.set_ylabel("accuracy, %")
        axes.grid(axis="y")
        legend_above(axes, 3, handlelength=1.8, columnspacing=1.0)

    return draw("robustness-curves", paint, height_inches=3.6)


def corruption_errors_plot(errors: CorruptionErrors) -> Drawing:
    """Errors under each corruption in % of the baseline's, the smallest first."""
    ordered = sorted(errors.of.items(), key=lambda each: each[1])
    estimates = [Estimate(ratio, math.nan, math.nan) for _, ratio in ordered]
    names = [f"{name}  {100 * ratio:.0f}" for name, ratio in ordered]
    return _bars("corruption-errors", names, estimates, None, "errors, % of the baseline's", COLOURS[5], line=100.0)


def _half(name: str) -> str:
    """One of two names that share a line."""
    return short(name, 14)


def _bars(
    name: str,
    labels: Sequence[str],
    estimates: Sequence[Estimate],
    notes: Sequence[str] | None,
    what: str,
    colour: str,
    line: float | None = None,
) -> Drawing:
    """Bars from 0 to each estimate in percent with its interval, a note at its end, and a dotted line to be read by."""

    def paint(axes: Axes) -> None:
        at = np.arange(len(labels))
        values = [100 * each.value for each in estimates]
        axes.barh(at, values, 0.72, color=colour, xerr=_reach(estimates), error_kw={"elinewidth": 0.9, "ecolor": INK})
        if notes is not None:
            ends = [100 * np.nanmax([each.high, each.value]) for each in estimates]
            for height, end, note in zip(at, ends, notes, strict=True):
                axes.annotate(note, (end, height), (4, 0), textcoords="offset points", va="center", fontsize=7)
        if line is not None:
            axes.axvline(line, color=INK, linewidth=0.9, linestyle=":")
        axes.set_yticks(at, labels)
        axes.tick_params(axis="y", length=0)
        axes.margins(x=0.1)
        axes.invert_yaxis()
        axes.set_xlabel(what)
        axes.grid(axis="x")

    return draw(name, paint, height_inches=0.7 + 0.24 * len(labels))


def _reach(estimates: Sequence[Estimate]) -> npt.NDArray[np.float64]:
    """How far intervals reach below and above their values, in percent; 0 where there is none."""
    below = [each.value - each.low for each in estimates]
    above = [each.high - each.value for each in estimates]
    return np.asarray(100 * np.clip(np.nan_to_num([below, above]), 0, None), dtype=np.float64)
