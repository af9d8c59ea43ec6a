"""Read expressions in faces with a model file: NumPy in, probabilities out, never torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, overload

import numpy as np
import numpy.typing as npt

from mien.artifact import open_model
from mien.errors import DataError, ModelError
from mien.inference.locate import find_model
from mien.inference.readings import Reading
from mien.labels import check_threshold, parse_scheme
from mien.preprocess import IMAGE_SUFFIXES, grey_square, open_image, to_input

if TYPE_CHECKING:
    from PIL.Image import Image

    Picture: TypeAlias = str | os.PathLike[str] | bytes | npt.NDArray[Any] | Image

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
        self, images: bytes | Image, *, classes: str | None = None, threshold: float | None = None
    ) -> Reading: ...
    @overload
    def predict(
        self, images: list[Any] | tuple[Any, ...], *, classes: str | None = None, threshold: float | None = None
    ) -> list[Reading]: ...
    @overload
    def predict(
        self,
        images: str | os.PathLike[str] | npt.NDArray[Any],
        *,
        classes: str | None = None,
        threshold: float | None = None,
    ) -> Any: ...

    def predict(
        self,
        images: Picture | list[Any] | tuple[Any, ...],
        *,
        classes: str | None = None,
        threshold: float | None = None,
    ) -> Reading | list[Reading]:
        """Read one picture of a face, or several.

        Args:
            images: a path, the bytes of an image file, a PIL image, or an array uint8 (H, W) grey or (H, W, 3)
                RGB; or a list of these, a stack of arrays (N, H, W) or (N, H, W, 3), or the path of a folder.
                Each picture is a face already, cut out about as tightly as FER2013's.
            classes: a label scheme to merge the model's classes by, such as ``"binary"`` or
                ``"good=happy+surprise,bad=sad"``: probabilities are summed, those of dropped classes left out.
            threshold: between two classes, 0..1; None reads the likelier one. See
                :func:`mien.labels.positive_class`.

        Returns:
            A :class:`Reading`; a list of them for a list, a stack or a folder.

        Raises:
            DataError: something that is not a picture; a folder without one; a scheme or threshold that does not
                suit the model.
        """
        stream = partial(self.stream, classes=classes, threshold=threshold)
        if isinstance(images, str | os.PathLike) and Path(images).is_dir():
            return list(stream(image_files(images)))
        if isinstance(images, list | tuple) or (isinstance(images, np.ndarray) and _is_stack(images)):
            return list(stream(images))
        return next(stream([images]))

    def stream(
        self,
        pictures: Iterable[Picture],
        on_bad: Callable[[DataError], None] | None = None,
        *,
        classes: str | None = None,
        threshold: float | None = None,
    ) -> Iterator[Reading]:
        """Read pictures in order, a batch at a time, at bounded memory.

        Args:
            pictures: as in :meth:`predict`.
            on_bad: is told of each picture that cannot be read, which is then left out.
            classes: as in :meth:`predict`.
            threshold: as in :meth:`predict`.

        Raises:
            DataError: a picture that cannot be read, where there is no ``on_bad``; a scheme or threshold that does
                not suit the model.
        """
        scheme = parse_scheme("all" if classes is None else classes)
        names = self.classes
        if scheme is not None:
            scheme.mapping(self.classes, "the model")
            names = scheme.classes
        if threshold is not None:
            check_threshold(threshold, names)
        for batch in _batches(enumerate(pictures, start=1), BATCH):
            sources: list[str] = []
            squares: list[npt.NDArray[np.uint8]] = []
            for number, picture in batch:
                named = isinstance(picture, str | os.PathLike)
                source = str(picture) if named else f"image {number}"
                try:
                    squares.append(_square(picture, self.manifest.input.size_px))
                    sources.append(source)
                except DataError as error:
                    fault = error if named else DataError(f"{source}: {error}")
                    if on_bad is None:
                        raise fault from None
                    on_bad(fault)
            if squares:
                shares = self.probabilities(np.stack(squares))
                if scheme is not None:
                    shares = scheme.merge_probabilities(shares, self.classes)
                for source, scores in zip(sources, shares, strict=True):
                    yield Reading(source, names, scores, threshold)


def load(path: str | os.PathLike[str] = "default", threads: int | None = None) -> Classifier:
    """Load a model for reading faces.

    Args:
        path: a run folder, a ``.onnx`` file, or the name of a model that comes with mien.
        threads: how many threads a prediction may use; None leaves it to onnxruntime.

    Raises:
        ModelError: no model there, damaged, not mien's, or of a newer mien.
    """
    return Classifier(find_model(path), threads)


def image_files(folder: str | os.PathLike[str]) -> list[Path]:
    """All image files below a folder, by suffix, sorted; hidden ones are left out.

    Raises:
        DataError: there is none.
    """
    found = sorted(
        path
        for path in Path(folder).rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path.is_file()
    )
    if not found:
        raise DataError(f"{os.fspath(folder)} holds no images ({', '.join(sorted(IMAGE_SUFFIXES))}).")
    return found


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Softmax over the last axis, in float64, safe for any finite logits."""
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def _square(picture: Picture, size_px: int) -> npt.NDArray[np.uint8]:
    if isinstance(picture, str | os.PathLike | bytes):
        return grey_square(open_image(picture), size_px)
    if isinstance(picture, np.ndarray) or hasattr(picture, "getbands"):
        return grey_square(picture, size_px)
    raise DataError(f"a {type(picture).__name__} is not a picture; give a path, bytes, a PIL image or a uint8 array.")


def _is_stack(array: npt.NDArray[Any]) -> bool:
    return array.ndim == 4 or (array.ndim == 3 and array.shape[2] not in {1, 3, 4})


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
