"""Read expressions in faces with a model file: NumPy in, probabilities out, never torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt

from mien.artifact import open_model
from mien.errors import DataError, ModelError
from mien.faces.crop import face_squares
from mien.faces.find import find_detector
from mien.inference.clip import Clip
from mien.inference.image_files import image_files
from mien.inference.locate import find_model
from mien.inference.readings import Photo, Reading
from mien.inference.tracking import HALF_LIFE_SECONDS
from mien.inference.video import DETECT_EVERY_SECONDS, VideoFrame, VideoReader, read_video
from mien.labels import check_threshold, parse_scheme
from mien.pictures import open_picture
from mien.preprocess import grey_square, to_input, upright_rgb

if TYPE_CHECKING:
    from PIL.Image import Image

    from mien.faces.face import Detector
    from mien.labels import LabelScheme
    from mien.pictures import Picture

BATCH = 64

T = TypeVar("T")


class Classifier:
    """A model ready to read faces. Safe to call from several threads.

    Attributes:
        manifest: what the model is.
        classes: its class names.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        self._session, self.manifest = open_model(Path(path), threads)

    def __repr__(self) -> str:
        return f"<Classifier {self.manifest.full_name}: {', '.join(self.classes)}>"

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.manifest.classes

    def probabilities(self, images: npt.NDArray[np.uint8], temperature: float | None = None) -> npt.NDArray[np.float64]:
        """Read faces that are grey squares of the model's size already.

        Args:
            images: uint8 (N, size_px, size_px), 0..255. Worked through in batches, so N may be large.
            temperature: what logits are divided by before the softmax; the manifest's by default.

        Returns:
            float64 (N, C), each row sums to 1.

        Raises:
            DataError: another shape.
        """
        divisor = self.manifest.temperature if temperature is None else temperature
        parts = [self._batch(images[first : first + BATCH], divisor) for first in range(0, len(images), BATCH)]
        return np.concatenate(parts) if parts else np.empty((0, len(self.classes)))

    def probabilities_of_inputs(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The network's own probabilities, at temperature 1, of what training shows: cut and normalised, maybe mixed.

        Args:
            inputs: float32 (N, 1, crop_px, crop_px), as :func:`mien.preprocess.to_input` makes them of faces.

        Returns:
            float64 (N, C), each row sums to 1.
        """
        return softmax(self._session.run(["logits"], {"images": inputs})[0].astype(np.float64))

    def features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The network's own description of faces: what its last layer sees. uint8 (N, S, S) -> float32 (N, D).

        Raises:
            DataError: another shape.
            ModelError: a file that was exported without them.
        """
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        if "features" not in shapes:
            raise ModelError("This model file gives no features; export the run again with this mien.")
        parts = [
            self._session.run(["features"], {"images": to_input(images[first : first + BATCH], self.manifest.input)})[0]
            for first in range(0, len(images), BATCH)
        ]
        return np.concatenate(parts) if parts else np.empty((0, shapes["features"][1]), dtype=np.float32)

    def _batch(self, images: npt.NDArray[np.uint8], temperature: float) -> npt.NDArray[np.float64]:
        (logits,) = self._session.run(["logits"], {"images": to_input(images, self.manifest.input)})
        return softmax(logits.astype(np.float64) / temperature)

    @overload
    def predict(
        self,
        images: bytes | Image,
        *,
        crops: Literal[False] = False,
        classes: str | None = None,
        threshold: float | None = None,
    ) -> list[Reading]: ...
    @overload
    def predict(
        self, images: bytes | Image, *, crops: Literal[True], classes: str | None = None, threshold: float | None = None
    ) -> Reading: ...
    @overload
    def predict(
        self,
        images: list[Any] | tuple[Any, ...],
        *,
        crops: Literal[False] = False,
        classes: str | None = None,
        threshold: float | None = None,
    ) -> list[list[Reading]]: ...
    @overload
    def predict(
        self,
        images: list[Any] | tuple[Any, ...],
        *,
        crops: Literal[True],
        classes: str | None = None,
        threshold: float | None = None,
    ) -> list[Reading]: ...
    @overload
    def predict(
        self,
        images: str | os.PathLike[str] | npt.NDArray[Any],
        *,
        crops: bool = False,
        classes: str | None = None,
        threshold: float | None = None,
    ) -> Any: ...

    def predict(
        self,
        images: Picture | list[Any] | tuple[Any, ...],
        *,
        crops: bool = False,
        classes: str | None = None,
        threshold: float | None = None,
    ) -> Reading | list[Reading] | list[list[Reading]]:
        """Find and read the faces in one picture, or in several.

        Args:
            images: a path, the bytes of an image file, a PIL image, or an array uint8 (H, W) grey or (H, W, 3)
                RGB; or a list of these, a stack of arrays (N, H, W) or (N, H, W, 3), or the path of a folder.
            crops: each picture is a face already, cut out about as tightly as FER2013's; none is looked for.
            classes: a label scheme to merge the model's classes by, such as ``"binary"`` or
                ``"good=happy+surprise,bad=sad"``: probabilities are summed, those of dropped classes left out.
            threshold: between two classes, 0..1; None reads the likelier one. See
                :func:`mien.labels.positive_class`.

        Returns:
            For one picture a list with a :class:`Reading` for each face, the largest first, which may be empty; for a
            list, a stack or a folder a list of such lists. With ``crops`` one Reading a picture instead.

        Raises:
            DataError: something that is not a picture; a folder without one; a scheme or threshold that does not
                suit the model.
            ModelError: the face detector cannot be used; see :func:`mien.faces.find_detector`.
        """
        pictures: Iterable[Any] = [images]
        several = True
        if isinstance(images, str | os.PathLike) and Path(images).is_dir():
            pictures = image_files(images)
        elif isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and _is_stack(images)):
            pictures = images
        else:
            several = False
        if crops:
            readings = list(self.stream(pictures, classes=classes, threshold=threshold))
            return readings if several else readings[0]
        found = [photo.readings for photo in self.photos(pictures, classes=classes, threshold=threshold)]
        return found if several else found[0]

    def stream(
        self,
        pictures: Iterable[Picture],
        on_bad: Callable[[DataError], None] | None = None,
        *,
        classes: str | None = None,
        threshold: float | None = None,
    ) -> Iterator[Reading]:
        """Read pictures that are faces already, in order, a batch at a time, at bounded memory.

        Args:
            pictures: as in :meth:`predict`.
            on_bad: is told of each picture that cannot be read, which is then left out.
            classes: as in :meth:`predict`.
            threshold: as in :meth:`predict`.

        Raises:
            DataError: a picture that cannot be read, where there is no ``on_bad``; a scheme or threshold that does
                not suit the model.
        """
        scheme, names = self.merging(classes, threshold)
        size_px = self.manifest.input.size_px
        opened = _open_each(pictures, lambda picture: grey_square(open_picture(picture), size_px), on_bad)
        for batch in _batches(opened, BATCH):
            squares = np.stack([square for _, square in batch])
            shares = self._shares(squares, scheme)
            for (source, square), scores in zip(batch, shares, strict=True):
                yield Reading(source, names, scores, threshold, face=square)

    def photos(
        self,
        pictures: Iterable[Picture],
        on_bad: Callable[[DataError], None] | None = None,
        *,
        classes: str | None = None,
        threshold: float | None = None,
        detector: Detector | None = None,
    ) -> Iterator[Photo]:
        """Find and read the faces of pictures, in order, a picture at a time, at bounded memory.

        Args:
            pictures: as in :meth:`predict`.
            on_bad: is told of each picture that cannot be read, which is then left out.
            classes: as in :meth:`predict`.
            threshold: as in :meth:`predict`.
            detector: what finds the faces; :func:`mien.faces.find_detector` chooses one by default.

        Raises:
            DataError: as :meth:`stream`.
            ModelError: the face detector cannot be used.
        """
        scheme, names = self.merging(classes, threshold)
        finder = find_detector() if detector is None else detector
        for source, rgb in _open_each(pictures, lambda picture: upright_rgb(open_picture(picture)), on_bad):
            faces = finder.detect(rgb)
            squares = face_squares(rgb, [face.box for face in faces], finder.margin, self.manifest.input.size_px)
            readings = [
                Reading(source, names, scores, threshold, face.box, square)
                for face, square, scores in zip(faces, squares, self._shares(squares, scheme), strict=True)
            ]
            yield Photo(source, rgb.shape[1], rgb.shape[0], finder.name, faces, readings, rgb)

    def video(
        self,
        path: str | os.PathLike[str],
        *,
        classes: str | None = None,
        threshold: float | None = None,
        half_life_seconds: float = HALF_LIFE_SECONDS,
        detect_every_seconds: float = DETECT_EVERY_SECONDS,
        detector: Detector | None = None,
    ) -> Iterator[VideoFrame]:
        """Find, follow and read the faces of a video, a frame at a time, at bounded memory.

        Args:
            path: a video file.
            classes: as in :meth:`predict`.
            threshold: as in :meth:`predict`.
            half_life_seconds: of the smoothing of each face's readings over time; 0 smooths nothing.
            detect_every_seconds: how often faces are looked for in whole frames; they are followed in between.
            detector: as in :meth:`photos`.

        Returns:
            All frames in order, each with the faces that are seen in it.

        Raises:
            DataError: no video, or none that can be read; a scheme or threshold that does not suit the model.
            ModelError: the face detector cannot be used.
            MissingExtraError: PyAV is not installed.
        """
        reader = VideoReader(
            self,
            find_detector() if detector is None else detector,
            os.fspath(path),
            classes=classes,
            threshold=threshold,
            half_life_seconds=half_life_seconds,
            detect_every_seconds=detect_every_seconds,
        )
        return read_video(Clip(path), reader)

    def merging(self, classes: str | None, threshold: float | None) -> tuple[LabelScheme | None, tuple[str, ...]]:
        """The scheme to merge probabilities by, if any, and the names of the classes then.

        Raises:
            DataError: a scheme or threshold that does not suit the model.
        """
        scheme = parse_scheme("all" if classes is None else classes)
        names = self.classes
        if scheme is not None:
            scheme.mapping(self.classes, "the model")
            names = scheme.classes
        if threshold is not None:
            check_threshold(threshold, names)
        return scheme, names

    def _shares(self, squares: npt.NDArray[np.uint8], scheme: LabelScheme | None) -> npt.NDArray[np.float64]:
        shares = self.probabilities(squares)
        return shares if scheme is None else scheme.merge_probabilities(shares, self.classes)


def load(path: str | os.PathLike[str] = "default", threads: int | None = None) -> Classifier:
    """Load a model for reading faces.

    Args:
        path: a run folder, a ``.onnx`` file, or the name of a model that comes with mien.
        threads: how many threads a prediction may use; None leaves it to onnxruntime.

    Raises:
        ModelError: no model there, damaged, not mien's, or of a newer mien.
    """
    return Classifier(find_model(path), threads)


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Softmax over the last axis, in float64, safe for any finite logits."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _open_each(
    pictures: Iterable[Picture], open_one: Callable[[Picture], T], on_bad: Callable[[DataError], None] | None
) -> Iterator[tuple[str, T]]:
    """What each picture is called, and what ``open_one`` makes of it; a bad one goes to ``on_bad`` or is raised."""
    for number, picture in enumerate(pictures, start=1):
        source = str(picture) if isinstance(picture, str | os.PathLike) else f"image {number}"
        try:
            opened = open_one(picture)
        except DataError as error:
            fault = error if source in str(error) else DataError(f"{source}: {error}")
            if on_bad is None:
                raise fault from None
            on_bad(fault)
            continue
        yield source, opened


def _is_stack(array: npt.NDArray[Any]) -> bool:
    return array.ndim == 4 or (array.ndim == 3 and array.shape[2] not in {1, 2, 3, 4})


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
