"""Tracks of faces: boxes and times in, track numbers out; and smoothing over time.

A track is a position, not a person: a person who leaves and returns later gets a new track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mien.faces.boxes import iou
from mien.faces.face import Box

MIN_IOU = 0.3
"""Boxes of one track overlap at least this much (intersection over union)."""

SAME_FACE_IOU = 0.5
"""Two tracks that overlap more are on one face."""

PATIENCE_SECONDS = 1.0
"""A face that is detected again this long after a detector first missed it keeps its track. Time counts from the first
miss and not from the last detection, because detections may be further apart than this."""

HALF_LIFE_SECONDS = 0.2
"""Half-life of the smoothing: predictions this old have half of the weight. Open expressions last 0.5 to 4 s
(Matsumoto & Hwang 2011). At 30 frames/s, 0.2 s leaves 6% of the variance of independent noise, and reaches four fifths
of a sudden change within half a second."""


@dataclass(frozen=True)
class Track:
    """One face over time.

    Attributes:
        number: from 1, in the order of detection.
        box: its last box.
        missed_seconds: time at which a detector first missed it; None if the last detection found it.
        lost: it is not visible now.
    """

    number: int
    box: Box
    missed_seconds: float | None = None
    lost: bool = False


class BoxTracker:
    """Matches boxes to tracks, greedily by overlap.

    Attributes:
        tracks: by number: visible ones, and lost ones that may still return.
    """

    def __init__(self) -> None:
        self.tracks: dict[int, Track] = {}
        self._last_number = 0

    @property
    def visible(self) -> list[Track]:
        """The tracks whose face is visible now, by number."""
        return [track for track in self.tracks.values() if not track.lost]

    def detected(self, seconds: float, boxes: Sequence[Box]) -> list[int]:
        """Update the tracks with all boxes of a detection. Returns each box's track number.

        A track without a box stays until patience ends, but is lost if it overlaps another face's box.

        Args:
            seconds: time of the detection, not before the last one.
            boxes: its boxes.
        """
        numbers = self._match(boxes)
        # Dropped only after matching: however long ago the last detection was, the face may still be there.
        missed = (track for number, track in self.tracks.items() if number not in numbers)
        kept = [track for each in missed if (track := self._missed(each, seconds, boxes)) is not None]
        found = [Track(number, box) for number, box in zip(numbers, boxes, strict=True)]
        self.tracks = {track.number: track for track in sorted([*kept, *found], key=lambda track: track.number)}
        return numbers

    def followed(self, number: int, box: Box | None) -> None:
        """Set a track's box between detections; None if the face was lost."""
        track = self.tracks[number]
        self.tracks[number] = replace(track, lost=True) if box is None else replace(track, box=box)

    def _missed(self, track: Track, seconds: float, boxes: Sequence[Box]) -> Track | None:
        """A track without a box; None if its patience has ended."""
        missed = seconds if track.missed_seconds is None else track.missed_seconds
        if seconds - missed > PATIENCE_SECONDS:
            return None
        hidden = bool((iou(_sides([track.box])[0], _sides(boxes)) > SAME_FACE_IOU).any())
        return replace(track, missed_seconds=missed, lost=track.lost or hidden)

    def _match(self, boxes: Sequence[Box]) -> list[int]:
        sides = _sides(boxes)
        pairs = [
            (shared, -number, index)
            for number, track in self.tracks.items()
            for index, shared in enumerate(iou(_sides([track.box])[0], sides).tolist())
        ]
        matched: dict[int, int] = {}
        # Best overlap first; in a tie the oldest track, so that the result does not depend on the order of a dict.
        for shared, minus_number, index in sorted(pairs, reverse=True):
            if shared >= MIN_IOU and index not in matched and -minus_number not in matched.values():
                matched[index] = -minus_number
        for index in range(len(boxes)):
            if index not in matched:
                self._last_number += 1
                matched[index] = self._last_number
        return [matched[index] for index in range(len(boxes))]


def _sides(boxes: Sequence[Box]) -> npt.NDArray[np.float64]:
    """Left, top, width and height of N boxes: float64 (N, 4)."""
    return np.array([[*box] for box in boxes], dtype=np.float64).reshape(-1, 4)


class Smoother:
    """The exponentially weighted mean of one track's probabilities, in time, for any frame rate.

    ``s += (1 - 2 ** (-gap / half_life)) * (x - s)``, with ``gap`` the time since the last frame.

    Args:
        half_life_seconds: 0 or more; 0 is off.
    """

    def __init__(self, half_life_seconds: float) -> None:
        self._half_life_seconds = half_life_seconds
        self._mean: npt.NDArray[np.float64] | None = None
        self._seconds = 0.0

    def add(self, seconds: float, probabilities: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Add the probabilities of a frame, float64 (C,), and return the mean up to it, float64 (C,)."""
        if self._mean is None or self._half_life_seconds == 0:
            self._mean = probabilities
        else:
            weight = 1 - 2 ** (-(seconds - self._seconds) / self._half_life_seconds)
            self._mean = self._mean + weight * (probabilities - self._mean)
        self._seconds = seconds
        return self._mean
