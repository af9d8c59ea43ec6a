"""The page of a video, ``timeline.html``: who is seen when, and what is read in each face over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mien.errors import Notice
from mien.inference.drawing import share_text
from mien.page.blocks import Block, CaptionedChart, Column, FaceRow, FaceTile, Section, Table, Text
from mien.page.images import data_address
from mien.page.page import Page
from mien.video.charts import clock, expressions_plot, tracks_plot
from mien.video.timeline import Timeline, TrackSummary

MOST_SHOWN = 20
"""Faces with a figure of their own: a crowd's page would take minutes to draw and to read."""


def timeline_html(
    timeline: Timeline, *, title: str, lead: str, notes: Sequence[Notice], table_name: str, metadata: Mapping[str, str]
) -> str:
    """The page: everything is in it, nothing is from elsewhere.

    Args:
        timeline: of the whole video.
        title: what the video is called.
        lead: what it is, in a sentence or two.
        notes: what else is to be known, such as damage, a sentence each.
        table_name: the file that has every frame and track.
        metadata: what else a reader needs, such as model and command.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    shown = longest_tracks(timeline)
    sections = [_overview(timeline, shown, table_name), *(_face_section(timeline, track) for track in shown)]
    return Page(
        title, lead, sections, metadata=metadata, notices=notes, subject="video", classes=timeline.classes
    ).html()


def longest_tracks(timeline: Timeline) -> list[TrackSummary]:
    """The tracks that are shown: those of most frames, at most :data:`MOST_SHOWN`, by number."""
    longest = sorted(timeline.tracks.values(), key=lambda track: (-track.frames, track.number))[:MOST_SHOWN]
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
        Column("detector's score", "decimal"),
    )
    rows = [
        (
            track.number,
            clock(track.first_seconds),
            clock(track.last_seconds),
            track.frames,
            track.frames_in_doubt / track.frames,
            ", ".join(f"{name} {share_text(share)}" for name, share in answer_shares(track)),
            track.detection_score,
        )
        for track in tracks
    ]
    return Table("faces", columns, rows)


def answer_shares(track: TrackSummary) -> list[tuple[str, float]]:
    """Each answer with its share of a track's frames, the most frequent first; answers below 0.5% are left out."""
    shares = ((name, count / track.frames) for name, count in track.frames_by_answer.most_common())
    return [(name, share) for name, share in shares if share >= 0.005]


def _overview(timeline: Timeline, shown: Sequence[TrackSummary], table_name: str) -> Section:
    blocks: list[Block]
    if not shown:
        blocks = [Text(Notice("No face was found in this video.", code="no-face"))]
    else:
        caption = (
            "Each line is a face. Its colour is the likeliest expression, faint where most answers are in doubt. It is "
            "empty where the face is not seen."
        )
        blocks = [
            CaptionedChart(tracks_plot(timeline, [track.number for track in shown]), caption),
            tracks_table(shown),
        ]
    fewer = len(timeline.tracks) - len(shown)
    if fewer:
        blocks.append(Text(f"The {len(shown)} faces seen longest; {table_name} has all {len(timeline.tracks):,}."))
    words = "A number is a face as long as it stays in sight. Who comes back after more than a second gets a new one."
    return Section("seen", "Who is seen when", (*blocks, Text(words, soft=True)))


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
            CaptionedChart(expressions_plot(timeline, track.number), caption),
        ),
    )
