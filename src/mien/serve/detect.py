"""From the bytes of one file to its face crops, within the limits of one image."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from mien.base.errors import DataError, Notice
from mien.base.images import FORMATS, ignore_pillow_warnings, open_image
from mien.base.preprocess import face_square, upright_rgb
from mien.faces.crop_or_photo import crop_as_photo, may_be_crop, may_be_photo, photo_as_crop
from mien.faces.face import Face
from mien.inference.face_reader import FaceReader
from mien.serve.api_errors import ApiError
from mien.serve.limits import Limits

SERVED_FORMATS: tuple[str, ...] = tuple(kind for kind in FORMATS if kind != "TIFF")
"""What the service reads: not TIFF, whose C library writes about damaged files to the log of the process."""

_START_OF_SCAN, _END_OF_IMAGE, _FILL = 0xDA, 0xD9, 0xFF
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9)}
"""JPEG's markers (ITU-T T.81, table B.1), and the zero after such a byte within a scan."""

_OPTION = "crops=true"

_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class DetectedFaces:
    """The faces of one image.

    Attributes:
        width: of the upright image in pixels.
        height: of the upright image in pixels.
        crops: face crops, uint8 (N, size_px, size_px[, 3]).
        faces: where each was detected, N; None for an image that was a face crop.
        found: how many faces the image has; more than N if only the largest were asked for.
        hint: where the image may be a photo given as a face crop, or the reverse.
        rgb: the upright image, uint8 (height, width, 3); None unless it was asked for.
    """

    width: int
    height: int
    crops: npt.NDArray[np.uint8]
    faces: list[Face] | None
    found: int
    hint: Notice | None = None
    rgb: npt.NDArray[np.uint8] | None = None


def detect_faces(
    data: bytes,
    reader: FaceReader,
    limits: Limits,
    *,
    crops: bool = False,
    max_faces: int | None = None,
    look: bool = True,
    keep: bool = False,
) -> DetectedFaces:
    """Decode an image, detect its faces and crop them.

    Args:
        data: an image file.
        reader: detects and crops.
        limits: of pixels, scans and faces.
        crops: the image is a face crop.
        max_faces: keep only this many of the largest faces. None keeps all, and refuses more than the limit.
        look: detect faces in a large face crop too, to tell whether it is a photo.
        keep: return the image too.

    Raises:
        ApiError: not an image, a damaged one, or one over a limit.
    """
    check_image(data, limits)
    try:
        image = open_image(data)
        if crops:
            spec = reader.classifier.manifest.input
            crop = face_square(image, spec.size_px, spec.channels)
            hint = _photo_as_crop(image, reader) if look and may_be_photo(*image.size) else None
            return DetectedFaces(*image.size, crop[np.newaxis], None, 1, hint)
        rgb = upright_rgb(image)
    except DataError as error:
        raise ApiError(f"{str(error)[0].upper()}{str(error)[1:]}", code="image-damaged") from None
    faces = reader.detect(rgb)
    kept = faces[:max_faces]
    if len(kept) > limits.max_faces:
        raise ApiError(
            f"The image has {len(faces)} faces; the limit is {limits.max_faces}. Ask for the largest with max_faces.",
            code="too-many-faces",
        )
    hint = crop_as_photo("this square image", option=_OPTION) if may_be_crop(*image.size, len(faces)) else None
    inside = [face.clipped(*image.size) for face in kept]
    cut = reader.crop(rgb, [face.box for face in kept])
    return DetectedFaces(*image.size, cut, inside, len(faces), hint, rgb if keep else None)


def _photo_as_crop(image: Image.Image, reader: FaceReader) -> Notice | None:
    return photo_as_crop("this image", *image.size, reader.detect(upright_rgb(image)), option=_OPTION)


def check_image(data: bytes, limits: Limits) -> int:
    """Check an image against the limits by its header, without decoding it, and count its pixels.

    Raises:
        ApiError: not an image, a damaged header, or more pixels or JPEG scans than the limits.
    """
    ignore_pillow_warnings()
    if not data:
        raise ApiError("The file is empty: it has 0 bytes.", code="image-format")
    try:
        with Image.open(io.BytesIO(data), formats=SERVED_FORMATS) as image:
            width, height = image.size
            kind = image.format
            # Pillow's own decoders in Python; all others are in C.
            is_slow = bool(image.tile) and image.tile[0][0] in Image.DECODERS
    except Image.DecompressionBombError:
        raise ApiError(f"The image has over {limits.max_pixels:,} pixels. Shrink it.", code="image-pixels") from None
    except UnidentifiedImageError:
        found = "a TIFF, which the service does not read" if data.startswith(_TIFF) else "not an image it can read"
        raise ApiError(
            f"The file is {found}. Send PNG, JPEG, WebP, AVIF, BMP, GIF or PPM.", code="image-format"
        ) from None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises anything for damaged files
        raise ApiError("The image is damaged and cannot be decoded.", code="image-damaged") from None
    if data.startswith(b"\xff\xd8") and _count_scans(data, limits.max_jpeg_scans) > limits.max_jpeg_scans:
        raise ApiError(
            f"The JPEG has over {limits.max_jpeg_scans} scans, each over all of its pixels. Save it again.",
            code="too-much-work",
        )
    if is_slow and width * height > limits.max_slow_pixels:
        raise ApiError(
            f"A {kind} with this encoding is slow to decode; the limit is {limits.max_slow_pixels:,} pixels. "
            f"Save it as PNG.",
            code="too-much-work",
        )
    if width * height > limits.max_pixels:
        raise ApiError(
            f"The image has {width} x {height} pixels; the limit is {limits.max_pixels:,}. Shrink it.",
            code="image-pixels",
        )
    return width * height


def _count_scans(data: bytes, limit: int) -> int:
    """How many scans a JPEG has, up to one more than the limit. What follows its end is not counted."""
    found, at = 0, 2
    while found <= limit and (at := data.find(b"\xff", at)) != -1 and at + 3 < len(data):
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
