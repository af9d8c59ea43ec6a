"""``fer.FER`` with mien inside: ``from mien.compat.fer import FER`` and the script goes on as before.

The shapes of the answers are those of fer 25.10; the numbers are mien's, from its own faces, crops and model.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from mien.compat.pictures import classifier, rgb_of
from mien.faces.crop import face_squares
from mien.faces.face import Box
from mien.faces.find import find_detector


class FER:
    """Finds faces and reads the expression in each.

    ``min_face_size`` holds. Of the other arguments, any that is given another value than fer's default is answered
    with a warning: mien finds and cuts out faces in its own way.

    Raises:
        ValueError: as fer does, for a value that makes no sense.
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
        self._detector, self._least_px = find_detector(), min_face_size
        unheeded = {
            "cascade_file": cascade_file is not None,
            "mtcnn": mtcnn,
            "tfserving": tfserving,
            "use_tflite": not use_tflite,
            "scale_factor": scale_factor != 1.1,
            "min_neighbors": min_neighbors != 5,
            "offsets": tuple(offsets) != (10, 10),
        }
        if any(unheeded.values()):
            names = ", ".join(name for name, given in unheeded.items() if given)
            warnings.warn(
                f"mien.compat.fer does not heed {names}: faces are found by the {self._detector.name} "
                f"(see `mien detectors`) and read by mien's own model.",
                stacklevel=2,
            )

    def detect_emotions(self, img: Any, face_rectangles: Sequence[Sequence[int]] | None = None) -> list[dict[str, Any]]:
        """The faces of a picture, each ``{"box": [x, y, width, height], "emotions": {name: share}}``.

        Args:
            img: a path, a data URI, or an array uint8 (H, W) grey or (H, W, 3) or (H, W, 4) in OpenCV's order BGR(A).
            face_rectangles: read these (x, y, width, height) instead of looking for faces.

        Returns:
            The largest face first; shares are rounded to two digits, as fer does. Empty where there is no face.

        Raises:
            DataError: something that is not a picture.
        """
        rgb, model = rgb_of(img), classifier()
        if face_rectangles is None:
            found = [face.box for face in self._detector.detect(rgb)]
            boxes = [box for box in found if box.width >= self._least_px and box.height >= self._least_px]
        else:
            boxes = [Box(*(int(side) for side in rectangle)) for rectangle in face_rectangles]
        shares = model.probabilities(face_squares(rgb, boxes, self._detector.margin, model.manifest.input.size_px))
        return [
            {
                "box": [box.left, box.top, box.width, box.height],
                "emotions": {name: round(float(share), 2) for name, share in zip(model.classes, row, strict=True)},
            }
            for box, row in zip(boxes, shares, strict=True)
        ]

    def top_emotion(self, img: Any) -> tuple[str, float] | tuple[None, None]:
        """The likeliest expression of the first face and its share; (None, None) where there is no face."""
        faces = self.detect_emotions(img)
        if not faces:
            return None, None
        emotions: dict[str, float] = faces[0]["emotions"]
        top = max(emotions, key=lambda name: emotions[name])
        return top, emotions[top]
