"""The summary of a whole video: each track's predictions over time, at bounded memory for any length."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mien.labels import NOT_A_FACE
from mien.video.tracker import TrackedFace, VideoFrame

WEAK = 0.45
"""Scores in this lower part of a detector's range are weak. On docs/lab-notebook.md's photographs three of six false
boxes have one with an answer in doubt, and three of 236 faces."""

MAX_STEPS = 240
"""Time steps of a video at most: as many as are distinguishable on a page."""


class Step(NamedTuple):
    """Equally many frames of one face.

    Attributes:
        frames: in how many of them it is visible.
        total: sum of their probabilities, float64 (C,).
        in_doubt: how many answers are in doubt.
    """

    frames: int
    total: npt.NDArray[np.float64]
    in_doubt: int


class Run(NamedTuple):
    """N steps in which a face is visible without a break.

    Attributes:
        edges: of the steps, in seconds, float64 (N + 1,), rising.
        means: their mean probabilities, float64 (N, C).
        in_doubt: whether most answers of the step are in doubt, bool (N,).
    """

    edges: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]
    in_doubt: npt.NDArray[np.bool_]


@dataclass
class TrackSummary:
    """One face over a whole video.

    Attributes:
        number: the track's number.
        first_seconds: time of its first frame.
        last_seconds: time of its last frame.
        frames: number of frames in which it is visible.
        mean: mean of its smoothed probabilities, float64 (C,).
        frames_by_answer: number of frames with each answer; see :attr:`mien.inference.prediction.Prediction.answer`.
        frames_in_doubt: number of frames whose answer is unsure, or, of a model without votes, below one half.
        found: in how many of the detections that ran while it was visible the detector found it.
        missed: in how many it did not.
        detection_score: mean of the detector's scores over its frames; between detections that of the last one counts.
            None where it has none.
        crop: its largest face crop, uint8 (S, S[, 3]).
        steps: those in which it is visible, by number.
        largest_px: area of the box of ``crop``, in pixels.
    """

    number: int
    first_seconds: float
    last_seconds: float
    frames: int
    mean: npt.NDArray[np.float64]
    frames_by_answer: Counter[str]
    crop: npt.NDArray[np.uint8]
    detection_score: float | None = None
    frames_in_doubt: int = 0
    found: int = 0
    missed: int = 0
    steps: dict[int, Step] = field(default_factory=dict)
    largest_px: int = 0

    @property
    def answer(self) -> str:
        """The answer of most frames."""
        return self.frames_by_answer.most_common(1)[0][0]

    def is_face(self, weak_score: float = 0.0) -> bool:
        """Whether detector and model take it for a face.

        The detector found it at least as often as not, and the model sees a face in most of its frames. If the
        detector's score is weak, the model must also be sure of what it sees in half of them.
        """
        no_face = self.frames_by_answer[NOT_A_FACE]
        weak = self.detection_score is not None and self.detection_score < weak_score
        if weak and 2 * (no_face + self.frames_in_doubt) > self.frames:
            return False
        return self.found >= self.missed and 2 * no_face <= self.frames


class Timeline:
    """Collects the frames of a video: each track's means over steps of equally many frames.

    A step starts as one frame, and doubles whenever the video has more than :data:`MAX_STEPS` steps.

    Args:
        classes: class names.
        frame_seconds: duration of the frame of a video that has only one.
        score_range: the lowest and the highest score of the detector.

    Attributes:
        classes: class names.
        tracks: by number.
        frames: number of frames so far.
        starts_seconds: start time of each step.
        end_seconds: end time of the last frame.
    """

    def __init__(
        self, classes: Sequence[str], frame_seconds: float, score_range: tuple[float, float] = (0.0, math.inf)
    ) -> None:
        self.classes: tuple[str, ...] = tuple(classes)
        self.tracks: dict[int, TrackSummary] = {}
        self.frames: int = 0
        self.starts_seconds: list[float] = []
        self.end_seconds: float = 0.0
        lowest, highest = score_range
        # A count of windows, as the cascade's, has no upper end: nothing is known of what is weak.
        self._weak_score = lowest + WEAK * (highest - lowest) if math.isfinite(highest) else 0.0
        self._last_seconds = 0.0
        self._frame_seconds = frame_seconds
        self._step_frames = 1

    def add(self, frame: VideoFrame) -> None:
        """Add the next frame."""
        if self.frames == MAX_STEPS * self._step_frames:
            self._widen()
        step = self.frames // self._step_frames
        if step == len(self.starts_seconds):
            self.starts_seconds.append(frame.seconds)
        # The duration of a frame follows from the next one; the last frame gets that of the previous one.
        shown_seconds = frame.seconds - self._last_seconds if self.frames else self._frame_seconds
        self.end_seconds = frame.seconds + shown_seconds
        self._last_seconds = frame.seconds
        self.frames += 1
        for face in frame.faces:
            self._add_face(step, frame.seconds, face)

    def drop_what_is_no_face(self) -> list[int]:
        """Leave out the tracks that are no face, by :meth:`TrackSummary.is_face`. Returns their numbers."""
        dropped = [number for number, track in self.tracks.items() if not track.is_face(self._weak_score)]
        for number in dropped:
            del self.tracks[number]
        return dropped

    def runs(self, track: int) -> list[Run]:
        """The intervals in which a track is visible without a break."""
        steps = self.tracks[track].steps
        seen = np.array(sorted(steps))
        edges = np.array([*self.starts_seconds, self.end_seconds])
        means = np.array([steps[step].total / steps[step].frames for step in seen.tolist()])
        in_doubt = np.array([2 * steps[step].in_doubt > steps[step].frames for step in seen.tolist()])
        parts = np.split(np.arange(len(seen)), np.flatnonzero(np.diff(seen) > 1) + 1)
        return [Run(edges[seen[part[0]] : seen[part[-1]] + 2], means[part], in_doubt[part]) for part in parts]

    def _add_face(self, step: int, seconds: float, each: TrackedFace) -> None:
        probabilities, box, crop = each.prediction.probability_vector, each.prediction.box, each.prediction.crop
        assert box is not None
        assert crop is not None
        if each.track not in self.tracks:
            nothing = np.zeros(len(self.classes))
            self.tracks[each.track] = TrackSummary(each.track, seconds, seconds, 0, nothing, Counter(), crop)
        track = self.tracks[each.track]
        track.last_seconds = seconds
        track.frames += 1
        track.mean = track.mean + (probabilities - track.mean) / track.frames
        score = each.prediction.detection_score
        if score is not None:
            mean = 0.0 if track.detection_score is None else track.detection_score
            track.detection_score = mean + (score - mean) / track.frames
        track.frames_by_answer[each.prediction.answer] += 1
        track.frames_in_doubt += each.prediction.in_doubt
        track.found += each.detected is True
        track.missed += each.detected is False
        if box.width * box.height > track.largest_px:
            track.largest_px, track.crop = box.width * box.height, crop
        _add_step(track.steps, step, Step(1, probabilities, int(each.prediction.in_doubt)))

    def _widen(self) -> None:
        self._step_frames *= 2
        self.starts_seconds = self.starts_seconds[::2]
        for track in self.tracks.values():
            halves, track.steps = track.steps, {}
            for number, step in halves.items():
                _add_step(track.steps, number // 2, step)


def _add_step(steps: dict[int, Step], number: int, new: Step) -> None:
    old = steps.get(number)
    if old is not None:
        new = Step(old.frames + new.frames, old.total + new.total, old.in_doubt + new.in_doubt)
    steps[number] = new
