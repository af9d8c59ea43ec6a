"""A note where photos may have been given as face crops, or face crops as photos."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from mien.cli.output import note
from mien.errors import MienError
from mien.faces.crop import CROP_PX
from mien.faces.find import find_detector
from mien.images import open_image, open_image_header
from mien.page.wording import counted
from mien.preprocess import upright_rgb

SMALL_FACE = 0.4
"""A face box under this share of the image's shorter side is a face in a photo: FER2013's crops are 1.05 boxes wide,
loose ones about 2. Of 150 FER2013 crops enlarged to 300 px none is under it, of 82 photographs with a face 59."""

LOOKED_AT, TRIED = 50, 3
"""Images whose size is looked at, and those of them in which faces are detected: it must cost next to nothing."""


def note_photos_as_crops(files: Iterable[Path]) -> None:
    """Say so once where an image that is read as a face crop is a photo: it is large, and its faces are small."""
    tried = 0
    for file in islice(files, LOOKED_AT):
        if tried == TRIED:
            return
        try:
            with open_image_header(file) as header:
                large = max(header.size) > CROP_PX
            if large:
                tried += 1
                rgb = upright_rgb(open_image(file))
                faces = find_detector().detect(rgb)
                side = min(rgb.shape[:2])
                if faces and max(faces[0].box.width, faces[0].box.height) < SMALL_FACE * side:
                    box = faces[0].box
                    note(
                        f"{file} may be a photo and not a face crop: its largest face is {box.width} x "
                        f"{box.height} of {rgb.shape[1]} x {rgb.shape[0]} pixels. Without --crops, faces are detected.",
                        "photo-as-crop",
                    )
                    return
        except MienError:
            # The command itself says what is wrong with a file, and crops need no detector.
            continue


class CropsAsPhotos:
    """Counts small square images in which no face was detected, and says so once."""

    def __init__(self) -> None:
        self._without, self._first = 0, ""

    def add(self, answer: Mapping[str, Any]) -> None:
        """Count one answer of `mien predict`."""
        picture = answer.get("picture")
        if picture is None or answer["faces"]:
            return
        if picture["width"] == picture["height"] <= CROP_PX:
            self._without += 1
            self._first = self._first or answer["source"]

    def note(self) -> None:
        """Print the note, if there is a reason for one."""
        if self._without:
            note(
                f"no face was detected in {counted(self._without, 'small square image')}, such as {self._first}. "
                f"If they are face crops, use --crops.",
                "crops-as-photos",
            )
