"""Prediction in the service, outside the event loop and within the limits."""

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from mien.base.errors import DataError, ModelError, Notice
from mien.base.images import encoded, open_image, open_image_header
from mien.base.preprocess import face_square, upright_rgb
from mien.faces.face import Detector, LimitedDetector, crop_as_photo, may_be_crop, photo_as_crop
from mien.inference.drawing import draw_predictions
from mien.inference.face_reader import FaceReader
from mien.inference.onnx_classifier import OnnxClassifier
from mien.inference.prediction import Prediction
from mien.serve.limits import Limits
from mien.serve.metrics import ServiceMetrics
from mien.serve.schemas import ApiError, FaceParameters, FaceResponse, ImageResponse, ImageSize, internal_error
from mien.video.tracker import Tracker

_LOG = logging.getLogger("uvicorn.error")


class Slots:
    """A context for at most ``limit`` clients at a time. Raises :class:`ApiError` beyond the limit (``busy``)."""

    def __init__(self, limit: int, what: str) -> None:
        self._limit, self._what, self._taken = limit, what, 0

    def __enter__(self) -> None:
        if self._taken >= self._limit:
            raise ApiError(f"{self._limit} {self._what}, the limit, are active. Try again later.", code="busy")
        self._taken += 1

    def __exit__(self, *error: object) -> None:
        self._taken -= 1


class PredictionService:
    """Predicts the images of all requests. One image more than ``threads`` (cores) is processed at a time."""

    def __init__(
        self, classifier: OnnxClassifier, detector: Detector, limits: Limits, threads: int, metrics: ServiceMetrics
    ) -> None:
        self._classifier, self._detector = classifier, detector
        self._limits, self._metrics = limits, metrics
        # Use one thread more than cores: one decodes while the others run networks.
        self.pool: ThreadPoolExecutor = ThreadPoolExecutor(threads + 1, thread_name_prefix="images")
        self._requests = Slots(limits.max_requests, "requests")

    def stop(self) -> None:
        """Finish the images in progress, and start no others."""
        self.pool.shutdown(cancel_futures=True)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Count a request while it is received and processed; see :class:`Slots`."""
        with self._requests, self._metrics.under_way.track_inprogress():
            yield

    def reader(self, parameters: FaceParameters) -> FaceReader:
        """Check a request's parameters and return a reader for them. Raises :class:`ApiError`."""
        for name in ("min_score", "min_size", "max_faces"):
            if not parameters.detects and getattr(parameters, name) is not None:
                raise ApiError(f"'{name}' limits detected faces; leave it out with crops=true.", code="bad-parameter")
        try:
            return FaceReader(
                self._classifier.with_output(parameters.output),
                LimitedDetector(self._detector, parameters.min_score, parameters.min_size),
                classes=parameters.classes,
            )
        except (DataError, ModelError) as error:
            raise ApiError(str(error), code="bad-parameter") from None

    def tracker(self, parameters: FaceParameters) -> Tracker:
        """Return a tracker for one stream. Raises :class:`ApiError`."""
        reader = self.reader(parameters)
        most = min(parameters.max_faces or self._limits.max_faces, self._limits.max_faces)
        detector = LimitedDetector(reader.detector, max_faces=most)
        return Tracker(reader.classifier, detector=detector, classes=parameters.classes)

    async def predict(
        self, files: list[bytes], parameters: FaceParameters, reader: FaceReader, *, draw: bool = False
    ) -> "list[PredictedImage | ApiError]":
        """Predict a request's images, a few at a time, so that others need not wait; an error for each that fails."""
        limits, crops, max_faces = self._limits, not parameters.detects, parameters.max_faces
        deadline = asyncio.get_running_loop().time() + limits.work_seconds
        turns = asyncio.Semaphore(limits.images_at_once)

        async def predict_one(file: bytes, source: str) -> PredictedImage | ApiError:
            work: Future[PredictedImage] | None = None
            try:
                async with asyncio.timeout_at(deadline), turns:
                    work = self.pool.submit(
                        predict_image, file, reader, limits, source=source, crops=crops, max_faces=max_faces, draw=draw
                    )
                    image = await asyncio.wrap_future(work)
            except TimeoutError:
                if work is not None and work.cancel():
                    return ApiError("The service did not get to this image in time. Try again.", code="busy")
                message = f"This image, or earlier ones, took over {limits.work_seconds:g} s. Shrink or send fewer."
                return ApiError(message, code="too-much-work")
            except ApiError as error:
                return error
            except Exception:  # noqa: BLE001 - one failed image must not affect the others
                _LOG.exception("an image of a request failed")
                return internal_error()
            self._metrics.faces.inc(len(image.response.faces))
            return image

        return await asyncio.gather(*(predict_one(file, f"image {at}") for at, file in enumerate(files, start=1)))


SERVED_FORMATS: tuple[str, ...] = ("PNG", "JPEG", "WEBP", "AVIF", "GIF")
"""Image formats that the service accepts. BMP and PPM are left out because Pillow decodes some slowly in Python; TIFF
because its C library writes to the log."""

_START_OF_SCAN, _END_OF_IMAGE, _FILL = 0xDA, 0xD9, 0xFF
_WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9)}
"""JPEG markers without a length (ITU-T T.81, table B.1), and the zero byte that follows 0xFF within a scan."""


class PredictedImage(NamedTuple):
    """The answer for one image; and the photo with boxes and answers as a JPEG, if requested."""

    response: ImageResponse
    drawn: bytes | None = None


def predict_image(
    data: bytes, reader: FaceReader, limits: Limits, *, source: str = "image", crops: bool = False,
    max_faces: int | None = None, draw: bool = False,
) -> PredictedImage:  # fmt: skip
    """Decode an image, detect its faces and classify them, or the ``max_faces`` largest; else ApiError. None keeps all,
    and refuses more than the limit. ``draw`` draws boxes and answers on the photo.
    """
    check_image(data, limits)
    try:
        image = open_image(data)
        if crops:
            crop = face_square(image, *reader.classifier.manifest.input.size_and_channels)
            (row,) = reader.classify(crop[np.newaxis])
            hint = photo_as_crop("this image", *image.size, option="crops=true")
            return PredictedImage(_response(image.size, [reader.prediction(source, row, crop)], 1, hint))
        rgb = upright_rgb(image)
    except DataError as error:
        raise ApiError(_capitalised(error), code="image-damaged") from None
    faces = reader.detect(rgb)
    kept = faces[:max_faces]
    if len(kept) > limits.max_faces:
        message = f"The image has {len(faces)} faces; the limit is {limits.max_faces}. max_faces keeps the largest."
        raise ApiError(message, code="too-many-faces")
    hint = crop_as_photo("this small image", option="crops=true") if may_be_crop(*image.size, len(faces)) else None
    predictions = reader.read(rgb, kept, source=source)
    drawn = encoded(draw_predictions(rgb, predictions), "JPEG", quality=90) if draw else None
    return PredictedImage(_response(image.size, predictions, len(faces), hint), drawn)


def _response(size: tuple[int, int], faces: list[Prediction], found: int, hint: Notice | None) -> ImageResponse:
    return ImageResponse(
        image=ImageSize(width=size[0], height=size[1]),
        faces=[FaceResponse(**face.to_dict()) for face in faces],
        faces_found=found,
        hint=None if hint is None else _capitalised(hint),
        hint_code=None if hint is None else hint.code,
    )


def _capitalised(words: object) -> str:
    return f"{str(words)[:1].upper()}{str(words)[1:]}"


def check_image(data: bytes, limits: Limits) -> None:
    """Check an image's header against the limits (pixels, JPEG scans), without decoding it; else ApiError."""
    try:
        with open_image_header(data, SERVED_FORMATS) as image:
            width, height = image.size
    except DataError as error:
        is_other = error.code == "image-format"
        words = "The file is no image. Send PNG, JPEG, WebP, AVIF or GIF." if is_other else _capitalised(error)
        if error.code == "image-pixels":  # its limit is that of a photo, not of a request
            words = f"The image has over {limits.max_pixels:,} pixels. Shrink it."
        raise ApiError(words, code=error.code) from None
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
