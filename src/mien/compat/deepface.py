"""``DeepFace.analyze`` and ``extract_faces`` with mien inside: ``from mien.compat import deepface as DeepFace``.

Results have the shapes of deepface 0.0.103; faces, crops and probabilities are mien's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mien.compat.images import default_predictor, to_rgb
from mien.errors import DataError, MienWarning
from mien.faces.face import Box, Face
from mien.inference.face_reader import FaceReader
from mien.inference.prediction import Prediction
from mien.preprocess import face_square

_MISSING_ACTIONS = frozenset({"age", "gender", "race"})

FULL_CONFIDENCE_WINDOWS = 100.0
"""The Haar cascade's score is a number of windows, no probability: ``face_confidence`` is it over this, at most 1."""


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
    expand_percentage: int = 0,
    silent: bool = False,
    anti_spoofing: bool = False,
) -> list[dict[str, Any]] | list[list[dict[str, Any]]]:
    """Classify the expression of each face in an image, or in several.

    Args:
        img_path: a path, a data URI, an open binary file, or an array uint8 (H, W, 3) in OpenCV's order BGR; or a
            list of these, or an array (N, H, W, 3). BGRA is taken too.
        actions: must contain ``"emotion"``. ``"age"``, ``"gender"`` and ``"race"`` are left out with a warning: mien
            classifies expressions alone.
        enforce_detection: raise where no face is detected; otherwise the whole image is classified as one face.
        detector_backend: ``"skip"`` classifies the whole image as a face; any other uses mien's detector.
        align: ignored; faces are cropped as in training and not rotated.
        expand_percentage: ignored.
        silent: ignored; nothing is ever printed.
        anti_spoofing: not supported; must be False.

    Returns:
        A dict for each face, the largest first: ``emotion`` (percent of each name), ``dominant_emotion``, ``region``
        (``x``, ``y``, ``w``, ``h`` inside the image, ``left_eye`` and ``right_eye`` as (x, y) or None; left is the
        person's own) and ``face_confidence``: the detector's score, 0..1, 0 without a detection; for the Haar
        cascade see :data:`FULL_CONFIDENCE_WINDOWS`. For several images a list of such lists.

    Raises:
        FaceNotDetected: no face, with ``enforce_detection``.
        UnusableError: something that is not an image, an unknown action, or no ``"emotion"`` among them.
        ModelError: the face detector cannot be used.
    """
    actions = [actions] if isinstance(actions, str) else list(actions)
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
    reader = FaceReader(default_predictor())
    _check_settings(reader, detector_backend, expand_percentage, anti_spoofing)
    skip = detector_backend == "skip"
    several = isinstance(img_path, list) or (isinstance(img_path, np.ndarray) and img_path.ndim == 4)
    results = [_analyze(reader, each, enforce_detection, skip) for each in (img_path if several else [img_path])]
    return results if several else results[0]


def extract_faces(
    img_path: Any,
    detector_backend: str = "opencv",
    enforce_detection: bool = True,
    align: bool = True,
    expand_percentage: int = 0,
    grayscale: bool = False,
    color_face: str = "rgb",
    normalize_face: bool = True,
    anti_spoofing: bool = False,
) -> list[dict[str, Any]]:
    """Detect the faces of an image and cut them out.

    Args:
        img_path: one image, as :func:`analyze` takes it.
        detector_backend: as in :func:`analyze`.
        enforce_detection: raise where no face is detected; otherwise the whole image is one face.
        align: ignored; faces are not rotated.
        expand_percentage: ignored; a face is cut out along its box.
        grayscale: as ``color_face="gray"``.
        color_face: order of the channels: ``"rgb"``, ``"bgr"`` or ``"gray"``.
        normalize_face: pixels are float64, 0..1, instead of uint8.
        anti_spoofing: not supported; must be False.

    Returns:
        A dict for each face, the largest first: ``face`` (H, W, 3), or (H, W) in grey; ``facial_area`` as ``region``
        in :func:`analyze`; ``confidence`` as ``face_confidence`` there.

    Raises:
        FaceNotDetected: no face, with ``enforce_detection``.
        UnusableError: something that is not an image, or another ``color_face``.
        ModelError: the face detector cannot be used.
    """
    colour = "gray" if grayscale else color_face
    if colour not in {"rgb", "bgr", "gray"}:
        raise UnusableError(f"color_face must be rgb, bgr or gray; found {colour!r}.", code="deepface-colour")
    reader = FaceReader(default_predictor())
    _check_settings(reader, detector_backend, expand_percentage, anti_spoofing)
    rgb, faces = _detect(reader, img_path, enforce_detection, skip=detector_backend == "skip")
    extracted = []
    for face in faces or [_whole(rgb)]:
        cut = _in_colour(_cut(rgb, face.box), colour)
        extracted.append(
            {
                "face": cut / 255.0 if normalize_face else cut,
                "facial_area": _region(face, rgb.shape[1], rgb.shape[0]),
                "confidence": _confidence(face.score),
            }
        )
    return extracted


def _check_settings(reader: FaceReader, detector_backend: str, expand_percentage: int, anti_spoofing: bool) -> None:
    """Warn about what is ignored. Raises :class:`UnusableError` for what cannot be."""
    if anti_spoofing:
        raise UnusableError("mien does not support anti_spoofing; leave it out.", code="deepface-anti-spoofing")
    given = {"detector_backend": detector_backend not in {"opencv", "skip"}, "expand_percentage": expand_percentage}
    if any(given.values()):
        ignored = " and ".join(name for name, other in given.items() if other)
        warnings.warn(
            MienWarning(
                f"mien.compat.deepface ignores {ignored}: faces are detected by the {reader.detector.name} "
                f"(see `mien detectors`) and cropped with its own margin.",
                code="arguments-ignored",
            ),
            stacklevel=3,
        )


def _detect(
    reader: FaceReader, image: Any, enforce_detection: bool, skip: bool
) -> tuple[npt.NDArray[np.uint8], list[Face]]:
    """The image, uint8 (H, W, 3) RGB, and its faces; none where that is allowed."""
    try:
        rgb = to_rgb(image)
    except DataError as error:
        raise UnusableError(str(error), code=error.code) from None
    faces = [] if skip else reader.detect(rgb)
    if not faces and enforce_detection and not skip:
        raise FaceNotDetected(
            f"The {reader.detector.name} detected no face in {_name(image)}. Is it a photo of a face? "
            f"With enforce_detection=False the whole image is taken as one face."
        )
    return rgb, faces


def _whole(rgb: npt.NDArray[np.uint8]) -> Face:
    return Face(Box(0, 0, rgb.shape[1], rgb.shape[0]), 0.0, {})


def _cut(rgb: npt.NDArray[np.uint8], box: Box) -> npt.NDArray[np.uint8]:
    """The part of a box that is inside the image."""
    top, left = max(box.top, 0), max(box.left, 0)
    return rgb[top : max(box.top + box.height, top + 1), left : max(box.left + box.width, left + 1)]


def _in_colour(rgb: npt.NDArray[np.uint8], colour: str) -> npt.NDArray[np.uint8]:
    if colour == "gray":
        return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).convert("L"))
    return rgb[:, :, ::-1] if colour == "bgr" else rgb


def _analyze(reader: FaceReader, image: Any, enforce_detection: bool, skip: bool) -> list[dict[str, Any]]:
    rgb, faces = _detect(reader, image, enforce_detection, skip)
    if faces:
        predictions = reader.read(rgb, faces)
    else:
        faces = [_whole(rgb)]
        spec = reader.classifier.manifest.input
        crops = face_square(rgb, spec.size_px, spec.channels)[np.newaxis]
        predictions = reader.predictions(reader.classify(crops), crops)
    return [_result(face, prediction, rgb) for face, prediction in zip(faces, predictions, strict=True)]


def _result(face: Face, prediction: Prediction, rgb: npt.NDArray[np.uint8]) -> dict[str, Any]:
    return {
        "emotion": {name: 100 * value for name, value in prediction.probabilities.items()},
        "dominant_emotion": prediction.top,
        "region": _region(face, rgb.shape[1], rgb.shape[0]),
        "face_confidence": _confidence(face.score),
    }


def _region(face: Face, width: int, height: int) -> dict[str, Any]:
    """The box inside the image, as deepface counts it: without the image's last column and row."""
    x, y = max(face.box.left, 0), max(face.box.top, 0)
    region: dict[str, Any] = {
        "x": x,
        "y": y,
        "w": min(face.box.width, width - x - 1),
        "h": min(face.box.height, height - y - 1),
    }
    for eye in ("left_eye", "right_eye"):
        point = face.landmarks.get(eye)
        inside = point is not None and 0 <= point[0] < width and 0 <= point[1] < height
        region[eye] = (int(point[0]), int(point[1])) if point is not None and inside else None
    return region


def _confidence(score: float) -> float:
    return round(score if score <= 1 else min(score / FULL_CONFIDENCE_WINDOWS, 1.0), 2)


def _name(image: Any) -> str:
    return image if isinstance(image, str) and not image.startswith("data:") else "the image"
