"""Options that limit the detected faces, and the detector that a command uses."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from mien.base.errors import MienError
from mien.base.images import open_image, open_image_header
from mien.base.preprocess import upright_rgb
from mien.cli.output import notice
from mien.faces.crop_or_photo import MAX_SEARCHED, crop_as_photo, may_be_crop, may_be_photo, photo_as_crop
from mien.faces.face import Detector, limited
from mien.faces.find import VARIABLE, find_detector, is_built
from mien.page.wording import counted

MinScoreOption = Annotated[
    float | None,
    typer.Option(
        "--min-score",
        help="Leave out faces with a detector score below S, from 0 to 1. The default is the detector's own: 0.45 for "
        "mien's. The Haar cascade's scores are whole numbers from 6.",
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
        detector = find_detector()
        if not (is_built() or os.environ.get(VARIABLE)):
            notice(
                f"the {detector.name} misses many faces; it is in use because mien's own was not built. In a checkout "
                "with Node 20.19+: make detector",
                "detector-weak",
            )
        lowest = detector.score_range[0]
        if self.min_score is not None and self.min_score < lowest:
            notice(f"{detector.name} gives no score below {lowest:g}; --min-score changes nothing", "min-score-low")
        return limited(detector, self.min_score, self.min_size, self.max_faces)


MAX_SAMPLED = 50
"""Images whose size is looked at."""


def note_photos_as_crops(files: Iterable[Path]) -> None:
    """Say so once where an image that is read as a face crop is a photo: it is large, and its faces are small."""
    tried = 0
    for file in islice(files, MAX_SAMPLED):
        if tried == MAX_SEARCHED:
            return
        try:
            with open_image_header(file) as header:
                large = may_be_photo(*header.size)
            if large:
                tried += 1
                rgb = upright_rgb(open_image(file))
                height, width = rgb.shape[:2]
                found = photo_as_crop(str(file), width, height, find_detector().detect(rgb), option="--crops")
                if found is not None:
                    notice(found.line)
                    return
        except MienError:
            # The command itself says what is wrong with a file, and crops need no detector.
            continue


class ImagesWithoutFaces:
    """Counts images that may be face crops, since no face was detected in them, and says so once."""

    def __init__(self) -> None:
        self._crops = 0
        self._first = ""

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count one answer of `mien predict`."""
        image = answer.get("image")
        if image is not None and may_be_crop(image["width"], image["height"], len(answer["faces"])):
            self._crops += 1
            self._first = self._first or answer["source"]

    def note(self) -> None:
        """Print the note, if there is one such image."""
        if self._crops:
            names = f"{counted(self._crops, 'square image')}, such as {self._first}"
            notice(crop_as_photo(names, option="--crops").line)
