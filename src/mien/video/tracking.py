"""Tracks of faces: boxes and times in, tracks out; and smoothing over time.

A track is a position, not a person: a person who leaves and returns later gets a new track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.faces.boxes import iou
from mien.faces.face import Box, Face
from mien.video.template_matching import TemplateMatcher

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


@dataclass(eq=False)
class Track:
    """One face over time.

    Attributes:
        number: from 1, in the order of detection.
        box: its last box.
        missed_seconds: time at which a detector first missed it; None if the last detection found it.
        lost: it is not visible now.
        face: as it was last detected.
        matcher: follows it from its last detection.
    """

    number: int
    box: Box
    missed_seconds: float | None = None
    lost: bool = False
    face: Face | None = None
    matcher: TemplateMatcher | None = None
    _mean: npt.NDArray[np.float64] | None = None
    _mean_seconds: float = 0.0

    @property
    def shown(self) -> Face:
        """The face where it is now, as it was last detected."""
        assert self.face is not None
        return self.face.moved(self.box)

    def smoothed(
        self, seconds: float, probabilities: npt.NDArray[np.float64], half_life_seconds: float
    ) -> npt.NDArray[np.float64]:
        """Add the probabilities of a frame, float64 (C,), and return their mean over time up to it, float64 (C,).

        ``mean += (1 - 2 ** (-gap / half_life)) * (probabilities - mean)``, with ``gap`` the time since the last frame:
        an exponentially weighted mean in time, for any frame rate. A half-life of 0 is off.
        """
        if self._mean is None or half_life_seconds == 0:
            self._mean = probabilities
        else:
            weight = 1 - 2 ** (-(seconds - self._mean_seconds) / half_life_seconds)
            self._mean = self._mean + weight * (probabilities - self._mean)
        self._mean_seconds = seconds
        return self._mean


class BoxTracker:
    """Matches boxes to tracks, greedily by overlap.

    Attributes:
        tracks: sorted by number: visible ones, and lost ones that may still return.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._last_number = 0

    @property
    def visible(self) -> list[Track]:
        """The tracks whose face is visible now, by number."""
        return [track for track in self.tracks if not track.lost]

    def detected(self, seconds: float, boxes: Sequence[Box]) -> list[Track]:
        """Update the tracks with all boxes of a detection. Returns each box's track.

        A track without a box stays until patience ends, but is lost if it overlaps another face's box.

        Args:
            seconds: time of the detection, not before the last one.
            boxes: its boxes.
        """
        matched = self._match(boxes)
        # Dropped only after matching: however long ago the last detection was, the face may still be there.
        missed = [track for track in self.tracks if track not in matched.values() and _stays(track, seconds, boxes)]
        found = []
        for index, box in enumerate(boxes):
            track = matched.get(index)
            if track is None:
                self._last_number += 1
                track = Track(self._last_number, box)
            track.box, track.missed_seconds, track.lost = box, None, False
            found.append(track)
        self.tracks = sorted([*missed, *found], key=lambda track: track.number)
        return found

    def _match(self, boxes: Sequence[Box]) -> dict[int, Track]:
        """The track of each box that has one, by the box's index."""
        sides = _sides(boxes)
        pairs = [
            (shared, -track.number, index, track)
            for track in self.tracks
            for index, shared in enumerate(iou(_sides([track.box])[0], sides).tolist())
            if shared >= MIN_IOU
        ]
        matched: dict[int, Track] = {}
        # Best overlap first; in a tie the oldest track.
        for _, _, index, track in sorted(pairs, key=lambda pair: pair[:3], reverse=True):
            if index not in matched and track not in matched.values():
                matched[index] = track
        return matched


def _stays(track: Track, seconds: float, boxes: Sequence[Box]) -> bool:
    """Note that a detection missed a track; False where its patience has ended."""
    if track.missed_seconds is None:
        track.missed_seconds = seconds
    track.lost = track.lost or bool((iou(_sides([track.box])[0], _sides(boxes)) > SAME_FACE_IOU).any())
    return seconds - track.missed_seconds <= PATIENCE_SECONDS


def _sides(boxes: Sequence[Box]) -> npt.NDArray[np.float64]:
    """Left, top, width and height of N boxes: float64 (N, 4)."""
    return np.array([[*box] for box in boxes], dtype=np.float64).reshape(-1, 4)
