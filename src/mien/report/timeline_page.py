"""The page of a video, ``timeline.html``: who is seen when, and what is read in each face over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.inference.timeline import Timeline, TrackSummary
from mien.report import wording
from mien.report.blocks import Block, Column, Face, Faces, Plot, Section, Table, Text
from mien.report.pictures import data_address
from mien.report.plots_timeline import clock, expressions_plot, tracks_plot
from mien.report.rendering import render

MOST_SHOWN = 20
"""Faces with a figure of their own: a crowd's page would take minutes to draw and to read."""


def timeline_html(
    timeline: Timeline, *, title: str, lead: str, notes: Sequence[str], table_name: str, facts: Mapping[str, str]
) -> str:
    """The page: everything is in it, no script, no font, no picture from elsewhere.

    Args:
        timeline: of the whole video.
        title: what the video is called.
        lead: what it is, in a sentence or two.
        notes: what else is to be known, such as damage, a sentence each.
        table_name: the file that has every frame and track.
        facts: what else a reader needs, such as model and command.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    shown = longest_tracks(timeline)
    return render(
        "full.html.j2",
        title=title,
        lead=lead,
        class_count=len(timeline.classes),
        evaluation=None,
        of_data=False,
        sections=[_overview(timeline, shown, table_name), *(_face_section(timeline, track) for track in shown)],
        left_out=notes,
        facts=facts,
        wording=wording,
    )


def longest_tracks(timeline: Timeline) -> list[TrackSummary]:
    """The tracks that are shown: those of most frames, at most :data:`MOST_SHOWN`, by number."""
    longest = sorted(timeline.tracks.values(), key=lambda track: (-track.frames, track.number))[:MOST_SHOWN]
    return sorted(longest, key=lambda track: track.number)


def tracks_table(tracks: Sequence[TrackSummary]) -> Table:
    """A line for each track: when it is seen, and what it is read as."""
    columns = (
        Column("face", "count"),
        Column("from", "text"),
        Column("to", "text"),
        Column("frames", "count"),
        Column("read as", "text"),
        Column("in frames", "percent"),
    )
    rows = [
        (
            track.number,
            clock(track.first_seconds),
            clock(track.last_seconds),
            track.frames,
            track.top,
            track.read_as[track.top] / track.frames,
        )
        for track in tracks
    ]
    return Table("faces", columns, rows)


def _overview(timeline: Timeline, shown: Sequence[TrackSummary], table_name: str) -> Section:
    blocks: list[Block]
    if not shown:
        blocks = [Text("No face was found in this video.")]
    else:
        caption = "Each line is a face; its colour is the likeliest expression, empty where the face is not seen."
        blocks = [Plot(tracks_plot(timeline, [track.number for track in shown]), caption), tracks_table(shown)]
    fewer = len(timeline.tracks) - len(shown)
    if fewer:
        blocks.append(Text(f"The {len(shown)} faces seen longest; {table_name} has all {len(timeline.tracks):,}."))
    words = "A number is a face as long as it stays in sight. Who comes back after more than a second gets a new one."
    return Section("seen", "Who is seen when", (*blocks, Text(words, soft=True)))


def _face_section(timeline: Timeline, track: TrackSummary) -> Section:
    name = f"Face {track.number}"
    means = zip(timeline.classes, track.mean.tolist(), strict=True)
    words = f"{clock(track.first_seconds)} to {clock(track.last_seconds)}, most often {track.top}"
    detail = tuple((each, f"{100 * share:.0f} %", share) for each, share in means)
    caption = "Smoothed probability of each expression over time. Opening the picture shows their means."
    return Section(
        f"face-{track.number}",
        name,
        (
            Faces("", (Face(data_address(track.face), words, detail),)),
            Plot(expressions_plot(timeline, track.number), caption),
        ),
    )
