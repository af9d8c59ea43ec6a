"""What a classifier says about one face."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.faces.face import Box, Face
from mien.labels import positive_class

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True)
class Reading:
    """The expression in one picture of a face, as a classifier reads it. It is no statement of what anybody feels.

    Attributes:
        source: the file, or ``"image 3"`` for an array.
        classes: class names.
        scores: float64 (C,), the probability of each class; they sum to 1.
        threshold: between two classes; None reads the likelier one.
        box: where the face was found, in pixels of the upright picture; None where the picture was a face already.
        face: uint8 (S, S), the grey square that the classifier saw.
    """

    source: str
    classes: tuple[str, ...]
    scores: npt.NDArray[np.float64]
    threshold: float | None = None
    box: Box | None = None
    face: npt.NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)

    @property
    def top(self) -> str:
        """The likeliest class; with a threshold, the positive class from that probability up, else the other."""
        return self.classes[self._top]

    @property
    def confidence(self) -> float:
        """Probability of that class, 0..1."""
        return float(self.scores[self._top])

    @property
    def _top(self) -> int:
        if self.threshold is None:
            return int(self.scores.argmax())
        positive = positive_class(self.classes)
        return positive if self.scores[positive] >= self.threshold else 1 - positive

    def show(self) -> Image:
        """A picture of the face as the classifier saw it, with a bar for each class; a notebook shows it by itself.

        Raises:
            DataError: the reading was made without its face.
        """
        from mien.inference.drawing import draw_face

        if self.face is None:
            raise DataError("This reading holds no picture of its face; predict it again to see it.")
        return draw_face(self.face, self)

    @property
    def probabilities(self) -> dict[str, float]:
        """Probability of every class by name."""
        return dict(zip(self.classes, self.scores.tolist(), strict=True))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: source, box (where a face was found), top, confidence and probabilities."""
        return {
            "source": self.source,
            **({} if self.box is None else {"box": self.box.to_dict()}),
            "top": self.top,
            "confidence": self.confidence,
            "probabilities": self.probabilities,
        }


@dataclass(frozen=True)
class Photo:
    """What was found and read in one picture.

    Attributes:
        source: the file, or ``"image 3"`` for an array.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        detector: what found the faces.
        faces: the faces, the largest first.
        readings: what is read in each of them, in the same order.
        rgb: the upright picture, uint8 (height, width, 3).
    """

    source: str
    width: int
    height: int
    detector: str
    faces: list[Face]
    readings: list[Reading]
    rgb: npt.NDArray[np.uint8] = field(repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: source, picture (width and height), detector, and faces as :meth:`Reading.to_dict`."""
        return {
            "source": self.source,
            "picture": {"width": self.width, "height": self.height},
            "detector": self.detector,
            "faces": [reading.to_dict() for reading in self.readings],
        }
