"""Track faces through frames: detected in some, interpolated in between, classified and smoothed in each.

A track follows a position, not a person, so a person who returns later gets a new track.

for frame in mien.track("talk.mp4"):             # a file, 0 for the first camera, "rtsp://..."
    for face in frame.faces: ...

tracker = mien.Tracker()                         # frames of your own
faces = tracker.update(rgb)
"""

import os
import re
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np
from PIL import Image

from mien.base.arrays import Floats, Pixels
from mien.base.errors import DataError, without_password
from mien.base.images import open_image_source
from mien.base.preprocess import from_opencv, upright_rgb
from mien.base.processes import in_background
from mien.faces.face import Box, Detector, Face, iou
from mien.inference.drawing import Look, draw_predictions
from mien.inference.face_reader import FaceReader
from mien.inference.onnx_classifier import OnnxClassifier
from mien.inference.prediction import Prediction
from mien.inference.predictor import Predictor, load
from mien.video.camera import live_frames
from mien.video.video_file import DecodedFrame, VideoFile

Detect = Callable[[Pixels], list[Face]]
Detections = Iterator[tuple[DecodedFrame, list[Face] | None]]

DETECT_EVERY_SECONDS = 0.5
"""Seconds between two detections in a file; boxes in between are interpolated."""

LIVE_DETECT_EVERY_SECONDS = 0.1
"""Seconds between two detections of a camera; boxes are kept in between."""

AHEAD_BYTES = 64_000_000
"""Largest size of the frames between two detections, and of those that were detected ahead."""

MIN_IOU = 0.3
"""Smallest overlap (intersection over union) of consecutive boxes of a track."""

PATIENCE_SECONDS = 1.0
"""A track is kept for this time after a detection first missed its face. The time begins at the first miss, not at the
last detection, because detections may be further apart."""

HALF_LIFE_SECONDS = 0.2
"""Half-life of the smoothing: predictions this old have half the weight. Facial expressions last 0.5 to 4 s (Matsumoto
& Hwang 2011). At 30 frames/s, 0.2 s leaves 6% of the variance of independent noise, and follows four fifths of a sudden
change within half a second."""


_TOLERANCE_SECONDS = 1e-6  # three frames of 1/30 s are 0.1 s, but not in floating point


@dataclass(frozen=True)
class TrackedFace:
    """A face in one frame.

    Attributes:
        track: number of the face over time, from 1.
        prediction: prediction smoothed over time; box and crop are of this frame, the score is of the last detection.
        detected: whether the face was detected in this frame; if not, its box follows from other frames.
    """

    track: int
    prediction: Prediction
    detected: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return the track and :meth:`mien.Prediction.to_dict` without its source, JSON-ready."""
        said = self.prediction.to_dict()
        del said["source"]
        return {"track": self.track, **said}


@dataclass(frozen=True, eq=False)
class VideoFrame:
    """A frame of a video, with the faces in it.

    Attributes:
        number: number of the frame, from 0.
        time_seconds: time since the start of the file, or since the first frame of a camera.
        rgb: the frame, upright, uint8 (H, W, 3).
        faces: faces sorted by track; may be empty.
    """

    number: int
    time_seconds: float
    rgb: Pixels = field(repr=False)
    faces: list[TrackedFace]

    def to_dict(self) -> dict[str, Any]:
        """Return frame (its number), time_seconds, image (width and height) and faces, JSON-ready."""
        return {
            "frame": self.number,
            "time_seconds": round(self.time_seconds, 6),
            "image": {"width": self.rgb.shape[1], "height": self.rgb.shape[0]},
            "faces": [face.to_dict() for face in self.faces],
        }

    def draw(self, **look: Unpack[Look]) -> Image.Image:
        """Draw the frame with the numbers, boxes and answers of its faces; ``look``: see :meth:`Photo.draw`."""
        tracks = [face.track for face in self.faces]
        return draw_predictions(self.rgb, [face.prediction for face in self.faces], tracks, **look)


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


class Tracker:
    """Tracks and classifies the faces of consecutive frames. A face keeps its number, and answers are smoothed.

    Use one tracker for each source, with its frames in order, from one thread.

    Args:
        model: a loaded model, or a name as for :func:`mien.load`. ``"fast"`` halves the time per face.
        detector: face detector, as in :meth:`mien.Predictor.predict`.
        source: name of the file or camera, for ``source`` of each prediction.
        classes: label scheme, as in :meth:`mien.Predictor.predict`.
        half_life_seconds: half-life of the smoothing of each face's probabilities; 0 disables it.
        detect_every_seconds: time between two detections in whole frames; 0 detects in every frame. The default is
            0.1 s for :meth:`update`, which extrapolates boxes, and 0.5 s for files, in which they are interpolated.
        frame_rate: frames a second of a file whose frames are given without times. None uses the clock, for cameras.

    Attributes:
        reader: detector, cropper and classifier that all predictions share.
        source: the given name.

    Raises:
        DataError: the label scheme does not match the model, or a time or the frame rate is impossible (``options``).
        ModelError: see :func:`mien.load`.
    """

    def __init__(
        self,
        model: OnnxClassifier | str | os.PathLike[str] = "default",
        *,
        detector: Detector | None = None,
        source: str = "camera",
        classes: str | None = None,
        half_life_seconds: float = HALF_LIFE_SECONDS,
        detect_every_seconds: float | None = None,
        frame_rate: float | None = None,
    ) -> None:
        times = {"half-life": half_life_seconds, "time between detections": detect_every_seconds or 0.0}
        for name, seconds in times.items():
            if not 0 <= seconds < float("inf"):
                raise DataError(f"The {name} must be in seconds, 0 or more; found {seconds:g}.", code="options")
        if frame_rate is not None and not frame_rate > 0:
            raise DataError(f"The frame rate must be above 0; found {frame_rate:g}.", code="options")
        # Use one thread, which is enough for a few faces: others would spin while frames are decoded.
        predictor = model if isinstance(model, OnnxClassifier) else load(model, threads=1)
        self.reader: FaceReader = FaceReader(predictor, detector, classes=classes)
        self.source: str = source
        self._half_life_seconds, self._detect_every_seconds = half_life_seconds, detect_every_seconds
        self._tracks, self._frame_rate, self._frames = IouTracker(), frame_rate, 0
        self._shape: tuple[int, ...] = ()
        self._detected_seconds = self._seconds = -float("inf")
        self._began: float | None = None

    def update(
        self, frame: Pixels | Image.Image, time_seconds: float | None = None, *, bgr: bool = False
    ) -> list[TrackedFace]:
        """Track and classify the faces of the next frame.

        Args:
            frame: an array uint8 (H, W, 3) RGB, 0..255, upright; or a PIL image.
            time_seconds: time of the frame, not before that of the last one; None uses ``frame_rate`` or the clock.
            bgr: True if the array's channels are in OpenCV's order.

        Returns:
            Faces sorted by track; empty if there are none.

        Raises:
            DataError: the frame is no image, or its time is before that of the last one (``options``).
            ModelError: the face detector cannot be used.
        """
        if time_seconds is None and self._frame_rate is not None:
            time_seconds = self._frames / self._frame_rate
        if time_seconds is None:
            self._began = time.monotonic() if self._began is None else self._began
            time_seconds = time.monotonic() - self._began
        if not self._seconds <= time_seconds < float("inf"):
            message = f"A frame at {time_seconds:g} s came after one at {self._seconds:g} s. Sort frames by time."
            raise DataError(message, code="options")
        rgb = upright_rgb(open_image_source(from_opencv(frame) if bgr else frame))
        self._seconds, self._frames = time_seconds, self._frames + 1
        every = LIVE_DETECT_EVERY_SECONDS if self._detect_every_seconds is None else self._detect_every_seconds
        is_due = time_seconds - self._detected_seconds >= every - _TOLERANCE_SECONDS or rgb.shape != self._shape
        visible = self._join(time_seconds, rgb.shape, self.reader.detect(rgb)) if is_due else self._tracks.visible
        return self._classify(time_seconds, rgb, {track: track.at(time_seconds) for track in visible}, is_due)

    def _join(self, seconds: float, shape: tuple[int, ...], faces: list[Face]) -> list[Track]:
        if shape != self._shape:  # positions in a frame of another size are not comparable
            self._shape = shape
            self._tracks.tracks.clear()
        self._detected_seconds = seconds
        self._tracks.update(seconds, faces)
        return self._tracks.visible

    def _classify(
        self, seconds: float, rgb: Pixels, faces: Mapping[Track, Face], is_detected: bool
    ) -> list[TrackedFace]:
        crops = self.reader.crop(rgb, list(faces.values()))
        classified = []
        for (track, face), crop, row in zip(faces.items(), crops, self.reader.classify_found(crops), strict=True):
            smoothed = track.smoothed(seconds, row, self._half_life_seconds)
            prediction = self.reader.prediction(self.source, smoothed, crop, face.clipped(rgb.shape[1], rgb.shape[0]))
            classified.append(TrackedFace(track.number, prediction, is_detected))
        return classified

    def _follow(self, frames: Detections) -> Iterator[VideoFrame]:
        """Track and classify the faces of :func:`detections`, interpolated between two of them."""
        waiting: list[DecodedFrame] = []
        for last, faces in frames:
            waiting.append(last)
            if faces is None:
                continue
            start, former = self._detected_seconds, {track: track.face for track in self._tracks.visible}
            visible = self._join(last.seconds, last.rgb.shape, faces)
            for frame in waiting:
                if frame is last:
                    placed = {track: track.face for track in visible}
                else:
                    weight = (frame.seconds - start) / (last.seconds - start)
                    known = (track for track in visible if track in former)
                    placed = {track: interpolate(former[track], track.face, weight) for track in known}
                tracked = self._classify(frame.seconds, frame.rgb, placed, frame is last)
                yield VideoFrame(frame.number, frame.seconds, frame.rgb, tracked)
            waiting.clear()


def track(
    source: str | os.PathLike[str] | int,
    model: Predictor | str | os.PathLike[str] = "default",
    *,
    classes: str | None = None,
    half_life_seconds: float = HALF_LIFE_SECONDS,
    detect_every_seconds: float | None = None,
    detector: Detector | None = None,
) -> Generator[VideoFrame, None, None]:
    """Track and classify the faces of a video file, camera or network stream, frame by frame.

    Args:
        source: path of a video file, number of a camera (0 is the first), or address of a stream, such as
            ``"rtsp://host/path"``. For a camera or stream only the newest frame is used, so that answers never lag.
        model: model, as in :class:`Tracker`, which also explains the arguments below.
        classes: label scheme.
        half_life_seconds: half-life of the smoothing.
        detect_every_seconds: time between two detections.
        detector: face detector.

    Returns:
        Generator of frames, with bounded memory: all frames of a file in order, or those of a camera or stream until it
        ends. Its ``close()``, or the end of ``with contextlib.closing(...)``, releases the camera or file.

    Raises:
        DataError: a file is not a video or cannot be decoded; a camera or stream cannot be opened, or was lost
            (``camera-missing``); the label scheme does not match the model.
        ModelError: see :func:`mien.load`, or the face detector cannot be used.
        MissingExtraError: PyAV is not installed.

    Example:
        >>> import mien
        >>> for frame in mien.track(0):  # doctest: +SKIP
        ...     print([(face.track, face.prediction.answer) for face in frame.faces])
    """
    if isinstance(source, bool) or not isinstance(source, str | os.PathLike | int):
        raise DataError(f"A video is a file, camera number or address; found {type(source).__name__}.", code="options")
    if isinstance(source, str) and source.isdecimal():
        source = int(source)  # the command line gives a camera's number as text
    name = f"camera {source}" if isinstance(source, int) else os.fspath(source)
    times: dict[str, Any] = {"half_life_seconds": half_life_seconds, "detect_every_seconds": detect_every_seconds}
    tracker = Tracker(model, detector=detector, source=without_password(name), classes=classes, **times)
    if isinstance(source, int) or re.match(r"\w{2,}://", name):
        live = enumerate(live_frames(source if isinstance(source, int) else name))
        return (VideoFrame(number, seconds, rgb, tracker.update(rgb, seconds)) for number, (seconds, rgb) in live)
    return track_file(VideoFile(source), tracker)


def track_file(video: VideoFile, tracker: Tracker) -> Generator[VideoFrame, None, None]:
    """Yield all frames of a video with their faces, decoded and detected ahead by two threads; then close it."""
    every = DETECT_EVERY_SECONDS if tracker._detect_every_seconds is None else tracker._detect_every_seconds
    most = max(AHEAD_BYTES // (3 * video.width * video.height), 2)
    with (
        video,
        closing(in_background(video.frames(), 2)) as frames,
        closing(in_background(detections(frames, tracker.reader.detect, every, most), most)) as detected,
    ):
        yield from tracker._follow(detected)


def detections(frames: Iterable[DecodedFrame], detect: Detect, every_seconds: float, max_frames: int) -> Detections:
    """Yield frames in order with the faces detected in them, or None for those between two detections.

    Between them all faces of one detection are also in the other: where they differ, the frame in the middle is
    detected, too, so that it is known when a face appears, and a fast one is found where it is. The first and last
    frame of a video, and of each size, are detected.
    """
    run: list[DecodedFrame] = []
    first: list[Face] = []
    for frame in frames:
        if run and frame.rgb.shape != run[0].rgb.shape:
            if len(run) > 1:
                yield from _between(run, first, detect(run[-1].rgb), detect)
            run = []
        run.append(frame)
        if len(run) == 1:
            first = detect(frame.rgb)
            yield frame, first
        elif frame.seconds - run[0].seconds >= every_seconds - _TOLERANCE_SECONDS or len(run) > max_frames:
            last = detect(frame.rgb)
            yield from _between(run, first, last, detect)
            run, first = [frame], last
    if len(run) > 1:
        yield from _between(run, first, detect(run[-1].rgb), detect)


def _between(run: list[DecodedFrame], first: list[Face], last: list[Face], detect: Detect) -> Detections:
    """Yield the frames after the first, with the faces of the last, and of those in the middle that need detection."""
    if len(run) > 2 and len(match(first, last)) < max(len(first), len(last)):
        middle = len(run) // 2
        found = detect(run[middle].rgb)
        yield from _between(run[: middle + 1], first, found, detect)
        yield from _between(run[middle:], found, last, detect)
    else:
        yield from ((frame, None) for frame in run[1:-1])
        yield run[-1], last


def match(former: Sequence[Face], faces: Sequence[Face]) -> dict[int, int]:
    """Pair faces of two detections by overlap, from :data:`MIN_IOU` on, the largest first: former index -> index."""
    sides = np.array([face.box for face in faces], dtype=np.float64).reshape(-1, 4)
    pairs = [
        (-overlap, old, new)
        for old, face in enumerate(former)
        for new, overlap in enumerate(iou(np.array(face.box, dtype=np.float64), sides).tolist())
        if overlap >= MIN_IOU
    ]
    matched: dict[int, int] = {}
    for _, old, new in sorted(pairs):
        if old not in matched and new not in matched.values():
            matched[old] = new
    return matched


def interpolate(first: Face, last: Face, weight: float) -> Face:
    """Interpolate a face linearly: ``first`` at weight 0, ``last`` at 1. The score is that of ``first``."""
    sides = (round(old + weight * (new - old)) for old, new in zip(first.box, last.box, strict=True))
    landmarks = {
        name: (x + weight * (last.landmarks[name][0] - x), y + weight * (last.landmarks[name][1] - y))
        for name, (x, y) in first.landmarks.items()
        if name in last.landmarks
    }
    return Face(Box(*sides), first.score, landmarks)
