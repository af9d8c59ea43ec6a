"""A detector whose faces are limited by score, size and number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mien.faces.face import Detector, Face, Margin


@dataclass(frozen=True)
class LimitedDetector:
    """A detector that leaves out some of another's faces.

    Attributes:
        detector: detects the faces.
        min_score: the least score of a face; its meaning and range depend on the detector.
        min_size_px: the least longer side of a box, in pixels of the image.
        max_faces: the largest faces are kept, at most so many.
    """

    detector: Detector
    min_score: float | None = None
    min_size_px: int | None = None
    max_faces: int | None = None

    @property
    def name(self) -> str:
        """That of the detector."""
        return self.detector.name

    @property
    def margin(self) -> Margin:
        """That of the detector."""
        return self.detector.margin

    def detect(self, rgb: npt.NDArray[np.uint8]) -> list[Face]:
        """Detect the faces in an image uint8 (H, W, 3), the largest first."""
        faces = [face for face in self.detector.detect(rgb) if self._keeps(face)]
        return faces[: self.max_faces]

    def _keeps(self, face: Face) -> bool:
        large = self.min_size_px is None or max(face.box.width, face.box.height) >= self.min_size_px
        return large and (self.min_score is None or face.score >= self.min_score)
