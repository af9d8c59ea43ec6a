"""Detect photos given as face crops, and face crops given as photos, and word the notices about them."""

from __future__ import annotations

from collections.abc import Sequence

from mien.base.errors import Notice
from mien.faces.crop import CROP_PX
from mien.faces.face import Face

SMALL_FACE = 0.4
"""If the largest face box is below this fraction of the image's shorter side, the image is likely a photo. It holds for
59 of 82 photographs with a face, and for none of 150 FER2013 crops enlarged to 300 px."""

MAX_SEARCHED = 3
"""Number of images per command, and per request, in which faces are detected only for this notice. It limits the time.
"""


def may_be_photo(width: int, height: int) -> bool:
    """Return whether an image given as a face crop is large enough to be a photo."""
    return max(width, height) > CROP_PX


def photo_as_crop(name: str, width: int, height: int, faces: Sequence[Face], *, option: str) -> Notice | None:
    """Return a notice if an image given as a face crop is likely a photo.

    Args:
        name: name of the image in the notice.
        width: width in pixels.
        height: height in pixels.
        faces: faces detected in it, the largest first.
        option: option or argument that declares images to be face crops.
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
    """Return whether a photo without faces may be a crop: small and square, or half as small and nearly square."""
    longest, shortest = max(width, height), min(width, height)
    return not found and longest <= (CROP_PX if longest == shortest else CROP_PX // 2) and longest < 2 * shortest


def crop_as_photo(names: str, *, option: str) -> Notice:
    """Return the notice about images chosen by :func:`may_be_crop`; ``option`` declares images to be face crops."""
    return Notice(
        f"no face was detected in {names}. For images that are face crops, use {option}.",
        code="crops-as-photos",
    )
