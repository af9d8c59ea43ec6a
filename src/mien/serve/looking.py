"""From the bytes of one file to the grey squares that a model reads, in the service's threads and under its limits."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mien.errors import DataError
from mien.faces.crop import face_squares
from mien.pictures import FORMATS, ignore_pillow_warnings, open_image
from mien.preprocess import grey_square, upright_rgb
from mien.serve.limits import Limits
from mien.serve.refusals import RefusedError

if TYPE_CHECKING:
    from mien.faces.face import Box, Detector

READ = tuple(kind for kind in FORMATS if kind != "TIFF")
"""What the service reads: not TIFF, whose library writes of damaged files to the process's log, from C."""

MOST_SCANS = 100
"""Of one JPEG: a progressive one has about ten. Each goes over all pixels again, for a few bytes of the file."""

MOST_SLOW_PIXELS = 1_000_000
"""Of a picture that Pillow reads in Python, not in C: so many take it a tenth of a second (a run-length BMP) to one
and a half (a PPM in colour, as text or of an odd depth)."""

_START_OF_SCAN, _END_OF_IMAGE, _FILL = 0xDA, 0xD9, 0xFF
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9)}
"""JPEG's markers (ITU-T T.81, table B.1), and the zero after such a byte within a scan."""

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Seen:
    """The faces of one picture.

    Attributes:
        width: of the upright picture in pixels.
        height: likewise.
        squares: uint8 (N, size_px, size_px).
        boxes: where each was; None for a picture that is a face already.
        found: how many faces there are; more than N where the largest were asked for.
    """

    width: int
    height: int
    squares: npt.NDArray[np.uint8]
    boxes: tuple[Box | None, ...]
    found: int


def look(data: bytes, detector: Detector | None, size_px: int, limits: Limits, max_faces: int | None) -> Seen:
    """Decode a picture and cut out its faces.

    Args:
        data: an image file.
        detector: finds the faces; None takes the picture for one.
        size_px: side of the squares.
        limits: of pixels and faces.
        max_faces: read the largest so many; None reads all, or refuses.

    Raises:
        RefusedError: no image, a damaged one, or over a limit.
    """
    count_pixels(data, limits)
    try:
        image = open_image(data)
        if detector is None:
            return Seen(*image.size, grey_square(image, size_px)[np.newaxis], (None,), 1)
        rgb = upright_rgb(image)
    except DataError as error:
        raise RefusedError("damaged_image", f"{str(error)[0].upper()}{str(error)[1:]}") from None
    faces = detector.detect(rgb)
    if len(faces if max_faces is None else faces[:max_faces]) > limits.max_faces:
        raise RefusedError(
            "too_many_faces",
            f"Found {len(faces)} faces; at most {limits.max_faces} are read in one picture. "
            f"Ask for the largest with max_faces.",
        )
    boxes = [face.box for face in faces[:max_faces]]
    squares = face_squares(rgb, boxes, detector.margin, size_px)
    return Seen(*image.size, squares, tuple(boxes), len(faces))


def count_pixels(data: bytes, limits: Limits) -> int:
    """Pixels of a picture as its header says, without decoding it.

    Raises:
        RefusedError: no image, one whose header is damaged, more pixels than are taken, or more scans over them.
    """
    from PIL import Image, UnidentifiedImageError

    ignore_pillow_warnings()
    try:
        with Image.open(io.BytesIO(data), formats=READ) as image:
            width, height = image.size
            kind = image.format
            slowly = bool(image.tile) and image.tile[0][0] in Image.DECODERS
    except Image.DecompressionBombError:
        raise RefusedError(
            "too_many_pixels", f"The picture has over {limits.max_pixels:,} pixels. Shrink it."
        ) from None
    except UnidentifiedImageError:
        found = "a TIFF, which the service does not read" if data.startswith(_TIFF) else "no image that can be read"
        raise RefusedError("not_an_image", f"The file is {found}. Send PNG, JPEG, WebP, BMP, GIF or PPM.") from None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow's readers raise anything of damaged files
        raise RefusedError("damaged_image", "The image is damaged and cannot be read.") from None
    if data.startswith(b"\xff\xd8") and _scans(data) > MOST_SCANS:
        raise RefusedError(
            "too_much_work", f"The JPEG has over {MOST_SCANS} scans, each over all of its pixels. Save it anew."
        )
    if slowly and width * height > MOST_SLOW_PIXELS:
        raise RefusedError(
            "too_much_work",
            f"A {kind} that is packed as this one takes long to read; at most {MOST_SLOW_PIXELS:,} pixels of such are "
            f"taken. Save it as PNG.",
        )
    if width * height > limits.max_pixels:
        raise RefusedError(
            "too_many_pixels",
            f"The picture has {width} x {height} pixels; at most {limits.max_pixels:,} are taken. Shrink it.",
        )
    return width * height


def _scans(data: bytes) -> int:
    """How many scans a JPEG has, up to one more than are taken; what follows its end is not looked at."""
    found, at = 0, 2
    while found <= MOST_SCANS and (at := data.find(b"\xff", at)) != -1 and at + 3 < len(data):
        kind = data[at + 1]
        if kind == _END_OF_IMAGE:
            break
        if kind == _FILL:
            at += 1
        elif kind in _WITHOUT_LENGTH:
            at += 2
        else:
            found += kind == _START_OF_SCAN
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return found
