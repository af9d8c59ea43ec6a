"""The page of a video, ``timeline.html``: who is seen when, and what is read in each face over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mien.base.errors import Notice, needs_extra
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


_LEGEND_COLUMNS = 5
_WIDTH_INCHES = 7.9
"""Size of charts of time, which take the page's whole width, and are scrolled on a phone."""

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
        legend_above(axes, _LEGEND_COLUMNS, handlelength=1.0, handletextpad=0.4)

    legend = legend_inches([shorten(name) for name in timeline.classes], _LEGEND_COLUMNS)
    height = 0.85 + 0.22 * len(numbers) + legend
    return make_chart("tracks", draw, height_inches=height, width_inches=_WIDTH_INCHES)


def expressions_plot(timeline: Timeline, number: int) -> Chart:
    """The probability of each class over time in one face, stacked to 100%, in the colours of :func:`tracks_plot`.

    It is empty where the face is not seen.
    """

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

    return make_chart(f"face-{number}", draw, height_inches=1.6, width_inches=_WIDTH_INCHES)


def _finish(axes: Axes, timeline: Timeline) -> None:
    """Give time its axis, as long as the video, and each class its name and colour."""
    with needs_extra("video", "The timeline"):
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
    """A time as it is said beside a video: in seconds below a minute, otherwise as players show it.

    >>> clock(7.25), clock(65), clock(3725)
    ('7.2 s', '1:05', '1:02:05')
    """
    return f"{seconds:.1f} s" if seconds < 60 else duration_text(seconds)


MOST_SHOWN = 20
"""Faces with a figure of their own: a crowd's page would take minutes to draw and to read."""


def timeline_html(
    timeline: Timeline,
    *,
    title: str,
    lead: str,
    notes: Sequence[Notice],
    table_name: str,
    metadata: Mapping[str, str],
    player: str = "",
) -> str:
    """The page: everything but the annotated video is in it, nothing is from elsewhere.

    Args:
        timeline: of the whole video.
        title: what the video is called.
        lead: what it is, in a sentence or two.
        notes: what else is to be known, such as damage, a sentence each.
        table_name: the file that has every frame and track.
        metadata: what else a reader needs, such as model and command.
        player: the annotated video's file beside the page, or nothing.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    shown = longest_tracks(timeline)
    sections = [_overview(timeline, shown, table_name, player), *(_face_section(timeline, track) for track in shown)]
    return Page(
        title, lead, sections, metadata=metadata, notices=notes, subject="video", classes=timeline.classes
    ).html()


def longest_tracks(timeline: Timeline) -> list[TrackSummary]:
    """The tracks that are shown: those of most frames, at most :data:`MOST_SHOWN`, by number."""
    longest = sorted(timeline.tracks.values(), key=lambda track: (-len(track.frames), track.number))[:MOST_SHOWN]
    return sorted(longest, key=lambda track: track.number)


def tracks_table(tracks: Sequence[TrackSummary]) -> Table:
    """A line for each track: when it is seen, and each answer's share of its frames."""
    columns = (
        Column("face", "count"),
        Column("from", "text"),
        Column("to", "text"),
        Column("frames", "count"),
        Column("in doubt", "percent"),
        Column("expressions", "text"),
    )
    rows = [
        (
            track.number,
            clock(track.first_seconds),
            clock(track.last_seconds),
            len(track.frames),
            sum(track.doubts) / len(track.frames),
            ", ".join(f"{name} {share_text(share)}" for name, share in answer_shares(track)),
        )
        for track in tracks
    ]
    return Table("faces", columns, rows)


def answer_shares(track: TrackSummary) -> list[tuple[str, float]]:
    """Each answer with its share of a track's frames, the most frequent first; answers below 0.5% are left out."""
    shares = ((name, count / len(track.frames)) for name, count in track.frames_by_answer.most_common())
    return [(name, share) for name, share in shares if share >= 0.005]


def _overview(timeline: Timeline, shown: Sequence[TrackSummary], table_name: str, player: str) -> Section:
    blocks: list[Block]
    if not shown:
        blocks = [Text(Notice("No face was found in this video.", code="no-face"))]
    else:
        caption = (
            "Each line is a face. Its colour is the likeliest expression, faint where most answers are in doubt. It is "
            "empty where the face is not seen. All charts of this page have these colours."
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
        blocks.append(Text(f"The {len(shown)} faces seen longest; {table_name} has all {len(timeline.tracks):,}."))
    words = (
        "A number is a face as long as it stays in sight. A person who returns after more than a second gets a new one."
    )
    return Section("seen", "Faces over time", (*blocks, Text(words, soft=True)))


def _face_section(timeline: Timeline, track: TrackSummary) -> Section:
    name = f"Face {track.number}"
    means = zip(timeline.classes, track.mean.tolist(), strict=True)
    words = f"{clock(track.first_seconds)} to {clock(track.last_seconds)}, most often {track.answer}"
    detail = tuple((each, f"{100 * share:.0f}%", share) for each, share in means)
    caption = "Smoothed probability of each expression over time. Opening the chart shows their means."
    return Section(
        f"face-{track.number}",
        name,
        (
            FaceRow("", (FaceTile(data_address(track.crop), words, detail),)),
            CaptionedChart(expressions_plot(timeline, track.number), caption, scrolls=True),
        ),
        beside=True,
    )
