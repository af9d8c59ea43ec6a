"""Options that limit the detected faces, and the detector that a command uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from mien.cli.output import note
from mien.faces.face import Detector, limited
from mien.faces.find import HAAR, VARIABLE, choose, find_detector

MinScoreOption = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        help="Leave out faces with a detector score below S, from 0 to 1. The default is the detector's own: 0.45 for "
        "mien's, 0.6 for YuNet. The Haar cascade's scores are whole numbers from 6.",
        metavar="S",
    ),
]
MinSizeOption = Annotated[
    int | None,
    typer.Option(
        "--min-size",
        min=1,
        help="Leave out faces whose longer side is below PX pixels. The default is 0.",
        metavar="PX",
    ),
]
MaxFacesOption = Annotated[
    int | None, typer.Option("--max-faces", min=1, help="Keep the N largest faces of an image.", metavar="N")
]


@dataclass(frozen=True)
class DetectionOptions:
    """Which detected faces count."""

    min_score: MinScoreOption = None
    min_size: MinSizeOption = None
    max_faces: MaxFacesOption = None

    def detector(self) -> Detector:
        """The detector in use, within these limits. A notice says so where it is the cascade for want of a better one.

        Raises:
            DataError: as :class:`mien.faces.face.LimitedDetector`.
            ModelError: as :func:`mien.faces.find_detector`.
        """
        detector, choice = find_detector(), choose()
        if choice.kind == HAAR and not choice.why.startswith(VARIABLE):
            note(
                f"the {detector.name} misses many faces; it is in use because {choice.why}. "
                f"Install a better one with: mien detectors install yunet",
                "detector-weak",
            )
        lowest = detector.score_range[0]
        if self.min_score is not None and self.min_score < lowest:
            note(f"{detector.name} gives no score below {lowest:g}; --min-score changes nothing", "min-score-low")
        return limited(detector, self.min_score, self.min_size, self.max_faces)
