"""The page of a video, ``timeline.html``: which faces are visible when, and their predicted expressions over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.base.errors import Notice
from mien.base.labels import colour_of
from mien.inference.drawing import share_text
from mien.page.blocks import Block, CaptionedChart, Column, FaceRow, FaceTile, Player, Section, Table, Text
from mien.page.charts.svg import Chart, legend_above, legend_inches, make_chart, shorten
from mien.page.page import Page
from mien.page.rendering import data_address
from mien.page.wording import duration_text
from mien.video.timeline import Timeline, TrackSummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TABLE = "faces.csv"
"""File of all frames and tracks, beside the page."""
_LEGEND_COLUMNS = 5
_WIDTH_INCHES = 7.9
"""Width of charts over time: they fill the page, and phones scroll them."""

_FAINT = 0.3


def tracks_plot(timeline: Timeline, numbers: Sequence[int]) -> Chart:
    """Plot a line for each track while its face is visible, in the colour of the prediction; faint if in doubt."""

    def draw(axes: Axes) -> None:
        for row, number in enumerate(numbers):
            for edges, means, in_doubt in timeline.runs(number):
                tops = means.argmax(axis=1)
                # Join neighbouring steps of one class into one bar, because thousands of bars are slow.
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
        legend_above(axes, _LEGEND_COLUMNS, handlelength=1.0, handletextpad=0.4)

    legend = legend_inches([shorten(name) for name in timeline.classes], _LEGEND_COLUMNS)
    return make_chart("tracks", draw, height_inches=0.85 + 0.22 * len(numbers) + legend, width_inches=_WIDTH_INCHES)


def expressions_plot(timeline: Timeline, number: int) -> Chart:
    """Plot the stacked probabilities of one face's classes over time, with the colours of :func:`tracks_plot`.

    The chart is empty while the face is not visible.
    """

    def draw(axes: Axes) -> None:
        for edges, shares, _ in timeline.runs(number):
            # Draw from the start of the first step to the end of the last, so that a single step is visible too.
            at = np.concatenate([edges[:1], (edges[:-1] + edges[1:]) / 2, edges[-1:]])
            tops = np.cumsum(100 * np.concatenate([shares[:1], shares, shares[-1:]]), axis=1)
            below = np.zeros(len(at))
            for index, name in enumerate(timeline.classes):
                axes.fill_between(at, below, tops[:, index], color=colour_of(name, index), linewidth=0)
                below = tops[:, index]
        axes.set(ylim=(0, 100), ylabel="probability, %")
        _finish(axes, timeline)

    return make_chart(f"face-{number}", draw, height_inches=1.6, width_inches=_WIDTH_INCHES)


def _finish(axes: Axes, timeline: Timeline) -> None:
    """Add the time axis, as long as the video, and the legend of the classes."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    end = max(timeline.end_seconds, 0.01)
    axes.set_xlim(0, end)
    if end >= 60:
        axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 1.2, 1.5, 2, 3, 6, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: duration_text(seconds)))
        axes.set_xlabel("time")
    else:
        axes.set_xlabel("seconds")
    for index, name in enumerate(timeline.classes):
        axes.plot([], [], "s", color=colour_of(name, index), label=shorten(name))


def clock(seconds: float) -> str:
    """Format a time: in seconds below a minute, otherwise as video players do.

    >>> clock(7.25), clock(65), clock(3725)
    ('7.2 s', '1:05', '1:02:05')
    """
    return f"{seconds:.1f} s" if round(seconds, 1) < 60 else duration_text(seconds)


MOST_SHOWN = 20
"""At most so many faces get a section of their own: for a crowd, drawing the page would take minutes."""


def timeline_html(
    timeline: Timeline, *, title: str, lead: str, notes: Sequence[Notice], metadata: Mapping[str, str], player: str = ""
) -> str:
    """Return the page of a whole video as HTML. The page contains everything except the annotated video.

    ``lead`` is the introduction, ``player`` the annotated video
    beside the page, or ``""``. Raises MissingExtraError without matplotlib or jinja2.
    """
    shown = longest_tracks(timeline)
    sections = [_overview(timeline, shown, player), *(_face_section(timeline, track) for track in shown)]
    return Page(
        title, lead, sections, metadata=metadata, notices=notes, subject="video", classes=timeline.classes
    ).html()


def longest_tracks(timeline: Timeline) -> list[TrackSummary]:
    """Return the :data:`MOST_SHOWN` tracks with most frames, sorted by number."""
    longest = sorted(timeline.tracks.values(), key=lambda track: (-len(track.frames), track.number))[:MOST_SHOWN]
    return sorted(longest, key=lambda track: track.number)


def tracks_table(tracks: Sequence[TrackSummary]) -> Table:
    """Return a table with a row per track: when its face is visible, and the fraction of frames with each answer."""
    columns = (
        Column("face", "count"), Column("from", "text"), Column("to", "text"), Column("frames", "count"),
        Column("in doubt", "percent"), Column("expressions", "text"),
    )  # fmt: skip
    rows = [
        (
            track.number,
            clock(track.first_seconds),
            clock(track.last_seconds),
            len(track.frames),
            sum(track.doubts) / len(track.frames),
            # Without answers below 0.5%.
            ", ".join(
                f"{name} {share_text(count / len(track.frames))}"
                for name, count in track.frames_by_answer.most_common()
                if count >= 0.005 * len(track.frames)
            ),
        )
        for track in tracks
    ]
    return Table("faces", columns, rows)


def _overview(timeline: Timeline, shown: Sequence[TrackSummary], player: str) -> Section:
    blocks: list[Block]
    if not shown:
        blocks = [Text(Notice("No face was found in this video.", code="no-face"))]
    else:
        caption = (
            "Each line is a face. Its colour is the likeliest expression, faint if most answers are in doubt. It is "
            "empty while the face is not visible. All charts of this page have these colours."
        )
        if player:
            caption += " A click on a chart, or on a time of the table, jumps to it in the video."
        blocks = [
            *([Player(player)] if player else []),
            CaptionedChart(tracks_plot(timeline, [track.number for track in shown]), caption, scrolls=True),
            tracks_table(shown),
        ]
    fewer = len(timeline.tracks) - len(shown)
    if fewer:
        blocks.append(Text(f"The {len(shown)} faces seen longest; {TABLE} has all {len(timeline.tracks):,}."))
    words = "A face keeps its number while it is visible. A person who returns after more than a second gets a new one."
    return Section("seen", "Faces over time", (*blocks, Text(words, soft=True)))


def _face_section(timeline: Timeline, track: TrackSummary) -> Section:
    name = f"Face {track.number}"
    means = zip(timeline.classes, track.mean.tolist(), strict=True)
    words = f"{clock(track.first_seconds)} to {clock(track.last_seconds)}, most often {track.answer}"
    detail = tuple((each, f"{100 * share:.0f}%", share) for each, share in means)
    caption = "Smoothed probability of each expression over time. Open the chart to see their means."
    return Section(
        f"face-{track.number}",
        name,
        (
            FaceRow("", (FaceTile(data_address(track.crop), words, detail),)),
            CaptionedChart(expressions_plot(timeline, track.number), caption, scrolls=True),
        ),
        beside=True,
    )
