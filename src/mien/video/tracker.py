"""Track faces through frames: detected in key frames, tracked in between, classified and smoothed in each.

for frame in mien.track("talk.mp4"):             # a file, 0 for the first camera, "rtsp://..."
    for face in frame.faces: ...

tracker = mien.Tracker()                         # frames of your own
faces = tracker.update(rgb)
"""

import os
import re
import time
from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, TypeVar, Unpack

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.base.errors import DataError, without_password
from mien.base.images import open_image_source
from mien.base.preprocess import from_opencv, upright_rgb
from mien.faces.face import Detector, Face
from mien.inference.drawing import Look, draw_predictions
from mien.inference.face_reader import FaceReader
from mien.inference.onnx_classifier import OnnxClassifier
from mien.inference.prediction import Prediction
from mien.inference.predictor import Predictor, load
from mien.video.camera import live_frames
from mien.video.template_matching import TemplateMatcher
from mien.video.tracking import HALF_LIFE_SECONDS, BoxTracker, Track
from mien.video.video_file import DecodedFrame, VideoFile

T = TypeVar("T")

DETECT_EVERY_SECONDS = 0.5
"""Seconds between two key frames; a new face is detected at most this late. A detection costs as much as all other
processing of 15 to 20 frames (benchmarks/video.py of commit 2cbe9555)."""

AHEAD_BYTES = 48_000_000
"""Largest size of frames that are decoded ahead, so that faces are detected while earlier frames are processed."""


@dataclass(frozen=True)
class TrackedFace:
    """A face in one frame.

    Attributes:
        track: number of the face over time, from 1.
        prediction: prediction smoothed over time; box and crop are of this frame, the score is of the last detection.
        detected: True if the detector found the face in this frame, False if it did not, None if it did not run.
    """

    track: int
    prediction: Prediction
    detected: bool | None = None

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
    rgb: npt.NDArray[np.uint8] = field(repr=False)
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


class Tracker:
    """Tracks and classifies the faces of consecutive frames. A face keeps its number, and answers are smoothed.

    Use one tracker for each source, with its frames in order, from one thread.

    Args:
        model: a loaded model, or a name as for :func:`mien.load`. ``"fast"`` halves the time per face.
        detector: face detector, as in :meth:`mien.Predictor.predict`.
        source: name of the file or camera, for ``source`` of each prediction.
        classes: label scheme, as in :meth:`mien.Predictor.predict`.
        half_life_seconds: half-life of the smoothing of each face's probabilities; 0 disables it.
        detect_every_seconds: time between two detections in whole frames; 0 detects in every frame. A lost face
            triggers a detection at once.

    Attributes:
        reader: detector, cropper and classifier that all predictions share.
        source: the given name.

    Raises:
        DataError: the label scheme does not match the model, or a time is negative (``seconds-range``).
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
        detect_every_seconds: float = DETECT_EVERY_SECONDS,
    ) -> None:
        for name, seconds in (("half-life", half_life_seconds), ("time between detections", detect_every_seconds)):
            if not 0 <= seconds < float("inf"):
                words = f"The {name} must be a number of seconds, 0 or more; found {seconds:g}."
                raise DataError(words, code="seconds-range")
        # Use one thread, which is enough for a few faces: others would spin while frames are decoded.
        predictor = model if isinstance(model, OnnxClassifier) else load(model, threads=1)
        self.reader: FaceReader = FaceReader(predictor, detector, classes=classes)
        self.source: str = source
        self._half_life_seconds, self._detect_every_seconds = half_life_seconds, detect_every_seconds
        self._boxes = BoxTracker()
        self._shape: tuple[int, ...] = ()
        self._key_seconds = self._seconds = -float("inf")
        self._began: float | None = None

    def update(
        self, frame: npt.NDArray[np.uint8] | Image.Image, time_seconds: float | None = None, *, bgr: bool = False
    ) -> list[TrackedFace]:
        """Track and classify the faces of the next frame.

        Args:
            frame: an array uint8 (H, W, 3) RGB, 0..255, upright; or a PIL image.
            time_seconds: time of the frame, not before that of the last one; None uses the current time.
            bgr: True if the array's channels are in OpenCV's order.

        Returns:
            Faces sorted by track; empty if there are none.

        Raises:
            DataError: the frame is no image, or its time is before that of the last one (``seconds-order``).
            ModelError: the face detector cannot be used.
        """
        if time_seconds is None:
            self._began = time.monotonic() if self._began is None else self._began
            time_seconds = time.monotonic() - self._began
        if not self._seconds <= time_seconds < float("inf"):
            words = (
                f"A frame at {time_seconds:g} s came after one at {self._seconds:g} s. Give frames in order of time."
            )
            raise DataError(words, code="seconds-order")
        rgb = upright_rgb(open_image_source(from_opencv(frame) if bgr else frame))
        return self.follow(time_seconds, rgb, self.detect(rgb) if self.is_key(time_seconds) else None)

    def is_key(self, seconds: float) -> bool:
        """Return whether to detect faces in the next frame, at this time. This depends only on times."""
        # Tolerance of 1 us: three frames of 1/30 s are 0.1 s, but not in floating point.
        if seconds - self._key_seconds < self._detect_every_seconds - 1e-6:
            return False
        self._key_seconds = seconds
        return True

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Detect faces in a key frame, uint8 (H, W, 3), the largest first. It may run in parallel to :meth:`follow`."""
        return self.reader.detect(rgb)

    def follow(self, seconds: float, rgb: npt.NDArray[np.uint8], found: list[Face] | None) -> list[TrackedFace]:
        """Update as :meth:`update` does, with the faces detected in the frame; None if the frame is no key frame."""
        self._seconds = seconds
        if rgb.shape != self._shape:  # tracked positions are not valid in a frame of another size
            self._shape = rgb.shape
            self._boxes.tracks.clear()
            found = self.detect(rgb) if found is None else found
        # Track even if faces were detected: a face that the detector missed keeps its tracked position.
        if self._track(rgb) and found is None:
            found = self.detect(rgb)
        joined = None if found is None else self._join(seconds, rgb, found)
        tracks = self._boxes.visible
        shown = [track.shown for track in tracks]
        crops = self.reader.crop(rgb, shown)
        faces = []
        for track, face, crop, row in zip(tracks, shown, crops, self.reader.classify_found(crops), strict=True):
            smoothed = track.smoothed(seconds, row, self._half_life_seconds)
            inside = face.box.clipped(rgb.shape[1], rgb.shape[0])
            prediction = self.reader.prediction(
                self.source, smoothed, crop, box=inside, detection_score=face.score, landmarks=face.landmarks
            )
            faces.append(TrackedFace(track.number, prediction, None if joined is None else track in joined))
        return faces

    def _track(self, rgb: npt.NDArray[np.uint8]) -> bool:
        """Track all faces and return whether one was lost."""
        lost = False
        for track in self._boxes.visible:
            assert track.matcher is not None
            box = track.matcher.follow(rgb)
            if box is None:
                track.lost = lost = True
            else:
                track.box = box
        return lost

    def _join(self, seconds: float, rgb: npt.NDArray[np.uint8], faces: list[Face]) -> list[Track]:
        """Assign detected faces to tracks and return the track of each."""
        tracks = self._boxes.detected(seconds, [face.box for face in faces])
        for track, face in zip(tracks, faces, strict=True):
            track.matcher, track.face = TemplateMatcher(rgb, face.box), face
        return tracks


def track(
    source: str | os.PathLike[str] | int,
    model: Predictor | str | os.PathLike[str] = "default",
    *,
    classes: str | None = None,
    half_life_seconds: float = HALF_LIFE_SECONDS,
    detect_every_seconds: float = DETECT_EVERY_SECONDS,
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
        DataError: a file is not a video or cannot be decoded; a camera or stream cannot be opened (``camera-missing``)
            or was lost (``camera-lost``); the label scheme does not match the model.
        ModelError: see :func:`mien.load`, or the face detector cannot be used.
        MissingExtraError: PyAV is not installed.

    Example:
        >>> import mien
        >>> for frame in mien.track(0):  # doctest: +SKIP
        ...     print([(face.track, face.prediction.answer) for face in frame.faces])
    """
    if isinstance(source, bool) or not isinstance(source, str | os.PathLike | int):
        words = f"A video is a file, the number of a camera or an address; found {type(source).__name__}."
        raise DataError(words, code="video-type")
    if isinstance(source, str) and source.isdecimal():
        source = int(source)  # the command line gives a camera's number as text
    name = f"camera {source}" if isinstance(source, int) else os.fspath(source)
    tracker = Tracker(
        model,
        detector=detector,
        source=without_password(name),
        classes=classes,
        half_life_seconds=half_life_seconds,
        detect_every_seconds=detect_every_seconds,
    )
    if isinstance(source, int) or re.match(r"\w{2,}://", name):
        live = enumerate(live_frames(source if isinstance(source, int) else name))
        return (VideoFrame(number, seconds, rgb, tracker.update(rgb, seconds)) for number, (seconds, rgb) in live)
    return track_file(VideoFile(source), tracker)


def track_file(video: VideoFile, tracker: Tracker) -> Generator[VideoFrame, None, None]:
    """Yield all frames of a video with their faces, with bounded memory, and close the video at the end.

    Two threads decode and detect ahead; the results are the same as without them.
    """

    def with_faces(frame: DecodedFrame) -> tuple[DecodedFrame, Future[list[Face]] | None]:
        return frame, pool.submit(tracker.detect, frame.rgb) if tracker.is_key(frame.seconds) else None

    ahead = min(max(AHEAD_BYTES // (3 * video.width * video.height), 2), 40)
    with (
        video,
        ThreadPoolExecutor(1, "detect") as pool,
        closing(in_background(map(with_faces, video.frames()), ahead)) as frames,
    ):
        for frame, found in frames:
            faces = tracker.follow(frame.seconds, frame.rgb, None if found is None else found.result())
            yield VideoFrame(frame.number, frame.seconds, frame.rgb, faces)


def in_background(items: Iterable[T], size: int) -> Generator[T, None, None]:
    """Yield items that another thread produces, at most ``size`` of them ahead."""
    made, end = iter(items), object()
    with ThreadPoolExecutor(1, "ahead") as pool:
        ahead: deque[Future[Any]] = deque(pool.submit(next, made, end) for _ in range(size))
        try:
            while (item := ahead.popleft().result()) is not end:
                ahead.append(pool.submit(next, made, end))
                yield item
        finally:
            for waiting in ahead:
                waiting.cancel()
