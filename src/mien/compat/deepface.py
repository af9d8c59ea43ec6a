"""``DeepFace.analyze`` and ``extract_faces`` with mien inside: ``from mien.compat import deepface as DeepFace``.

The calls of deepface's README, with results in the shapes of deepface 0.0.103. Predictions are mien's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.base.errors import DataError, MienWarning
from mien.compat.images import SEVEN, default_predictor, to_rgb, warn_ignored
from mien.faces.face import Box, Face
from mien.inference.face_reader import FaceReader

_MISSING_ACTIONS = frozenset({"age", "gender", "race"})


class UnusableError(DataError, ValueError):
    """Something that is not an image, or an unsupported argument; a ValueError too, as all of deepface's errors."""


class FaceNotDetected(UnusableError):  # noqa: N818 - the name that scripts catch
    """No face where ``enforce_detection`` requires one."""

    code = "face-not-detected"


def analyze(
    img_path: Any,
    actions: Sequence[str] = ("emotion", "age", "gender", "race"),
    enforce_detection: bool = True,
    detector_backend: str = "opencv",
    align: bool = True,
    anti_spoofing: bool = False,
    **ignored: Any,
) -> list[Any]:
    """Classify the expression of each face in an image.

    Args:
        img_path: a path, a data URI, an open binary file, or an array uint8 (H, W, 3) in OpenCV's order BGR, or BGRA;
            or a list of them, which returns a list of lists.
        actions: must contain ``"emotion"``. ``"age"``, ``"gender"`` and ``"race"`` are left out with a warning: mien
            classifies expressions alone.
        enforce_detection: raise where no face is detected; otherwise the whole image is classified as one face.
        detector_backend: ``"skip"`` classifies the whole image as a face; any other uses mien's detector.
        align: ignored; faces are cropped as in training and not rotated.
        anti_spoofing: not supported; must be False.
        **ignored: deepface's other arguments cause a warning.

    Returns:
        A dict for each face, the largest first: ``emotion`` (percent of each name), ``dominant_emotion``, ``region``
        (``x``, ``y``, ``w``, ``h`` inside the image, ``left_eye`` and ``right_eye`` as (x, y) or None; left is the
        person's own) and ``face_confidence``: the detector's score, at most 1, 0 without a detection.

    Raises:
        FaceNotDetected: no face, with ``enforce_detection``.
        UnusableError: something that is not an image, an unknown action, or no ``"emotion"`` among them.
        ModelError: the face detector cannot be used.
    """
    actions = [actions] if isinstance(actions, str) else list(actions)
    if isinstance(img_path, list):
        given = (actions, enforce_detection, detector_backend, align, anti_spoofing)
        return [analyze(each, *given, **ignored) for each in img_path]
    left_out = [each for each in actions if each in _MISSING_ACTIONS]
    if "emotion" not in actions or len(left_out) + actions.count("emotion") != len(actions):
        raise UnusableError(
            f"mien classifies expressions only: use actions=['emotion']; found {actions}.", code="deepface-actions"
        )
    if left_out:
        warnings.warn(
            MienWarning(f"mien classifies expressions only; left out: {', '.join(left_out)}.", code="actions-skipped"),
            stacklevel=2,
        )
    reader, rgb, faces = _find(img_path, detector_backend, enforce_detection, anti_spoofing, ignored)
    found = []
    for face in faces:
        if face.score:
            (prediction,) = reader.read(rgb, [face])
        else:
            (prediction,) = default_predictor().predict_crops(rgb, classes=SEVEN)
        emotion = {name: 100 * value for name, value in prediction.probabilities.items()}
        named = {"emotion": emotion, "dominant_emotion": prediction.top}
        found.append({**named, "region": _region(face, rgb), "face_confidence": _confidence(face)})
    return found


def extract_faces(
    img_path: Any,
    detector_backend: str = "opencv",
    enforce_detection: bool = True,
    align: bool = True,
    anti_spoofing: bool = False,
    **ignored: Any,
) -> list[dict[str, Any]]:
    """Detect the faces of an image and cut them out along their boxes.

    Args:
        img_path: one image. It and all others are as in :func:`analyze`.
        detector_backend: see there.
        enforce_detection: see there.
        align: see there.
        anti_spoofing: see there.
        **ignored: see there.

    Returns:
        A dict for each face, the largest first: ``face`` float64 (H, W, 3) in RGB, 0..1; ``facial_area`` as ``region``
        in :func:`analyze`; ``confidence`` as ``face_confidence`` there.

    Raises:
        FaceNotDetected: no face, with ``enforce_detection``.
        UnusableError: something that is not an image.
        ModelError: the face detector cannot be used.
    """
    _, rgb, faces = _find(img_path, detector_backend, enforce_detection, anti_spoofing, ignored)
    return [
        {"face": face.box.crop(rgb) / 255.0, "facial_area": _region(face, rgb), "confidence": _confidence(face)}
        for face in faces
    ]


def _find(
    image: Any, backend: str, enforce_detection: bool, anti_spoofing: bool, ignored: dict[str, Any]
) -> tuple[FaceReader, npt.NDArray[np.uint8], list[Face]]:
    """The image, uint8 (H, W, 3) RGB, and its faces; where none is allowed the whole image, with a score of 0."""
    if anti_spoofing:
        raise UnusableError("mien does not support anti_spoofing; leave it out.", code="deepface-anti-spoofing")
    reader = FaceReader(default_predictor(), classes=SEVEN)
    names = [name for name, value in ignored.items() if value]
    warn_ignored("deepface", [*names, *(["detector_backend"] * (backend not in {"opencv", "skip"}))], reader)
    try:
        rgb = to_rgb(image)
    except DataError as error:
        raise UnusableError(str(error), code=error.code) from None
    faces = [] if backend == "skip" else reader.detect(rgb)
    if not faces and enforce_detection and backend != "skip":
        raise FaceNotDetected(
            f"The {reader.detector.name} detected no face. Is it a photo of a face? With enforce_detection=False the "
            f"whole image is taken as one face."
        )
    return reader, rgb, faces or [Face(Box(0, 0, rgb.shape[1], rgb.shape[0]), 0.0, {})]


def _region(face: Face, rgb: npt.NDArray[np.uint8]) -> dict[str, Any]:
    """The box inside the image, as deepface counts it: without the image's last column and row."""
    (height, width), x, y = rgb.shape[:2], max(face.box.left, 0), max(face.box.top, 0)
    size = min(face.box.width, width - x - 1), min(face.box.height, height - y - 1)
    region: dict[str, Any] = dict(zip("xywh", (x, y, *size), strict=True))
    for eye in ("left_eye", "right_eye"):
        point = face.landmarks.get(eye)
        inside = point is not None and 0 <= point[0] < width and 0 <= point[1] < height
        region[eye] = (int(point[0]), int(point[1])) if point is not None and inside else None
    return region


def _confidence(face: Face) -> float:
    return round(min(face.score, 1.0), 2)
