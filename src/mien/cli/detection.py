"""Options that limit the detected faces, and the detector of a command."""

from dataclasses import dataclass

from mien.cli.options import Positive
from mien.faces.face import Detector, LimitedDetector
from mien.faces.find import find_detector


@dataclass(frozen=True, kw_only=True)
class DetectionOptions:
    """Limits of the faces to keep.

    Options:
        min_score (S): Leave out faces with a detector score below S, 0 to 1. The default is the detector's own, 0.56 in
            mien.
        min_size (PX): Leave out faces whose longer side is below PX pixels.
        max_faces (N): Keep the N largest faces of an image.
    """

    min_score: float | None = None
    min_size: Positive | None = None
    max_faces: Positive | None = None

    def detector(self) -> Detector:
        """Return the detector, limited by these options. Raises as :func:`mien.faces.find_detector`."""
        return LimitedDetector(find_detector(), self.min_score, self.min_size, self.max_faces)
