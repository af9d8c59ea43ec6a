"""``fer.FER`` and ``fer.Video`` with mien inside: replace the import by ``from mien.compat.fer import FER, Video``.

Results have the shapes of fer 25.10; faces, crops and probabilities are mien's.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from mien.compat.fer_video import Video as Video
from mien.compat.images import default_predictor, to_rgb
from mien.errors import MienWarning
from mien.faces.face import Box, Face
from mien.inference.face_reader import FaceReader


class FER:
    """Detects faces and classifies the expression of each.

    ``min_face_size`` works as in fer. Any other argument with another value than fer's default causes a warning: mien
    detects and crops faces in its own way.

    Raises:
        ValueError: as fer does, for an impossible value.
    """

    def __init__(
        self,
        cascade_file: str | None = None,
        mtcnn: bool = False,
        tfserving: bool = False,
        use_tflite: bool = True,
        scale_factor: float = 1.1,
        min_face_size: int = 50,
        min_neighbors: int = 5,
        offsets: tuple[int, int] = (10, 10),
    ) -> None:
        if scale_factor <= 1 or min_face_size < 1 or min_neighbors < 0 or len(offsets) != 2:
            raise ValueError(
                "scale_factor must be above 1, min_face_size at least 1, min_neighbors at least 0, offsets two numbers."
            )
        self._reader, self._min_face_px = FaceReader(default_predictor()), min_face_size
        detector = self._reader.detector.name
        ignored = {
            "cascade_file": cascade_file is not None,
            "mtcnn": mtcnn,
            "tfserving": tfserving,
            "use_tflite": not use_tflite,
            "scale_factor": scale_factor != 1.1,
            "min_neighbors": min_neighbors != 5,
            "offsets": tuple(offsets) != (10, 10),
        }
        if any(ignored.values()):
            names = ", ".join(name for name, given in ignored.items() if given)
            warnings.warn(
                MienWarning(
                    f"mien.compat.fer ignores {names}: faces are detected by the {detector} (see `mien detectors`) and "
                    f"classified by mien's model.",
                    code="arguments-ignored",
                ),
                stacklevel=2,
            )

    def detect_emotions(self, img: Any, face_rectangles: Sequence[Sequence[int]] | None = None) -> list[dict[str, Any]]:
        """The faces of an image, each ``{"box": [x, y, width, height], "emotions": {name: probability}}``.

        Args:
            img: a path, a data URI, or an array uint8 (H, W) grey or (H, W, 3) or (H, W, 4) in OpenCV's order BGR(A).
            face_rectangles: classify these (x, y, width, height), in pixels, instead of detecting faces.

        Returns:
            The largest face first; probabilities are rounded to two digits, as in fer. Empty without a face.

        Raises:
            DataError: something that is not an image.
        """
        rgb = to_rgb(img)
        if face_rectangles is None:
            detected = self._reader.detect(rgb)
            faces = [face for face in detected if min(face.box.width, face.box.height) >= self._min_face_px]
        else:
            faces = [Face(Box(*(int(side) for side in rectangle)), 0.0, {}) for rectangle in face_rectangles]
        return [
            {
                "box": [face.box.left, face.box.top, face.box.width, face.box.height],
                "emotions": {name: round(value, 2) for name, value in prediction.probabilities.items()},
            }
            for face, prediction in zip(faces, self._reader.read(rgb, faces), strict=True)
        ]

    def top_emotion(self, img: Any) -> tuple[str, float] | tuple[None, None]:
        """The class of highest probability of the largest face, and its probability; (None, None) without a face."""
        faces = self.detect_emotions(img)
        if not faces:
            return None, None
        emotions: dict[str, float] = faces[0]["emotions"]
        top = max(emotions, key=lambda name: emotions[name])
        return top, emotions[top]
