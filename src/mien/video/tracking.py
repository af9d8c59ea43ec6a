"""Tracks of faces: detected boxes joined by their overlap, faces between two detections, and smoothing over time.

A track follows a position, not a person, so a person who returns later gets a new track.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mien.base.arrays import Floats
from mien.faces.face import Box, Face, iou

MIN_IOU = 0.3
"""Smallest overlap (intersection over union) of consecutive boxes of a track."""

PATIENCE_SECONDS = 1.0
"""A track is kept for this time after a detection first missed its face. The time begins at the first miss, not at the
last detection, because detections may be further apart."""

HALF_LIFE_SECONDS = 0.2
"""Half-life of the smoothing: predictions this old have half the weight. Facial expressions last 0.5 to 4 s (Matsumoto
& Hwang 2011). At 30 frames/s, 0.2 s leaves 6% of the variance of independent noise, and follows four fifths of a sudden
change within half a second."""


@dataclass(eq=False)
class Track:
    """The track of one face over time.

    Attributes:
        number: number of the track, from 1, in the order of detection.
        face: face as last detected.
        missed_seconds: time of the first detection that missed it; None if the last detection found it.
    """

    number: int
    face: Face
    missed_seconds: float | None = None
    _seconds: float = 0.0
    _former: tuple[float, Face] | None = None
    _mean: Floats | None = None
    _mean_seconds: float = 0.0

    def add(self, seconds: float, face: Face) -> None:
        """Add the face of a detection."""
        self._former = None if self.missed_seconds is not None else (self._seconds, self.face)
        self.face, self._seconds, self.missed_seconds = face, seconds, None

    def at(self, seconds: float) -> Face:
        """Extrapolate the face's motion between its last two detections, for as long at most."""
        if self._former is None or self._seconds == self._former[0]:
            return self.face
        before, former = self._former
        weight = min((seconds - self._seconds) / (self._seconds - before), 1.0)
        (left, top, width, height), box = former.box, self.face.box
        right = round(weight * (box.left + box.width / 2 - left - width / 2))
        down = round(weight * (box.top + box.height / 2 - top - height / 2))
        return self.face.moved(Box(box.left + right, box.top + down, box.width, box.height))

    def smoothed(self, seconds: float, probabilities: Floats, half_life_seconds: float) -> Floats:
        """Add a frame's probabilities, float64 (C,), and return their smoothed mean: ``mean += (1 - 2 ** (-gap /
        half_life)) * (probabilities - mean)`` for the gap since the last frame, at any frame rate. A half-life of 0
        disables it.
        """
        if self._mean is None or half_life_seconds == 0:
            self._mean = probabilities
        else:
            weight = 1 - 2 ** (-(seconds - self._mean_seconds) / half_life_seconds)
            self._mean = self._mean + weight * (probabilities - self._mean)
        self._mean_seconds = seconds
        return self._mean


class IouTracker:
    """Joins the faces of consecutive detections to tracks, the largest overlap first.

    Attributes:
        tracks: tracks whose faces the last detection found, and missed ones that may return, sorted by number.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._last_number = 0

    @property
    def visible(self) -> list[Track]:
        """The tracks whose faces the last detection found."""
        return [track for track in self.tracks if track.missed_seconds is None]

    def update(self, seconds: float, faces: Sequence[Face]) -> list[Track]:
        """Update the tracks with all faces of a detection and return the track of each; call it in order of time."""
        # A face may still be there after a long time without detection; one that returns later is a new one.
        known = [track for track in self.tracks if seconds - (track.missed_seconds or seconds) <= PATIENCE_SECONDS]
        matched = match([track.at(seconds) for track in known], faces)
        joined = {index: known[former] for former, index in matched.items()}
        for index, face in enumerate(faces):
            if index not in joined:
                self._last_number += 1
                joined[index] = Track(self._last_number, face, _seconds=seconds)
            joined[index].add(seconds, face)
        missed = [track for track in known if track not in joined.values()]
        for track in missed:
            track.missed_seconds = seconds if track.missed_seconds is None else track.missed_seconds
        self.tracks = sorted([*missed, *joined.values()], key=lambda track: track.number)
        return [joined[index] for index in range(len(faces))]


def match(former: Sequence[Face], faces: Sequence[Face]) -> dict[int, int]:
    """Pair faces of two detections by overlap, from :data:`MIN_IOU` on, the largest first: former index -> index."""
    sides = np.array([[*face.box] for face in faces], dtype=np.float64).reshape(-1, 4)
    pairs = [
        (-overlap, old, new)
        for old, face in enumerate(former)
        for new, overlap in enumerate(iou(np.array([*face.box], dtype=np.float64), sides).tolist())
        if overlap >= MIN_IOU
    ]
    matched: dict[int, int] = {}
    for _, old, new in sorted(pairs):
        if old not in matched and new not in matched.values():
            matched[old] = new
    return matched


def between(first: Face, last: Face, weight: float) -> Face:
    """Interpolate a face linearly: ``first`` at weight 0, ``last`` at 1. The score is that of ``first``."""
    sides = (round(old + weight * (new - old)) for old, new in zip(first.box, last.box, strict=True))
    landmarks = {
        name: (x + weight * (last.landmarks[name][0] - x), y + weight * (last.landmarks[name][1] - y))
        for name, (x, y) in first.landmarks.items()
        if name in last.landmarks
    }
    return Face(Box(*sides), first.score, landmarks)
