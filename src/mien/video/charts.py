"""The figures of a video: who is seen when, and what is read in each face over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.colours import colour_of
from mien.errors import needs_extra
from mien.page.charts.svg import Chart, legend_above, legend_inches, make_chart, shorten
from mien.video.timeline import Timeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEGEND_COLUMNS = 4
_FAINT = 0.3


def tracks_plot(timeline: Timeline, numbers: Sequence[int]) -> Chart:
    """A line for each of some tracks: when its face is seen, in the colour of what is read; faint where in doubt."""

    def draw(axes: Axes) -> None:
        for row, number in enumerate(numbers):
            for edges, means, in_doubt in timeline.runs(number):
                tops = means.argmax(axis=1)
                # Neighbouring steps of one class are one bar: a page of thousands is slow.
                first = np.concatenate([[0], np.flatnonzero(np.diff(2 * tops + in_doubt)) + 1])
                starts, ends = edges[first], edges[np.append(first[1:], len(tops))]
                colours = [
                    (colour_of(timeline.classes[top], top), _FAINT if doubt else 1.0)
                    for top, doubt in zip(tops[first], in_doubt[first], strict=True)
                ]
                axes.barh(np.full(len(first), row), ends - starts, 0.7, left=starts, color=colours, linewidth=0)
        axes.set_yticks(range(len(numbers)), [f"face {number}" for number in numbers])
        axes.set_ylim(len(numbers) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        _finish(axes, timeline)

    return make_chart("tracks", draw, height_inches=0.85 + 0.22 * len(numbers) + _legend_inches(timeline))


def expressions_plot(timeline: Timeline, number: int) -> Chart:
    """The probability of each class over time in one face, stacked to 100%; empty where it is not seen."""

    def draw(axes: Axes) -> None:
        for edges, shares, _ in timeline.runs(number):
            # From the first step's beginning to the last one's end, so that a single step has a width too.
            at = np.concatenate([edges[:1], (edges[:-1] + edges[1:]) / 2, edges[-1:]])
            tops = np.cumsum(100 * np.concatenate([shares[:1], shares, shares[-1:]]), axis=1)
            below = np.zeros(len(at))
            for index, name in enumerate(timeline.classes):
                axes.fill_between(at, below, tops[:, index], color=colour_of(name, index), linewidth=0)
                below = tops[:, index]
        axes.set_ylim(0, 100)
        axes.set_ylabel("probability, %")
        _finish(axes, timeline)

    return make_chart(f"face-{number}", draw, height_inches=1.9 + _legend_inches(timeline))


def _finish(axes: Axes, timeline: Timeline) -> None:
    """Give time its axis, as long as the video, and each class its colour."""
    with needs_extra("report", "The timeline"):
        from matplotlib.ticker import FuncFormatter, MaxNLocator

    end = max(timeline.end_seconds, 0.01)
    axes.set_xlim(0, end)
    if end >= 60:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 1.2, 1.5, 2, 3, 6, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: _minutes(seconds)))
        axes.set_xlabel("time")
    else:
        axes.set_xlabel("seconds")
    for index, name in enumerate(timeline.classes):
        axes.plot([], [], "s", color=colour_of(name, index), label=shorten(name))
    legend_above(axes, _LEGEND_COLUMNS, handlelength=1.0, handletextpad=0.4)


def _legend_inches(timeline: Timeline) -> float:
    return legend_inches([shorten(name) for name in timeline.classes], _LEGEND_COLUMNS)


def clock(seconds: float) -> str:
    """A time as it is said beside a video: in seconds below a minute, otherwise as players show it.

    >>> clock(7.25), clock(65), clock(3725)
    ('7.2 s', '1:05', '1:02:05')
    """
    return f"{seconds:.1f} s" if seconds < 60 else _minutes(seconds)


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
