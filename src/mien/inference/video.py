"""The faces of a video, frame by frame: found now and then, followed in between, read in every frame, smoothed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.faces.crop import face_squares
from mien.inference.clip import Clip, ClipFrame
from mien.inference.following import Follower
from mien.inference.readings import Reading
from mien.inference.tracking import HALF_LIFE_SECONDS, Smoother, Tracker

if TYPE_CHECKING:
    from mien.faces.face import Box, Detector
    from mien.inference.classifier import Classifier

DETECT_EVERY_SECONDS = 0.33
"""A face that comes in is found this late at most. The Haar cascade takes as long as some fifteen frames otherwise do:
three times a second it leaves one core room for 30 frames/s at 640 x 480 (benchmarks/video.py)."""


@dataclass(frozen=True)
class TrackedReading:
    """One face in one frame.

    Attributes:
        track: the face's number over time, from 1.
        reading: smoothed over time, with the face's box and square of this frame.
        raw: of this frame alone.
    """

    track: int
    reading: Reading
    raw: Reading


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame and the faces in it.

    Attributes:
        number: from 0.
        pts: its time in units of the clip's time base.
        seconds: its time from the beginning of the file.
        rgb: the frame, upright, uint8 (H, W, 3).
        faces: by the number of their track; may be empty.
    """

    number: int
    pts: int
    seconds: float
    rgb: npt.NDArray[np.uint8]
    faces: list[TrackedReading]


@dataclass
class _Watched:
    """What is kept of a track from frame to frame."""

    follower: Follower
    smoother: Smoother


class VideoReader:
    """Reads the faces of frames that come one after the other, from a file or a camera.

    Args:
        classifier: what reads them.
        detector: what finds them.
        source: what the frames are of; each reading's ``source``.
        classes: as in :meth:`mien.inference.classifier.Classifier.predict`.
        threshold: as there.
        half_life_seconds: of the smoothing; 0 smooths nothing.
        detect_every_seconds: how often faces are looked for in whole frames; 0 for every frame. They are looked for
            at once, too, when one is lost from sight.

    Attributes:
        classes: class names of its readings.

    Raises:
        DataError: a scheme or threshold that does not suit the model; a time below 0.
    """

    def __init__(
        self,
        classifier: Classifier,
        detector: Detector,
        source: str,
        *,
        classes: str | None = None,
        threshold: float | None = None,
        half_life_seconds: float = HALF_LIFE_SECONDS,
        detect_every_seconds: float = DETECT_EVERY_SECONDS,
    ) -> None:
        for name, seconds in (("half-life", half_life_seconds), ("time between detections", detect_every_seconds)):
            if not 0 <= seconds < float("inf"):
                raise DataError(f"The {name} is a number of seconds, 0 or more; found {seconds:g}.")
        self._classifier, self._detector, self._source = classifier, detector, source
        self._scheme, self.classes = classifier.merging(classes, threshold)
        self._threshold = threshold
        self._half_life_seconds, self._detect_every_seconds = half_life_seconds, detect_every_seconds
        self._tracker = Tracker()
        self._watched: dict[int, _Watched] = {}
        self._looked_seconds = -float("inf")

    def read(self, seconds: float, rgb: npt.NDArray[np.uint8]) -> list[TrackedReading]:
        """The faces in the next frame, uint8 (H, W, 3), at a time after the last one's."""
        import cv2

        grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        # A microsecond's grace: three frames of a thirtieth are a tenth of a second, but not in floating point.
        due = seconds - self._looked_seconds >= self._detect_every_seconds - 1e-6
        # Also where faces are looked for anyway: one that is then overlooked is known by where it has moved to.
        lost = self._follow(grey)
        if due or lost:
            self._looked_seconds = seconds
            self._look(seconds, rgb, grey)
        seen = sorted(self._tracker.seen, key=lambda track: track.number)
        return self._readings(seconds, rgb, [(track.number, track.box) for track in seen])

    def _follow(self, grey: npt.NDArray[np.uint8]) -> bool:
        """Follow all faces; whether one was lost from sight."""
        lost = False
        for track in self._tracker.seen:
            box = self._watched[track.number].follower.follow(grey)
            self._tracker.followed(track.number, box)
            lost = lost or box is None
        return lost

    def _look(self, seconds: float, rgb: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8]) -> None:
        boxes = [face.box for face in self._detector.detect(rgb)]
        for number, box in zip(self._tracker.detected(seconds, boxes), boxes, strict=True):
            follower = Follower(grey, box)
            if number in self._watched:
                self._watched[number].follower = follower
            else:
                self._watched[number] = _Watched(follower, Smoother(self._half_life_seconds))
        self._watched = {number: each for number, each in self._watched.items() if number in self._tracker.tracks}

    def _readings(
        self, seconds: float, rgb: npt.NDArray[np.uint8], places: list[tuple[int, Box]]
    ) -> list[TrackedReading]:
        boxes = [box for _, box in places]
        squares = face_squares(rgb, boxes, self._detector.margin, self._classifier.manifest.input.size_px)
        shares = self._classifier.probabilities(squares)
        if self._scheme is not None:
            shares = self._scheme.merge_probabilities(shares, self._classifier.classes)
        readings = []
        for (number, box), square, scores in zip(places, squares, shares, strict=True):
            smoothed = self._watched[number].smoother.add(seconds, scores)
            raw, reading = (
                Reading(self._source, self.classes, values, self._threshold, box, square)
                for values in (scores, smoothed)
            )
            readings.append(TrackedReading(number, reading, raw))
        return readings


def read_video(clip: Clip, reader: VideoReader) -> Iterator[VideoFrame]:
    """All frames of a clip with their faces, one at a time, at bounded memory; then the clip is closed."""
    with clip:
        for frame in clip.frames():
            yield _with_faces(frame, reader)


def _with_faces(frame: ClipFrame, reader: VideoReader) -> VideoFrame:
    return VideoFrame(frame.number, frame.pts, frame.seconds, frame.rgb, reader.read(frame.seconds, frame.rgb))
