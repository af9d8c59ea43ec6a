"""Photos that are read as face crops, and face crops that are read as photos: when to say so, and in which words."""

from __future__ import annotations

from collections.abc import Sequence

from mien.base.errors import Notice
from mien.faces.crop import CROP_PX
from mien.faces.face import Face

SMALL_FACE = 0.4
"""A face box under this share of the image's shorter side is a face in a photo: FER2013's crops are about a box wide,
loose ones about 2. None of 150 FER2013 crops enlarged to 300 px is below it; of 82 photographs with a face, 59."""

MAX_SEARCHED = 3
"""Images of a command, and the first ones of a request, in which faces are detected for this notice alone: it must cost
next to nothing."""


def may_be_photo(width: int, height: int) -> bool:
    """Whether an image that is read as a face crop is large enough to look for faces in it."""
    return max(width, height) > CROP_PX


def photo_as_crop(name: str, width: int, height: int, faces: Sequence[Face], *, option: str) -> Notice | None:
    """A notice where an image that is read as a face crop is likely a photo.

    Args:
        name: of the image, in the notice.
        width: in pixels.
        height: in pixels.
        faces: detected in it, the largest first.
        option: how one says that images are face crops.
    """
    box = faces[0].box if faces else None
    if box is None or max(box.width, box.height) >= SMALL_FACE * min(width, height):
        return None
    return Notice(
        f"{name} may be a photo and not a face crop: its largest face is {box.width} x {box.height} of {width} x "
        f"{height} pixels. Without {option}, faces are detected.",
        code="photo-as-crop",
    )


def may_be_crop(width: int, height: int, found: int) -> bool:
    """Whether a photo without a face may be a face crop: small and square, or half as small and about square."""
    longest, shortest = max(width, height), min(width, height)
    return not found and longest <= (CROP_PX if longest == shortest else CROP_PX // 2) and longest < 2 * shortest


def crop_as_photo(names: str, *, option: str) -> Notice:
    """The notice on images that :func:`may_be_crop` picks; ``option`` is how one says that images are face crops."""
    return Notice(
        f"no face was detected in {names}. An image that is a face crop already is read with {option}.",
        code="crops-as-photos",
    )
