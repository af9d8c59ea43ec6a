"""Summary of a whole video: the predictions of each track over time, and their page, ``timeline.html``."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mien.base.arrays import Floats, Floats32, Pixels
from mien.base.errors import Notice, share_text
from mien.base.heads import AGREEMENT
from mien.base.labels import NOT_A_FACE_CLASS, colour_of
from mien.faces.face import Face
from mien.page.chart import Chart, legend_above, legend_inches, make_chart, shorten
from mien.page.page import Block, CaptionedChart, Column, FaceRow, FaceTile, Page, Player, Section, Table, Text
from mien.page.wording import data_address, duration_text
from mien.video.tracker import VideoFrame

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WEAK = 0.45
"""A detection score below this fraction of the detector's range is weak: below 0.76 for YuNet. On the photographs of
docs/lab-notebook.md, 19 of 249 faces and all three false boxes are weak; one face is also "unsure"."""

MAX_STEPS = 240
"""Largest number of time steps of a video: more cannot be distinguished on a page."""


class Run(NamedTuple):
    """A period in which a face is visible without a break, and in doubt or not, in N time steps.

    Attributes:
        edges: edges of the steps in seconds, float64 (N + 1,), rising.
        means: mean probabilities in each step, float64 (N, C).
        in_doubt: whether most answers in each step are in doubt.
    """

    edges: Floats
    means: Floats
    in_doubt: bool


@dataclass
class TrackSummary:
    """Summary of one face over a whole video.

    Attributes:
        crop: best face crop, uint8 (S, S[, 3]). The best crop is detected, completely inside the frame, and has a high
            score and a large size.
        probabilities: smoothed probabilities in each of these frames, float32 (C,).
        frames: numbers of the frames in which the face is visible, rising.
        scores: the detector's score in each frame; between detections that of the last one.
        doubts: whether each answer is in doubt; see :attr:`mien.Prediction.in_doubt`.
        unlikely: number of frames whose answer is "unsure", or for a model without votes has a probability below 0.5.
        frames_by_answer: number of frames with each answer; see :attr:`mien.inference.prediction.Prediction.answer`.
        crop_quality: quality of ``crop``: was it detected, is it inside the frame, its side in pixels times its score.
    """

    number: int
    crop: Pixels
    first_seconds: float
    last_seconds: float
    probabilities: list[Floats32] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    doubts: list[bool] = field(default_factory=list)
    unlikely: int = 0
    frames_by_answer: Counter[str] = field(default_factory=Counter)
    crop_quality: tuple[bool, bool, float] = (False, False, 0.0)

    @property
    def mean(self) -> Floats:
        """Mean of the smoothed probabilities, float64 (C,)."""
        return np.asarray(np.mean(self.probabilities, axis=0, dtype=np.float64))

    @property
    def detection_score(self) -> float:
        """Mean detection score over all frames."""
        return float(np.mean(self.scores))

    @property
    def answer(self) -> str:
        """The most frequent answer."""
        return self.frames_by_answer.most_common(1)[0][0]

    def is_face(self, weak_score: float = 0.0) -> bool:
        """Return whether most frames show a face; with a weak detector's score, half of them must be sure answers."""
        no_face, frames = self.frames_by_answer[NOT_A_FACE_CLASS], len(self.frames)
        return 2 * (no_face + self.unlikely * (self.detection_score < weak_score)) <= frames


class TimelineFace(NamedTuple):
    """A face in one frame; :meth:`mien.inference.face_reader.FaceReader.prediction` makes its prediction again."""

    track: int
    face: Face
    row: Floats32


class Timeline:
    """Collects the frames of a video.

    Args:
        classes: class names.
        frame_seconds: duration that is assumed for the last frame.
        score_range: lowest and highest score of the detector.
    """

    def __init__(
        self, classes: Sequence[str], frame_seconds: float, score_range: tuple[float, float] = (0.0, math.inf)
    ) -> None:
        self.classes: tuple[str, ...] = tuple(classes)
        self.tracks: dict[int, TrackSummary] = {}
        self.starts_seconds: list[float] = []
        self._faces: list[list[TimelineFace]] = []
        lowest, highest = score_range
        # If a detector's score has no upper limit, no score is weak.
        self._weak_score = lowest + WEAK * (highest - lowest) if math.isfinite(highest) else 0.0
        self._frame_seconds = frame_seconds

    @property
    def frames(self) -> int:
        """Number of frames so far."""
        return len(self.starts_seconds)

    @property
    def end_seconds(self) -> float:
        """End of the last frame in seconds, at the video's frame rate."""
        return (self.starts_seconds[-1] if self.starts_seconds else 0.0) + self._frame_seconds

    def add(self, frame: VideoFrame) -> None:
        """Add the next frame."""
        height, width = frame.rgb.shape[:2]
        faces = []
        for face in frame.faces:
            prediction = face.prediction
            box, crop, score, seconds = prediction.box, prediction.crop, prediction.detection_score, frame.time_seconds
            assert crop is not None
            assert score is not None
            row = np.array([*prediction.probability_vector, *prediction.further.values()], dtype=np.float32)
            faces.append(TimelineFace(face.track, Face(box, score, {}), row))
            track = self.tracks.setdefault(face.track, TrackSummary(face.track, crop, seconds, seconds))
            track.frames.append(self.frames)
            track.probabilities.append(row[: len(self.classes)])
            track.scores.append(score)
            track.doubts.append(prediction.in_doubt)
            unsure = prediction.unsure
            track.unlikely += prediction.confidence < AGREEMENT if unsure is None else unsure
            track.last_seconds = seconds
            track.frames_by_answer[prediction.answer] += 1
            # A box that touches the border is probably cut off.
            inside = min(box.left, box.top) > 0 and box.left + box.width < width and box.top + box.height < height
            quality = (face.detected, inside, max(box.width, box.height) * score)
            if quality > track.crop_quality:
                track.crop_quality, track.crop = quality, crop
        self._faces.append(faces)
        self.starts_seconds.append(frame.time_seconds)

    def faces(self, frame: int) -> list[TimelineFace]:
        """Return the faces of a frame by its number, without those of dropped tracks."""
        return [face for face in self._faces[frame] if face.track in self.tracks]

    def drop_false_faces(self) -> list[int]:
        """Remove tracks of a single frame, and those that are no face by :meth:`TrackSummary.is_face`; return them."""
        dropped = [
            number
            for number, track in self.tracks.items()
            if len(track.frames) < min(2, self.frames) or not track.is_face(self._weak_score)
        ]
        for number in dropped:
            del self.tracks[number]
        return dropped

    def alarms(self, limits: Mapping[str, float]) -> list[dict[str, Any]]:
        """Return the intervals in which a track's smoothed probability of a class is at least its limit, by time."""
        alarms = []
        for track, (name, limit) in product(self.tracks.values(), limits.items()):
            frames = np.array(track.frames)[np.array(track.probabilities)[:, self.classes.index(name)] >= limit]
            for part in np.split(frames, np.flatnonzero(np.diff(frames) > 1) + 1) if frames.size else ():
                first, last = (self.starts_seconds[frame] for frame in part[[0, -1]])
                alarms.append({"track": track.number, "class": name, "first_seconds": first, "last_seconds": last})
        return sorted(alarms, key=lambda alarm: alarm["first_seconds"])

    def runs(self, number: int) -> list[Run]:
        """Return the periods in which a track is visible, with at most :data:`MAX_STEPS` steps; see :class:`Run`."""
        track, length = self.tracks[number], -(-self.frames // MAX_STEPS)
        edges = np.array([*self.starts_seconds[::length], self.end_seconds])
        seen, step, counts = np.unique(np.array(track.frames) // length, return_inverse=True, return_counts=True)
        means = np.zeros((len(seen), len(self.classes)))
        np.add.at(means, step, np.array(track.probabilities, dtype=np.float64) / counts[step, np.newaxis])
        in_doubt = 2 * np.bincount(step, track.doubts) > counts
        ends = np.flatnonzero((np.diff(seen) > 1) | (np.diff(in_doubt.astype(np.int8)) != 0)) + 1
        parts = np.split(np.arange(len(seen)), ends)
        return [Run(edges[seen[part[0]] : seen[part[-1]] + 2], means[part], bool(in_doubt[part[0]])) for part in parts]


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

    def draw(axes: "Axes") -> None:
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


def _finish(axes: "Axes", timeline: Timeline) -> None:
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
        tiles = []
        for track in shown:
            means = zip(timeline.classes, track.mean.tolist(), strict=True)
            detail = tuple((name, f"{100 * mean:.0f}%", mean) for name, mean in means)
            tiles.append(FaceTile(data_address(track.crop), f"face {track.number}: mostly {track.answer}", detail))
        blocks = [
            *([Player(player)] if player else []),
            CaptionedChart(chart, caption, scrolls=True),
            FaceRow("", tuple(tiles)),
            tracks_table(shown),
        ]
    if len(timeline.tracks) > len(shown):
        blocks.append(Text(f"The {len(shown)} faces seen longest; {TABLE} has all {len(timeline.tracks):,}."))
    message = "A face keeps its number while it is visible. A person who returns after over a second gets a new one."
    return Section("seen", "Faces over time", (*blocks, Text(message, soft=True)))
