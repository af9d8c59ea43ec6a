"""``mien.Predictor``: predictions from images of any kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack, overload

import numpy as np

from mien.base.arrays import Array
from mien.base.errors import DataError, MienError, Notice
from mien.base.images import StandardInput, image_files, name_of, open_image_source
from mien.base.preprocess import face_square, from_opencv, upright_rgb
from mien.base.run_folder import find_model
from mien.faces.face import LimitedDetector, crop_as_photo, may_be_crop, photo_as_crop
from mien.faces.find import find_detector
from mien.inference.face_reader import FaceReader
from mien.inference.onnx_classifier import BATCH, OnnxClassifier
from mien.inference.prediction import Photo, Prediction

if TYPE_CHECKING:
    from mien.base.images import ImageSource
    from mien.faces.face import Detector

T = TypeVar("T")

FLAT = 48 * 48
"""A grey array of this width or more is treated as rows of flattened faces, not as a face crop."""

MAX_SEARCHED = 3
"""Number of images given as face crops that are compared with photos."""


class PredictOptions(TypedDict, total=False):
    """Options of :meth:`Predictor.predict`."""

    classes: str | None
    min_score: float | None
    min_size: int | None
    max_faces: int | None
    detector: Detector | None
    on_error: Callable[[str, DataError], None] | None
    bgr: bool


class Predictor(OnnxClassifier):
    """A model that predicts the expression of each face in images. Thread-safe.

    :func:`mien.load` makes one. For face crops that are already arrays, use :meth:`probabilities`.
    """

    def __repr__(self) -> str:
        named = f" {self.output.name}" if self.output.name else ""
        return f"<Predictor {self.manifest.full_name}{named}: {', '.join(self.classes)}>"

    @overload  # a str is also an iterable of str; the first overload applies
    def predict(  # type: ignore[overload-overlap]
        self, image: ImageSource, **options: Unpack[PredictOptions]
    ) -> list[Prediction]: ...
    @overload
    def predict(self, image: Iterable[ImageSource], **options: Unpack[PredictOptions]) -> list[list[Prediction]]: ...

    def predict(
        self,
        image: ImageSource | Iterable[ImageSource],
        *,
        classes: str | None = None,
        min_score: float | None = None,
        min_size: int | None = None,
        max_faces: int | None = None,
        detector: Detector | None = None,
        on_error: Callable[[str, DataError], None] | None = None,
        bgr: bool = False,
    ) -> list[Prediction] | list[list[Prediction]]:
        """Detect and classify the faces in one image, or in several.

        Args:
            image: path, image bytes, open binary file, PIL image, or array uint8 (H, W) grey or (H, W, 3) RGB; or
                several of these: a list, a pandas Series of paths, a generator.
            classes: label scheme that merges the model's classes; see :class:`FaceReader`.
            min_score: lowest detector score of a face, 0..1; None uses the detector's limit.
            min_size: smallest longer side of a face, in pixels.
            max_faces: number of largest faces to keep in each image.
            detector: your own detector; None uses mien's, see :func:`mien.faces.find_detector`.
            on_error: called with name and error of each unreadable image, which then has no predictions; by default the
                error is raised.
            bgr: True if arrays are BGR or BGRA, as OpenCV reads images.

        Returns:
            A :class:`Prediction` for each face, the largest first; empty without faces. For several images, lists.

        Raises:
            DataError: not an image, a label scheme that does not match the model, or an impossible limit.
            ModelError: the face detector cannot be used; see :func:`mien.faces.find_detector`.
        """
        several = is_several(image)
        if (limits := (min_score, min_size, max_faces)) != (None, None, None):
            detector = LimitedDetector(find_detector(detector), *limits)
        images: Iterable[Any] = image if several else [image]  # type: ignore[assignment]
        found: list[list[Prediction]] = []
        crops: list[str] = []

        def skip(source: str, error: DataError) -> None:
            assert on_error is not None
            on_error(source, error)
            found.append([])

        for photo in self.stream(
            images, classes=classes, detector=detector, on_error=skip if on_error is not None else None, bgr=bgr
        ):
            found.append(photo.predictions)
            if may_be_crop(photo.width, photo.height, len(photo.predictions)):
                crops.append(photo.source)
        if crops:
            names = crops[0] if len(crops) == 1 else f"{len(crops)} small images, such as {crops[0]}"
            crop_as_photo(names, option="predict_crops").warn()
        return found if several else found[0]

    def predict_crops(
        self, images: ImageSource | Iterable[ImageSource], *, classes: str | None = None
    ) -> list[Prediction]:
        """Classify images that are face crops, about as tight as FER2013's, without detection.

        Args:
            images: images as in :meth:`predict`, a stack of arrays (N, H, W) or (N, H, W, 3), the path of a folder, or
                a single image.
            classes: label scheme, as in :meth:`predict`.

        Returns:
            One prediction per image, in order; for a folder, by file name.

        Raises:
            DataError: not an image, a folder without images, or a label scheme that does not match the model.

        >>> import mien, numpy as np
        >>> (prediction,) = mien.load().predict_crops(np.full((48, 48), 128, dtype=np.uint8))
        >>> round(sum(prediction.probabilities.values()), 6)
        1.0
        """
        each: Iterable[Any] = [images]
        if isinstance(images, str | os.PathLike) and os.path.isdir(images):  # noqa: PTH112 - Path's raises of a long string
            each = image_files(images)
        elif isinstance(images, np.ndarray) and _is_stack(images):
            each = images
        elif isinstance(images, np.ndarray) and images.ndim == 2 and images.shape[1] == FLAT:
            words = f"An array of shape {images.shape} is no face crop; reshape rows of pixels: reshape(-1, 48, 48)."
            raise DataError(words, code="image-type")
        elif is_several(images):
            each = images  # type: ignore[assignment]
        if isinstance(each, list):
            for found in photos_as_crops(each, "predict_crops"):
                found.warn()
        return [photo.predictions[0] for photo in self.stream(each, crops=True, classes=classes)]

    def stream(
        self,
        images: Iterable[ImageSource],
        *,
        crops: bool = False,
        classes: str | None = None,
        detector: Detector | None = None,
        on_error: Callable[[str, DataError], None] | None = None,
        bgr: bool = False,
    ) -> Generator[Photo, None, None]:
        """Detect and classify faces of images in order, with bounded memory: one photo or batch of crops at a time.

        Args:
            images: images, as in :meth:`predict`.
            crops: True if each image is a face crop with one prediction, as in :meth:`predict_crops`.
            classes: label scheme, as in :meth:`predict`.
            detector: face detector, as in :meth:`predict`.
            on_error: called with name and error of each unreadable image, which is then skipped.
            bgr: channel order, as in :meth:`predict`.

        Raises:
            DataError: an image cannot be read and ``on_error`` is None, or the label scheme does not match the model.
            ModelError: the face detector cannot be used.
        """
        # An array holds several images if it is a stack, or has one axis, which may be of paths.
        whole = images.ndim > 1 and not _is_stack(images) if isinstance(images, np.ndarray) else not is_several(images)
        if whole:
            raise DataError("stream takes several images; give a list, [image], or use predict.", code="image-type")
        reader = FaceReader(self, detector, classes=classes)
        return read_images(reader, map(from_opencv, images) if bgr else images, crops=crops, on_error=on_error)


def read_images(
    reader: FaceReader,
    images: Iterable[ImageSource],
    *,
    crops: bool = False,
    on_error: Callable[[str, DataError], None] | None = None,
) -> Generator[Photo, None, None]:
    """Yield the results of :meth:`Predictor.stream` with a given reader."""
    if crops:
        form = reader.classifier.manifest.input.size_and_channels
        opened = _open_each(images, lambda image, _: face_square(open_image_source(image), *form), on_error)
        while batch := list(islice(opened, BATCH)):
            rows = reader.classify(np.stack([crop for _, crop in batch]))
            for (source, crop), row in zip(batch, rows, strict=True):
                yield Photo(source, form[0], form[0], None, [reader.prediction(source, row, crop)])
        return

    def read(image: ImageSource, source: str) -> Photo:
        rgb = upright_rgb(open_image_source(image))
        height, width = rgb.shape[:2]
        return Photo(source, width, height, reader.detector.name, reader.read(rgb, source=source), rgb)

    for _, photo in _open_each(images, read, on_error):
        yield photo


def photos_as_crops(images: Iterable[ImageSource], option: str) -> list[Notice]:
    """Return a notice if one of the first images given as face crops, by ``option``, is likely a photo."""
    for number, image in enumerate(islice(images, MAX_SEARCHED), start=1):
        # Images that cannot be read are reported when they are classified; an open file can be read once.
        with suppress(MienError, MemoryError):
            if not hasattr(image, "read"):
                height, width = upright_rgb(open_image_source(image)).shape[:2]
                if notice := photo_as_crop(_name(image, number), width, height, option=option):
                    return [notice]
    return []


def load(
    path: str | os.PathLike[str] = "default",
    threads: int | None = None,
    output: str | None = None,
    provider: str | None = None,
) -> Predictor:
    """Load a model for predicting.

    Args:
        path: run folder, ``.onnx`` file, or name of a built-in model.
        threads: number of threads for a prediction; None leaves it to onnxruntime.
        output: name of the model's output to use. None uses the answer rule if there is one, or else the output trained
            on votes, or else the label's; see docs/predict.md.
        provider: execution provider of ONNX Runtime: ``"cuda"``, ``"coreml"``, ``"openvino"``, ``"directml"``, ...;
            None is the CPU.

    Raises:
        ModelError: no such model, or it is damaged, not mien's, or of a newer mien; no such output
            (``output-unknown``); the provider is missing or unusable.
    """
    return Predictor(find_model(path), threads, output, provider)


def _open_each(
    images: Iterable[ImageSource],
    open_one: Callable[[ImageSource, str], T],
    on_error: Callable[[str, DataError], None] | None,
) -> Iterator[tuple[str, T]]:
    """Yield each image's name and the result of ``open_one``; unreadable images go to ``on_error`` or raise."""
    for number, image in enumerate(images, start=1):
        source = _name(image, number)
        try:
            opened = open_one(image, source)
        except MemoryError:
            error = DataError(
                f"{source} needs more memory than is free. Shrink it, or read fewer at a time.", code="image-pixels"
            )
        except DataError as found:
            said = str(found)
            if said.startswith("the image "):  # replace the name "bytes" by a number
                said = source + said.removeprefix("the image")
            error = DataError(said if said.startswith(source) else f"{source}: {said}", code=found.code)
        else:
            yield source, opened
            continue
        if on_error is None:
            raise error from None
        on_error(source, error)


def _name(image: ImageSource, number: int) -> str:
    if isinstance(image, os.PathLike):
        return os.fspath(image)
    # A text may also be a whole image in base64, which name_of shortens.
    return name_of(image) if isinstance(image, str | StandardInput) else f"image {number}"


def is_several(images: object) -> bool:
    """Return whether ``images`` holds several images. A single array is one image."""
    one = isinstance(images, str | bytes | bytearray | memoryview | os.PathLike | np.ndarray | Mapping)
    return isinstance(images, Iterable) and not (one or hasattr(images, "read") or hasattr(images, "getbands"))


def _is_stack(array: Array) -> bool:
    return array.ndim == 4 or (array.ndim == 3 and array.shape[2] not in {1, 2, 3, 4})
