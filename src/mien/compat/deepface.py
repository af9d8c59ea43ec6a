"""``DeepFace.analyze`` with mien inside: ``from mien.compat import deepface as DeepFace``.

The shapes of the answers are those of deepface 0.0.103, for the action ``emotion``; the numbers are mien's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mien.compat.pictures import classifier, rgb_of
from mien.errors import DataError
from mien.faces.crop import face_squares
from mien.faces.face import Box, Face, Margin
from mien.faces.find import find_detector

AGREEING_WINDOWS = 100.0
"""The Haar cascade counts windows and knows no probability: ``face_confidence`` is this share of them, at most 1."""


class UnusableError(DataError, ValueError):
    """Something that is not a picture, or is not answered; all of deepface's are ValueErrors too."""


class FaceNotDetected(UnusableError):  # noqa: N818 - the name that scripts catch
    """No face where ``enforce_detection`` asks for one."""


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
    """Read the expression in each face of a picture, or of several.

    Args:
        img_path: a path, a data URI, an open binary file, or an array uint8 (H, W, 3) in OpenCV's order BGR; or a
            list of these, or an array (N, H, W, 3). BGRA is taken too.
        actions: must be ``["emotion"]``, for mien reads expressions and neither age, gender nor race.
        enforce_detection: raise where there is no face; otherwise the whole picture is read as one.
        detector_backend: ``"skip"`` reads the whole picture as a face; any other finds faces by mien's detector.
        align: not heeded; faces are cut out as mien's model was trained to see them, not turned.
        expand_percentage: not heeded.
        silent: nothing is ever printed.
        anti_spoofing: is refused.

    Returns:
        A dict for each face, the largest first: ``emotion`` (percent of each name), ``dominant_emotion``, ``region``
        (``x``, ``y``, ``w``, ``h`` inside the picture, ``left_eye`` and ``right_eye`` as (x, y) or None; left is the
        person's own) and ``face_confidence`` (0 where no face was found; YuNet's score; see
        :data:`AGREEING_WINDOWS`). For several pictures a list of such lists.

    Raises:
        FaceNotDetected: no face, with ``enforce_detection``.
        UnusableError: something that is not a picture, or other actions.
        ModelError: the face detector cannot be used.
    """
    actions = [actions] if isinstance(actions, str) else list(actions)
    if actions != ["emotion"]:
        raise UnusableError(f"mien reads expressions alone: give actions=['emotion']; found {actions}.")
    if anti_spoofing:
        raise UnusableError("mien cannot tell a photo of a photo from a face; leave out anti_spoofing.")
    given = {"detector_backend": detector_backend not in {"opencv", "skip"}, "expand_percentage": expand_percentage}
    if any(given.values()):
        unheeded = " and ".join(name for name, other in given.items() if other)
        warnings.warn(
            f"mien.compat.deepface does not heed {unheeded}: faces are found by the {find_detector().name} "
            f"(see `mien detectors`) and cut out with its own margin.",
            stacklevel=2,
        )
    skip = detector_backend == "skip"
    if isinstance(img_path, list) or (isinstance(img_path, np.ndarray) and img_path.ndim == 4):
        return [_analyze(_rgb_of(each), _name(each), enforce_detection, skip) for each in img_path]
    return _analyze(_rgb_of(img_path), _name(img_path), enforce_detection, skip)


def _rgb_of(picture: Any) -> npt.NDArray[np.uint8]:
    try:
        return rgb_of(picture)
    except DataError as error:
        raise UnusableError(str(error)) from None


def _analyze(rgb: npt.NDArray[np.uint8], name: str, enforce_detection: bool, skip: bool) -> list[dict[str, Any]]:
    model, detector = classifier(), find_detector()
    faces = [] if skip else detector.detect(rgb)
    margin = detector.margin
    if not faces:
        if enforce_detection and not skip:
            raise FaceNotDetected(
                f"No face was found in {name} by the {detector.name}. Is it a photo of a face? "
                f"With enforce_detection=False the whole picture is read as one."
            )
        faces, margin = [Face(Box(0, 0, rgb.shape[1], rgb.shape[0]), 0.0, {})], Margin(1.0, 0.0)
    squares = face_squares(rgb, [face.box for face in faces], margin, model.manifest.input.size_px)
    return [
        {
            "emotion": {each: 100 * float(share) for each, share in zip(model.classes, row, strict=True)},
            "dominant_emotion": model.classes[int(row.argmax())],
            "region": _region(face, rgb.shape[1], rgb.shape[0]),
            "face_confidence": _confidence(face.score),
        }
        for face, row in zip(faces, model.probabilities(squares), strict=True)
    ]


def _region(face: Face, width: int, height: int) -> dict[str, Any]:
    """The box inside the picture, as deepface counts it: its last column and row are left free."""
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
    return round(score if score <= 1 else min(score / AGREEING_WINDOWS, 1.0), 2)


def _name(picture: Any) -> str:
    return picture if isinstance(picture, str) and not picture.startswith("data:") else "the picture"
