"""Predict one image from the bytes of its file, within limits."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError

from mien.base.errors import DataError, Notice
from mien.base.images import encoded, ignore_pillow_warnings, open_image
from mien.base.preprocess import face_square, upright_rgb
from mien.faces.crop import crop_as_photo, may_be_crop, may_be_photo, photo_as_crop
from mien.inference.drawing import draw_predictions
from mien.inference.face_reader import FaceReader
from mien.inference.prediction import Prediction
from mien.serve.api_errors import ApiError
from mien.serve.limits import Limits

SERVED_FORMATS: tuple[str, ...] = ("PNG", "JPEG", "WEBP", "AVIF", "GIF")
"""Image formats that the service accepts. BMP and PPM are left out because Pillow decodes some slowly in Python; TIFF
because its C library writes to the log."""

_START_OF_SCAN, _END_OF_IMAGE, _FILL = 0xDA, 0xD9, 0xFF
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9)}
"""JPEG markers without a length (ITU-T T.81, table B.1), and the zero byte that follows 0xFF within a scan."""

_OPTION = "crops=true"


@dataclass(frozen=True)
class PredictedImage:
    """The faces of one image with their predictions.

    Attributes:
        width: width of the upright image in pixels.
        height: height of the upright image in pixels.
        predictions: one prediction per face, the largest first; exactly one for a face crop.
        found: number of faces in the image, which may be more than the predictions if only the largest are requested.
        hint: notice if a photo may have been given as a face crop, or the reverse.
        drawn: JPEG of the photo with boxes and answers, if requested.
    """

    width: int
    height: int
    predictions: list[Prediction]
    found: int
    hint: Notice | None = None
    drawn: bytes | None = None


def predict_image(
    data: bytes, reader: FaceReader, limits: Limits, *, source: str = "image", crops: bool = False,
    max_faces: int | None = None, look: bool = True, draw: bool = False,
) -> PredictedImage:  # fmt: skip
    """Decode an image, detect its faces and classify them.

    ``max_faces`` keeps only the largest faces; None keeps all, and refuses images with more than the limit. ``look``
    also detects faces in a large face crop (``crops``), to find out whether it is a photo. ``draw`` draws boxes and
    answers on the photo.

    Raises ApiError: not an image, a damaged image, or one over a limit.
    """
    check_image(data, limits)
    try:
        image = open_image(data)
        if crops:
            crop = face_square(image, *reader.classifier.manifest.input.size_and_channels)
            hint = None
            if look and may_be_photo(*image.size):
                hint = photo_as_crop("this image", *image.size, reader.detect(upright_rgb(image)), option=_OPTION)
            (row,) = reader.classify(crop[np.newaxis])
            return PredictedImage(*image.size, [reader.prediction(source, row, crop)], 1, hint)
        rgb = upright_rgb(image)
    except DataError as error:
        raise ApiError(f"{str(error)[0].upper()}{str(error)[1:]}", code="image-damaged") from None
    faces = reader.detect(rgb)
    kept = faces[:max_faces]
    if len(kept) > limits.max_faces:
        message = (
            f"The image has {len(faces)} faces, over the limit of {limits.max_faces}; max_faces keeps the largest."
        )
        raise ApiError(message, code="too-many-faces")
    hint = crop_as_photo("this small image", option=_OPTION) if may_be_crop(*image.size, len(faces)) else None
    predictions = reader.read(rgb, kept, source=source)
    drawn = encoded(draw_predictions(rgb, predictions), "JPEG", quality=90) if draw else None
    return PredictedImage(*image.size, predictions, len(faces), hint, drawn)


def check_image(data: bytes, limits: Limits) -> None:
    """Check an image's header against the limits, without decoding it.

    Raises ApiError: not an image, a damaged header, or more pixels or JPEG scans than the limits.
    """
    ignore_pillow_warnings()
    if not data:
        raise ApiError("The file is empty: it has 0 bytes.", code="image-empty")
    try:
        with Image.open(io.BytesIO(data), formats=SERVED_FORMATS) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        raise ApiError(f"The image has over {limits.max_pixels:,} pixels. Shrink it.", code="image-pixels") from None
    except UnidentifiedImageError:
        raise ApiError("The file is no image. Send PNG, JPEG, WebP, AVIF or GIF.", code="image-format") from None
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - Pillow raises anything for damaged files
        raise ApiError("The image is damaged and cannot be decoded.", code="image-damaged") from None
    if data.startswith(b"\xff\xd8") and _count_scans(data, limits.max_jpeg_scans) > limits.max_jpeg_scans:
        message = f"The JPEG has over {limits.max_jpeg_scans} scans, each a pass over all pixels. Save it again."
        raise ApiError(message, code="too-much-work")
    if width * height > limits.max_pixels:
        message = f"The image has {width} x {height} pixels; the limit is {limits.max_pixels:,}. Shrink it."
        raise ApiError(message, code="image-pixels")


def _count_scans(data: bytes, limit: int) -> int:
    """Count the scans of a JPEG, up to the limit plus one. Bytes after the image's end are ignored."""
    scans, at = 0, 2
    while scans <= limit and (at := data.find(b"\xff", at)) != -1 and at + 3 < len(data):
        kind = data[at + 1]
        if kind == _END_OF_IMAGE:
            break
        if kind == _FILL:
            at += 1
        elif kind in _WITHOUT_LENGTH:
            at += 2
        else:
            scans += kind == _START_OF_SCAN
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return scans
