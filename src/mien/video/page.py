"""The page of a video, ``timeline.html``: which faces are visible when, and their predicted expressions over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.base.errors import Notice
from mien.base.labels import colour_of
from mien.inference.drawing import share_text
from mien.page.blocks import Block, CaptionedChart, Column, FaceRow, FaceTile, Player, Section, Table, Text
from mien.page.chart import Chart, legend_above, legend_inches, make_chart, shorten
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

HALF_ROW = 0.42
"""Half of the height of a face's row; rows are 1 apart."""

_FAINT = 0.3


def expressions_plot(timeline: Timeline, numbers: Sequence[int]) -> Chart:
    """Plot a row for each face: the stacked probabilities of its classes while it is visible; faint if in doubt."""

    def draw(axes: Axes) -> None:
        for row, number in enumerate(numbers):
            for edges, shares, in_doubt in timeline.runs(number):
                # Draw from the start of the first step to the end of the last, so that a single step is visible too.
                at = np.concatenate([edges[:1], (edges[:-1] + edges[1:]) / 2, edges[-1:]])
                tops = np.cumsum(np.concatenate([shares[:1], shares, shares[-1:]]), axis=1)
                levels = row + HALF_ROW * (1 - 2 * np.concatenate([np.zeros((len(at), 1)), tops], axis=1))
                for index, name in enumerate(timeline.classes):
                    colour = (colour_of(name, index), _FAINT if in_doubt else 1.0)
                    axes.fill_between(at, levels[:, index], levels[:, index + 1], color=colour, linewidth=0)
        axes.set_yticks(range(len(numbers)), [f"face {number}" for number in numbers])
        axes.set_ylim(len(numbers) - 0.5, -0.5)
        axes.tick_params(axis="y", length=0)
        _finish(axes, timeline)
        legend_above(axes, _LEGEND_COLUMNS, handlelength=1.0, handletextpad=0.4)

    legend = legend_inches([shorten(name) for name in timeline.classes], _LEGEND_COLUMNS)
    height = 0.85 + legend + len(numbers) * min(1.2, max(0.25, 4 / len(numbers)))
    return make_chart("expressions", draw, height_inches=height, width_inches=_WIDTH_INCHES)


def _finish(axes: Axes, timeline: Timeline) -> None:
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


MAX_SHOWN = 20
"""Largest number of faces on the page: for a crowd, drawing it would take minutes."""


def timeline_html(
    timeline: Timeline, *, title: str, lead: str, notes: Sequence[Notice], metadata: Mapping[str, str], player: str = ""
) -> str:
    """Return the page of a whole video as HTML. The page contains everything except the annotated video.

    ``lead`` is the introduction, ``player`` the annotated video beside the page, or ``""``.
    Raises MissingExtraError without matplotlib or jinja2.
    """
    section = _faces(timeline, longest_tracks(timeline), player)
    return Page(
        title, lead, [section], metadata=metadata, notices=notes, subject="video", classes=timeline.classes
    ).html()


def longest_tracks(timeline: Timeline) -> list[TrackSummary]:
    """Return the :data:`MAX_SHOWN` tracks with most frames, sorted by number."""
    longest = sorted(timeline.tracks.values(), key=lambda track: (-len(track.frames), track.number))[:MAX_SHOWN]
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


def _faces(timeline: Timeline, shown: Sequence[TrackSummary], player: str) -> Section:
    blocks: list[Block]
    if not shown:
        blocks = [Text(Notice("No face was found in this video.", code="no-face"))]
    else:
        caption = "Smoothed probabilities while a face is visible; faint where most answers are in doubt."
        if player:
            caption += " A click on the chart, or on a time of the table, jumps to it in the video."
        chart = expressions_plot(timeline, [track.number for track in shown])
        tiles = tuple(_tile(timeline, track) for track in shown)
        blocks = [
            *([Player(player)] if player else []),
            CaptionedChart(chart, caption, scrolls=True),
            FaceRow("", tiles),
            tracks_table(shown),
        ]
    fewer = len(timeline.tracks) - len(shown)
    if fewer:
        blocks.append(Text(f"The {len(shown)} faces seen longest; {TABLE} has all {len(timeline.tracks):,}."))
    message = "A face keeps its number while it is visible. A person who returns after over a second gets a new one."
    return Section("seen", "Faces over time", (*blocks, Text(message, soft=True)))


def _tile(timeline: Timeline, track: TrackSummary) -> FaceTile:
    means = zip(timeline.classes, track.mean.tolist(), strict=True)
    detail = tuple((name, f"{100 * mean:.0f}%", mean) for name, mean in means)
    return FaceTile(data_address(track.crop), f"face {track.number}: mostly {track.answer}", detail)
