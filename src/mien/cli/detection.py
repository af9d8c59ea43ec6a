"""Options that limit the detected faces, and the detector of a command."""

from dataclasses import dataclass
from typing import Annotated

from mien.cli.options import option
from mien.faces.face import Detector, LimitedDetector
from mien.faces.find import find_detector


@dataclass(frozen=True)
class DetectionOptions:
    """Limits of the faces to keep."""

    min_score: Annotated[
        float | None,
        option(
            "Leave out faces with a detector score below S, 0 to 1. The default is the detector's own, 0.45 in mien.",
            "S",
        ),
    ] = None
    min_size: Annotated[int | None, option("Leave out faces whose longer side is below PX pixels.", "PX", min=1)] = None
    max_faces: Annotated[int | None, option("Keep the N largest faces of an image.", "N", min=1)] = None

    def given(self) -> dict[str, bool]:
        """Return a table of option names, with True for each that was given."""
        return {f"--{name.replace('_', '-')}": value is not None for name, value in vars(self).items()}

    def detector(self) -> Detector:
        """Return the detector, limited by these options. Raises as :func:`mien.faces.find_detector`."""
        return LimitedDetector(find_detector(), self.min_score, self.min_size, self.max_faces)
