"""A detector whose faces are limited by score, size and number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.faces.face import Detector, Face, Margin


@dataclass(frozen=True)
class LimitedDetector:
    """A detector that leaves out some of another's faces.

    Attributes:
        detector: detects the faces.
        min_score: the least score of a face; its meaning and range depend on the detector.
        min_size_px: the least longer side of a box, in pixels of the image.
        max_faces: the largest faces are kept, at most so many.

    Raises:
        DataError: a score that no face of the detector can have (``min-score-range``), or a size or number below one
            (``face-limit``).
    """

    detector: Detector
    min_score: float | None = None
    min_size_px: int | None = None
    max_faces: int | None = None

    def __post_init__(self) -> None:
        highest = self.detector.score_range[1]
        if self.min_score is not None and not 0 <= self.min_score <= highest:
            raise DataError(
                f"The least score of a face must be from 0 to {highest:g} with {self.name}; found {self.min_score:g}.",
                code="min-score-range",
            )
        for value, named in ((self.min_size_px, "The least size of a face"), (self.max_faces, "The number of faces")):
            if value is not None and value < 1:
                raise DataError(f"{named} must be 1 or more; found {value}.", code="face-limit")

    @property
    def name(self) -> str:
        """That of the detector."""
        return self.detector.name

    @property
    def margin(self) -> Margin:
        """That of the detector."""
        return self.detector.margin

    @property
    def score_range(self) -> tuple[float, float]:
        """That of the detector."""
        return self.detector.score_range

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Detect the faces in an image uint8 (H, W, 3), the largest first."""
        faces = [face for face in self.detector.detect(rgb) if self._keeps(face)]
        return faces[: self.max_faces]

    def _keeps(self, face: Face) -> bool:
        large = self.min_size_px is None or max(face.box.width, face.box.height) >= self.min_size_px
        return large and (self.min_score is None or face.score >= self.min_score)


def limited(
    detector: Detector, min_score: float | None = None, min_size_px: int | None = None, max_faces: int | None = None
) -> Detector:
    """The detector itself without a limit, else a :class:`LimitedDetector`. Raises :class:`DataError` as that does."""
    if min_score is None and min_size_px is None and max_faces is None:
        return detector
    return LimitedDetector(detector, min_score, min_size_px, max_faces)
