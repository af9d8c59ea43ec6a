"""Tracks of faces from boxes and times, and smoothing over time.

A track follows a position, not a person, so a person who returns later gets a new track.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.faces.face import Box, Face, iou
from mien.video.template_matching import TemplateMatcher

MIN_IOU = 0.3
"""Smallest overlap (intersection over union) of consecutive boxes of a track."""

SAME_FACE_IOU = 0.5
"""Two tracks with a larger overlap follow the same face."""

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
        box: last box.
        missed_seconds: time of the first detection that missed it; None if the last detection found it.
        lost: whether it is not visible now.
        face: face as last detected.
        matcher: template matcher with the face of the last detection.
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
        """The face of the last detection, moved to the current box."""
        assert self.face is not None
        return self.face.moved(self.box)

    def smoothed(
        self, seconds: float, probabilities: npt.NDArray[np.float64], half_life_seconds: float
    ) -> npt.NDArray[np.float64]:
        """Add the probabilities of a frame, float64 (C,), and return their smoothed mean, float64 (C,).

        ``mean += (1 - 2 ** (-gap / half_life)) * (probabilities - mean)``, with ``gap`` the time since the last frame.
        This is an exponentially weighted mean that works for any frame rate. A half-life of 0 disables it.
        """
        if self._mean is None or half_life_seconds == 0:
            self._mean = probabilities
        else:
            weight = 1 - 2 ** (-(seconds - self._mean_seconds) / half_life_seconds)
            self._mean = self._mean + weight * (probabilities - self._mean)
        self._mean_seconds = seconds
        return self._mean


class BoxTracker:
    """Matches boxes to tracks, the largest overlap first.

    Attributes:
        tracks: visible tracks, and lost ones that may return, sorted by number.
    """

    def __init__(self) -> None:
        self.tracks: list[Track] = []
        self._last_number = 0

    @property
    def visible(self) -> list[Track]:
        """The visible tracks, by number."""
        return [track for track in self.tracks if not track.lost]

    def detected(self, seconds: float, boxes: Sequence[Box]) -> list[Track]:
        """Update the tracks with all boxes of a detection, and return each box's track; call it in the order of time.

        A track without a box is kept for :data:`PATIENCE_SECONDS`. It is lost if it overlaps another face's box.
        """
        matched = self._match(seconds, boxes)
        # Drop tracks only after matching, because a face may still be there after a long time without detection.
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

    def _match(self, seconds: float, boxes: Sequence[Box]) -> dict[int, Track]:
        """Match boxes to tracks and return each matched box's track by its index."""
        sides = _sides(boxes)
        pairs = [
            (shared, -track.number, index, track)
            for track in self.tracks
            # A lost face that returns later is a new one.
            if not track.lost or seconds - (track.missed_seconds or seconds) <= PATIENCE_SECONDS
            for index, shared in enumerate(iou(_sides([track.box])[0], sides).tolist())
            if shared >= MIN_IOU
        ]
        matched: dict[int, Track] = {}
        # Sort by overlap, the largest first; at a tie the oldest track comes first.
        for _, _, index, track in sorted(pairs, key=lambda pair: pair[:3], reverse=True):
            if index not in matched and track not in matched.values():
                matched[index] = track
        return matched


def _stays(track: Track, seconds: float, boxes: Sequence[Box]) -> bool:
    """Record that a detection missed a track; return False if it was missed for too long."""
    if track.missed_seconds is None:
        track.missed_seconds = seconds
    track.lost = track.lost or bool((iou(_sides([track.box])[0], _sides(boxes)) > SAME_FACE_IOU).any())
    return seconds - track.missed_seconds <= PATIENCE_SECONDS


def _sides(boxes: Sequence[Box]) -> npt.NDArray[np.float64]:
    """Return N boxes as left, top, width and height: float64 (N, 4)."""
    return np.array([[*box] for box in boxes], dtype=np.float64).reshape(-1, 4)
