"""The faces of a video, frame by frame: detected at intervals, tracked in between, classified and smoothed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.faces.find import find_detector
from mien.inference.face_reader import FaceReader
from mien.inference.prediction import Prediction
from mien.video.template_matching import TemplateMatcher
from mien.video.tracking import HALF_LIFE_SECONDS, Smoother, Tracker
from mien.video.video_file import VideoFile

if TYPE_CHECKING:
    from mien.faces.face import Box, Detector
    from mien.inference.predictor import Predictor

DETECT_EVERY_SECONDS = 0.33
"""A new face is detected at most this late. A detection by the Haar cascade costs as much as about fifteen other
frames; at three a second one core still keeps up with 30 frames/s at 640 x 480 (benchmarks/video.py)."""


@dataclass(frozen=True)
class TrackedPrediction:
    """One face in one frame.

    Attributes:
        track: the face's number over time, from 1.
        prediction: smoothed over time, with the box and face crop of this frame, and the detector's score at its last
            detection.
        raw: the prediction of this frame alone.
        detected: whether the detector found it in this frame; None if the face was only tracked.
    """

    track: int
    prediction: Prediction
    raw: Prediction
    detected: bool | None = None


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """One frame and the faces in it.

    Attributes:
        number: from 0.
        pts: its time in units of the video's time base.
        seconds: its time from the start of the file.
        rgb: the frame, upright, uint8 (H, W, 3).
        faces: sorted by track; may be empty.
    """

    number: int
    pts: int
    seconds: float
    rgb: npt.NDArray[np.uint8]
    faces: list[TrackedPrediction]


@dataclass(frozen=True)
class _TrackState:
    """The state of a track between frames."""

    matcher: TemplateMatcher
    smoother: Smoother
    score: float


class VideoPredictor:
    """Predicts the faces of consecutive frames, from a file or a camera.

    Args:
        predictor: the model.
        detector: detects the faces.
        source: name of the file or camera; each prediction's ``source``.
        classes: as in :meth:`mien.inference.predictor.Predictor.predict`.
        threshold: as there.
        half_life_seconds: half-life of the smoothing; 0 is off.
        detect_every_seconds: time between two detections in whole frames; 0 detects in every frame. A face that is
            lost causes a detection at once.

    Attributes:
        classes: class names of its predictions.
        fields: as :attr:`mien.inference.prediction.Prediction.fields`.
        answers: all that it may answer.
        score_range: the lowest and the highest score of its detector.

    Raises:
        DataError: a scheme or threshold that does not suit the model; a time below 0 (``seconds-range``).
    """

    def __init__(
        self,
        predictor: Predictor,
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
                raise DataError(
                    f"The {name} must be a number of seconds, 0 or more; found {seconds:g}.", code="seconds-range"
                )
        self._reader, self._source = FaceReader(predictor, detector, classes=classes, threshold=threshold), source
        self.classes: tuple[str, ...] = self._reader.classes
        self.fields: tuple[str, ...] = self._reader.fields
        self.answers: tuple[str, ...] = self._reader.answers
        self.score_range: tuple[float, float] = detector.score_range
        self._half_life_seconds, self._detect_every_seconds = half_life_seconds, detect_every_seconds
        self._tracker = Tracker()
        self._states: dict[int, _TrackState] = {}
        self._detected_seconds = -float("inf")

    def predict(self, seconds: float, rgb: npt.NDArray[np.uint8]) -> list[TrackedPrediction]:
        """Track and classify the faces of the next frame.

        Args:
            seconds: the frame's time, later than that of the last frame.
            rgb: the upright frame, uint8 (H, W, 3).

        Returns:
            The faces in it, sorted by track.

        Raises:
            ModelError: the face detector cannot be used.
        """
        import cv2

        grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
        # With a tolerance of 1 us: three frames of 1/30 s are 0.1 s, but not in floating point.
        due = seconds - self._detected_seconds >= self._detect_every_seconds - 1e-6
        # Also before a detection: a face that the detector then misses keeps its tracked position.
        lost = self._track(grey)
        found = None
        if due or lost:
            self._detected_seconds = seconds
            found = self._detect(seconds, rgb, grey)
        seen = sorted(self._tracker.visible, key=lambda track: track.number)
        return self._classify(seconds, rgb, [(track.number, track.box) for track in seen], found)

    def prediction(
        self,
        probabilities: npt.NDArray[np.float64],
        crop: npt.NDArray[np.uint8] | None,
        box: Box,
        detection_score: float | None = None,
    ) -> Prediction:
        """One prediction of probabilities of :attr:`classes`, float64 (C,), of a face in this box."""
        return self._reader.prediction(self._source, probabilities, crop, box=box, detection_score=detection_score)

    def _track(self, grey: npt.NDArray[np.uint8]) -> bool:
        """Track all faces; returns whether one was lost."""
        lost = False
        for track in self._tracker.visible:
            box = self._states[track.number].matcher.follow(grey)
            self._tracker.followed(track.number, box)
            lost = lost or box is None
        return lost

    def _detect(self, seconds: float, rgb: npt.NDArray[np.uint8], grey: npt.NDArray[np.uint8]) -> set[int]:
        """Detect faces; returns the numbers of their tracks."""
        faces = self._reader.detect(rgb)
        numbers = self._tracker.detected(seconds, [face.box for face in faces])
        for number, face in zip(numbers, faces, strict=True):
            before = self._states.get(number)
            smoother = Smoother(self._half_life_seconds) if before is None else before.smoother
            self._states[number] = _TrackState(TemplateMatcher(grey, face.box), smoother, face.score)
        self._states = {number: each for number, each in self._states.items() if number in self._tracker.tracks}
        return set(numbers)

    def _classify(
        self, seconds: float, rgb: npt.NDArray[np.uint8], tracked: list[tuple[int, Box]], found: set[int] | None
    ) -> list[TrackedPrediction]:
        crops = self._reader.crop(rgb, [box for _, box in tracked])
        predictions = []
        for (number, box), crop, row in zip(tracked, crops, self._reader.classify(crops), strict=True):
            state = self._states[number]
            smoothed = state.smoother.add(seconds, row)
            inside = box.inside(rgb.shape[1], rgb.shape[0])
            raw, prediction = (self.prediction(values, crop, inside, state.score) for values in (row, smoothed))
            detected = None if found is None else number in found
            predictions.append(TrackedPrediction(number, prediction, raw, detected))
        return predictions


def predict_frames(video: VideoFile, predictor: VideoPredictor) -> Iterator[VideoFrame]:
    """All frames of a video with their faces, one at a time, at bounded memory. Closes the video at the end."""
    with video:
        for frame in video.frames():
            faces = predictor.predict(frame.seconds, frame.rgb)
            yield VideoFrame(frame.number, frame.pts, frame.seconds, frame.rgb, faces)


def predict_video(
    predictor: Predictor,
    path: str | os.PathLike[str],
    *,
    classes: str | None = None,
    threshold: float | None = None,
    half_life_seconds: float = HALF_LIFE_SECONDS,
    detect_every_seconds: float = DETECT_EVERY_SECONDS,
    detector: Detector | None = None,
) -> Iterator[VideoFrame]:
    """Detect, track and classify the faces of a video, a frame at a time, at bounded memory.

    Args:
        predictor: the model.
        path: a video file.
        classes: as in :meth:`mien.inference.predictor.Predictor.predict`.
        threshold: as there.
        half_life_seconds: half-life of the smoothing of each face's probabilities over time; 0 is off.
        detect_every_seconds: time between two detections in whole frames; faces are tracked in between.
        detector: detects the faces; :func:`mien.faces.find_detector` chooses one by default.

    Returns:
        All frames in order, each with the faces in it.

    Raises:
        DataError: a file that is no video, or cannot be decoded; a scheme or threshold that does not suit the model.
        ModelError: the face detector cannot be used.
        MissingExtraError: PyAV is not installed.
    """
    video_predictor = VideoPredictor(
        predictor,
        find_detector() if detector is None else detector,
        os.fspath(path),
        classes=classes,
        threshold=threshold,
        half_life_seconds=half_life_seconds,
        detect_every_seconds=detect_every_seconds,
    )
    return predict_frames(VideoFile(path), video_predictor)
