"""What is kept of a whole video: each track's readings over time, at bounded memory however long it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mien.inference.video import TrackedReading, VideoFrame

Steps: TypeAlias = dict[int, tuple[int, npt.NDArray[np.float64]]]

MOST_STEPS = 240
"""Steps that a video is cut into at most: as many as can be told apart on a page."""


@dataclass
class TrackSummary:
    """One face over a whole video.

    Attributes:
        number: of the track.
        first_seconds: when it was first seen.
        last_seconds: when it was last seen.
        frames: in how many frames it was seen.
        mean: the mean of its smoothed readings, float64 (C,).
        read_as: in how many frames it was read as each class.
        face: its largest appearance, as the classifier saw it, uint8 (S, S).
        steps: for each step of the video in which it was seen, in how many frames, and the sum of their readings.
        largest_px: how large that appearance was.
    """

    number: int
    first_seconds: float
    last_seconds: float
    frames: int
    mean: npt.NDArray[np.float64]
    read_as: Counter[str]
    face: npt.NDArray[np.uint8]
    steps: Steps = field(default_factory=dict)
    largest_px: int = 0

    @property
    def top(self) -> str:
        """What it was read as most often."""
        return self.read_as.most_common(1)[0][0]


class Timeline:
    """Takes the frames of a video and keeps each track's means over steps of equally many frames.

    A step begins as one frame, and becomes twice as long whenever a video has more than :data:`MOST_STEPS` of them.

    Args:
        frame_seconds: how long a frame is shown of which nothing else says it: the only one.

    Attributes:
        classes: class names.
        tracks: by number.
        frames: how many came.
        starts_seconds: when each step begins.
        end_seconds: when the last frame ends.
    """

    def __init__(self, classes: Sequence[str], frame_seconds: float) -> None:
        self.classes = tuple(classes)
        self.tracks: dict[int, TrackSummary] = {}
        self.frames = 0
        self.starts_seconds: list[float] = []
        self.end_seconds = 0.0
        self._last_seconds = 0.0
        self._frame_seconds = frame_seconds
        self._step_frames = 1

    def add(self, frame: VideoFrame) -> None:
        """Take the next frame."""
        if self.frames == MOST_STEPS * self._step_frames:
            self._widen()
        step = self.frames // self._step_frames
        if step == len(self.starts_seconds):
            self.starts_seconds.append(frame.seconds)
        # How long a frame is shown is known from the next one; the last is taken to be as long as the one before.
        shown_seconds = frame.seconds - self._last_seconds if self.frames else self._frame_seconds
        self.end_seconds = frame.seconds + shown_seconds
        self._last_seconds = frame.seconds
        self.frames += 1
        for face in frame.faces:
            self._add_face(step, frame.seconds, face)

    def runs(self, track: int) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
        """A track's mean readings, a part for each time that it is seen without a break.

        Returns:
            For each part of N steps its edges in seconds, float64 (N + 1,), rising, and the means, float64 (N, C).
        """
        steps = self.tracks[track].steps
        seen = np.array(sorted(steps))
        edges = np.array([*self.starts_seconds, self.end_seconds])
        means = np.array([steps[step][1] / steps[step][0] for step in seen.tolist()])
        parts = np.split(np.arange(len(seen)), np.flatnonzero(np.diff(seen) > 1) + 1)
        return [(edges[seen[part[0]] : seen[part[-1]] + 2], means[part]) for part in parts]

    def _add_face(self, step: int, seconds: float, each: TrackedReading) -> None:
        scores, box, face = each.reading.scores, each.reading.box, each.reading.face
        assert box is not None
        assert face is not None
        if each.track not in self.tracks:
            nothing = np.zeros(len(self.classes))
            self.tracks[each.track] = TrackSummary(each.track, seconds, seconds, 0, nothing, Counter(), face)
        track = self.tracks[each.track]
        track.last_seconds = seconds
        track.frames += 1
        track.mean = track.mean + (scores - track.mean) / track.frames
        track.read_as[each.reading.top] += 1
        if box.width * box.height > track.largest_px:
            track.largest_px, track.face = box.width * box.height, face
        _add_step(track.steps, step, 1, scores)

    def _widen(self) -> None:
        self._step_frames *= 2
        self.starts_seconds = self.starts_seconds[::2]
        for track in self.tracks.values():
            halves, track.steps = track.steps, {}
            for step, (count, total) in halves.items():
                _add_step(track.steps, step // 2, count, total)


def _add_step(steps: Steps, step: int, count: int, total: npt.NDArray[np.float64]) -> None:
    before = steps.get(step)
    steps[step] = (count, total) if before is None else (before[0] + count, before[1] + total)
