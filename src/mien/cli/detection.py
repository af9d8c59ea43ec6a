"""Options that limit the detected faces, and the detector of a command."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

from mien.base.errors import MienError
from mien.base.images import open_image
from mien.base.preprocess import upright_rgb
from mien.cli.options import option
from mien.cli.output import notice
from mien.faces.crop import MAX_SEARCHED, may_be_photo, photo_as_crop
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


def note_photos_as_crops(files: Iterable[Path]) -> None:
    """Print a notice if one of the first images given as face crops is a photo: large, with a small face."""
    for file in islice(files, MAX_SEARCHED):
        # The command itself reports files that cannot be read, and crops need no detector.
        with suppress(MienError):
            rgb = upright_rgb(open_image(file))
            height, width = rgb.shape[:2]
            if may_be_photo(width, height):
                found = photo_as_crop(str(file), width, height, find_detector().detect(rgb), option="--crops")
                if found is not None:
                    notice(found.line)
                    return
