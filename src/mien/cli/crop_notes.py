"""A note where photos may have been given as face crops, or face crops as photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from mien.cli.output import notice
from mien.errors import MienError
from mien.faces.find import find_detector
from mien.faces.mix_up import TRIED, crop_as_photo, may_be_crop, may_be_photo, photo_as_crop
from mien.images import open_image, open_image_header
from mien.page.wording import counted
from mien.preprocess import upright_rgb

LOOKED_AT = 50
"""Images whose size is looked at."""


def note_photos_as_crops(files: Iterable[Path]) -> None:
    """Say so once where an image that is read as a face crop is a photo: it is large, and its faces are small."""
    tried = 0
    for file in islice(files, LOOKED_AT):
        if tried == TRIED:
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


class CropsAsPhotos:
    """Counts square images in which no face was detected, and says so once."""

    def __init__(self) -> None:
        self._without, self._first = 0, ""

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count one answer of `mien predict`."""
        picture = answer.get("picture")
        if picture is not None and may_be_crop(picture["width"], picture["height"], len(answer["faces"])):
            self._without += 1
            self._first = self._first or answer["source"]

    def note(self) -> None:
        """Print the note, if there is a reason for one."""
        if self._without:
            names = f"{counted(self._without, 'square image')}, such as {self._first}"
            notice(crop_as_photo(names, option="--crops").line)
