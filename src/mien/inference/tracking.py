"""Which box of one moment is the same face as which box of the next: boxes and times in, numbers out.

A track knows a place, not a person: who leaves and comes back later is a new track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mien.faces.face import Box

LEAST_OVERLAP = 0.3
"""Boxes that overlap less are different faces."""

SAME_FACE_OVERLAP = 0.5
"""Two tracks that overlap more have come to lie on one face."""

PATIENCE_SECONDS = 1.0
"""For so long after a detector first overlooked it a face may be found again and keep its track. It does not count from
when the face was last found: detections may lie further apart than this."""

HALF_LIFE_SECONDS = 0.2
"""After so long half of a smoothed reading is newer. Expressions that people show openly last half a second to four
(Matsumoto & Hwang 2011); at 30 frames/s this leaves 6 % of the variance of independent noise, and follows a
sudden change by four fifths within half a second."""


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes, 0..1."""
    wide = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    high = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if wide <= 0 or high <= 0:
        return 0.0
    shared = wide * high
    return shared / (one.width * one.height + other.width * other.height - shared)


@dataclass(frozen=True)
class Track:
    """One face over time.

    Attributes:
        number: from 1, in the order in which faces were found.
        box: where it was last seen.
        missed_seconds: when a detector first overlooked it; None where it found it the last time.
        lost: it is not seen now.
    """

    number: int
    box: Box
    missed_seconds: float | None = None
    lost: bool = False


class Tracker:
    """Joins boxes to tracks, greedily by overlap.

    Attributes:
        tracks: by number: those that are seen, and those that are lost but not given up.
    """

    def __init__(self, least_overlap: float = LEAST_OVERLAP, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self.tracks: dict[int, Track] = {}
        self._least_overlap, self._patience_seconds = least_overlap, patience_seconds
        self._begun = 0

    @property
    def seen(self) -> list[Track]:
        """The tracks whose face is seen now, by number."""
        return [track for track in self.tracks.values() if not track.lost]

    def detected(self, seconds: float, boxes: Sequence[Box]) -> list[int]:
        """Take all boxes that a detector found at a time, not before the last one. Returns each box's track number.

        A track without a box stays as it is until patience ends, but is lost if it lies on the face of another.
        """
        numbers = self._join(boxes)
        # Given up only after boxes have been joined: however long nobody looked, the face may be there still.
        missed = (track for number, track in self.tracks.items() if number not in numbers)
        kept = [track for each in missed if (track := self._overlooked(each, seconds, boxes)) is not None]
        found = [Track(number, box) for number, box in zip(numbers, boxes, strict=True)]
        self.tracks = {track.number: track for track in sorted([*kept, *found], key=lambda track: track.number)}
        return numbers

    def followed(self, number: int, box: Box | None) -> None:
        """Say where a track's face has moved to between detections; None where it was lost from sight."""
        track = self.tracks[number]
        self.tracks[number] = replace(track, lost=True) if box is None else replace(track, box=box)

    def _overlooked(self, track: Track, seconds: float, boxes: Sequence[Box]) -> Track | None:
        """A track that no box has joined; None where patience with it has ended."""
        missed = seconds if track.missed_seconds is None else track.missed_seconds
        if seconds - missed > self._patience_seconds:
            return None
        hidden = any(overlap(track.box, box) > SAME_FACE_OVERLAP for box in boxes)
        return replace(track, missed_seconds=missed, lost=track.lost or hidden)

    def _join(self, boxes: Sequence[Box]) -> list[int]:
        pairs = [
            (overlap(track.box, box), -number, place)
            for number, track in self.tracks.items()
            for place, box in enumerate(boxes)
        ]
        joined: dict[int, int] = {}
        # Best overlap first; of equal ones the oldest track, so that the answer never hangs on the order of a dict.
        for shared, minus_number, place in sorted(pairs, reverse=True):
            if shared >= self._least_overlap and place not in joined and -minus_number not in joined.values():
                joined[place] = -minus_number
        for place in range(len(boxes)):
            if place not in joined:
                self._begun += 1
                joined[place] = self._begun
        return [joined[place] for place in range(len(boxes))]


class Smoother:
    """The exponentially weighted mean of one track's readings, in time: frames may come at any rate.

    What came in between is held as it was: ``s += (1 - 2 ** (-gap / half_life)) * (x - s)``.

    Args:
        half_life_seconds: 0 or more; 0 smooths nothing.
    """

    def __init__(self, half_life_seconds: float) -> None:
        self._half_life_seconds = half_life_seconds
        self._mean: npt.NDArray[np.float64] | None = None
        self._seconds = 0.0

    def add(self, seconds: float, scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Add a reading, float64 (C,), and return the mean up to it, float64 (C,)."""
        if self._mean is None or self._half_life_seconds == 0:
            self._mean = scores
        else:
            weight = 1 - 2 ** (-(seconds - self._seconds) / self._half_life_seconds)
            self._mean = self._mean + weight * (scores - self._mean)
        self._seconds = seconds
        return self._mean
