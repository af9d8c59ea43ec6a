"""Classifier for face crops that runs a model file with onnxruntime, without torch; and test-time augmentation."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from mien.base.arrays import Floats, Floats32, Pixels
from mien.base.errors import DataError, ModelError
from mien.base.heads import LabelHead
from mien.base.model_file import Manifest, open_model, stay_offline
from mien.base.preprocess import to_input
from mien.base.progress import slices

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCH = 64
"""Number of face crops per batch."""

CPU = "CPUExecutionProvider"
_SUFFIX = "ExecutionProvider"
_SHORT = {"directml": f"Dml{_SUFFIX}"}


class OnnxClassifier:
    """Classifies face crops with one output of a model. Thread-safe.

    Args:
        path: path of an ``.onnx`` file exported by mien.
        threads: number of threads for a prediction; None leaves it to onnxruntime.
        output: name of the output to use; see :meth:`mien.base.model_file.Manifest.output`.
        provider: execution provider, such as a GPU; see :func:`find_provider`.

    Attributes:
        manifest: metadata of the model: outputs, input size, version.
        output: the output in use: its name, classes, temperature.
        further: outputs whose values are not class probabilities; every prediction includes them.
        mirrored: whether a face and its mirror image may be averaged, see :attr:`Manifest.mirrored`.

    Raises:
        ModelError: the file is missing, damaged, not mien's, or of a newer mien; the model has no such output; the
            provider is missing or cannot start (``provider``); or threads are impossible (``options``).
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        threads: int | None = None,
        output: str | None = None,
        provider: str | None = None,
    ) -> None:
        if threads is not None and not (isinstance(threads, int | np.integer) and 1 <= threads <= 1024):
            raise ModelError(f"threads must be a whole number from 1 to 1024; found {threads!r}.", code="options")
        self.path: Path = Path(path)
        self._threads, self._provider = threads, provider
        chosen = find_provider(provider)
        self.manifest: Manifest
        self._session, self.manifest = open_model(self.path, threads, chosen)
        if chosen not in self._session.get_providers():
            words = f"ONNX Runtime could not start the provider {chosen}: a device or library is missing. Use cpu."
            raise ModelError(words, code="provider")
        self.output: LabelHead = self.manifest.output(output)
        self.further: tuple[LabelHead, ...] = self.manifest.further_outputs
        self.mirrored: bool = self.manifest.mirrored

    @classmethod
    def opened(cls, session: "InferenceSession", manifest: Manifest, path: Path) -> Self:
        """Return a classifier for an open session; ``path`` is where its file is, or will be."""
        model = cls.__new__(cls)
        model.path, model.manifest, model.mirrored = path, manifest, manifest.mirrored
        model._session, model._threads, model._provider = session, None, None
        model.output, model.further = manifest.output(None), manifest.further_outputs
        return model

    def with_output(self, output: str | None) -> Self:
        """Return the same model with another output in use. Both share memory.

        Raises ModelError if the model has no such output (``output-unknown``).
        """
        return self._answering_by(self.manifest.output(output))

    def for_labels(self) -> Self:
        """Return the same model with the label's output in use, on which metrics and gradients are computed."""
        return self._answering_by(self.manifest.all_outputs[0])

    def with_manifest(self, manifest: Manifest) -> Self:
        """Return the same graph with another manifest, which must have the same outputs. Both share memory."""
        other = self._answering_by(manifest.output(self.output.name))
        other.manifest, other.mirrored = manifest, manifest.mirrored
        return other

    def _answering_by(self, output: LabelHead) -> Self:
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        other.output = output
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle only the file's path; unpickling opens the file again."""
        return type(self), (self.path.absolute(), self._threads, self.output.name, self._provider)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.output.classes

    def probabilities(self, images: Pixels, temperature: float | None = None) -> Floats:
        """Compute probabilities of face crops, in batches, so that N may be large.

        Args:
            images: face crops, uint8 (N, size_px, size_px), or (N, size_px, size_px, 3) in colour, 0..255.
            temperature: divisor of the logits before the softmax; by default the output's own.

        Returns:
            float64 (N, C), rows sum to 1.

        Raises:
            DataError: wrong shape or dtype.
            ModelError: see :func:`run_model`.
        """
        return self.output.values(self._run(images, [self.output.logits])[0], temperature)

    def rows(self, images: Pixels) -> Floats:
        """Compute :meth:`probabilities`, with the values of :attr:`further` as additional columns."""
        heads = (self.output, *self.further)
        logits = self._run(images, [each.logits for each in heads])
        return np.concatenate([head.values(own) for head, own in zip(heads, logits, strict=True)], axis=1)

    def output_probabilities(self, images: Pixels, temperatures: Mapping[str, float]) -> Floats:
        """Compute probabilities of several outputs in one pass through the network, at the temperature of each.

        Returns float64 (N, K), where K is the number of all their classes: the outputs side by side, in the order of
        ``temperatures``. Probabilities of each output sum to 1 in each row. Crops are as in :meth:`probabilities`.
        """
        heads = {each.name: each for each in self.manifest.all_outputs}
        found = self._run(images, [heads[name].logits for name in temperatures])
        divided = zip(temperatures.items(), found, strict=True)
        return np.concatenate([heads[name].values(logits, by) for (name, by), logits in divided], axis=1)

    def features(self, images: Pixels) -> Floats32:
        """Compute embeddings of face crops, float32 (N, D): the input of the network's last layer.

        Crops are as in :meth:`probabilities`. Raises ModelError if the file has no features output
        (``features-missing``).
        """
        if "features" not in _widths(self._session):
            raise ModelError("This model file has no features. Export the run again.", code="features-missing")
        return self._run(images, ["features"])[0]

    def _run(self, images: Pixels, names: Sequence[str]) -> list[Floats32]:
        """Compute named outputs of the graph in batches: float32 (N, width) each."""
        parts = [
            run_model(self._session, names, to_input(images[batch], self.manifest.input), self.path)
            for batch in slices(len(images), BATCH)
        ]
        if not parts:
            return [np.empty((0, _widths(self._session)[name]), dtype=np.float32) for name in names]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]


def run_model(session: "InferenceSession", outputs: Sequence[str], inputs: Floats32, path: Path) -> list[Floats32]:
    """Run a graph on a batch, float32 (N, channels, crop_px, crop_px); return some outputs, float32 (N, C) each.

    Raises ModelError (``model-damaged``), which names the file, ``path``: onnxruntime failed, or an output is NaN,
    infinite or of a wrong shape.
    """
    try:
        found: list[Floats32] = session.run(list(outputs), {"images": inputs})
    except Exception as error:  # noqa: BLE001 - onnxruntime's exceptions share no base class below Exception
        reason = (str(error) or type(error).__name__).splitlines()[0][:160]
        raise ModelError(f"{path} cannot be run: {reason}. Export the model again.", code="model-damaged") from None
    widths = _widths(session)
    for output, values in zip(outputs, found, strict=True):
        fits = values.shape == (len(inputs), widths[output])
        if not (fits and np.isfinite(values).all()):
            what = "that are NaN or infinite" if fits else f"of shape {values.shape} for {len(inputs)} images"
            raise ModelError(f"{path} gives {output} {what}. Export the model again.", code="model-damaged")
    return found


def _widths(session: "InferenceSession") -> dict[str, int]:
    return {output.name: output.shape[1] for output in session.get_outputs()}


def find_provider(name: str | None) -> str:
    """Return ONNX Runtime's name of an execution provider; None is the CPU.

    ``name`` is ``cpu``, ``cuda``, ``coreml``, ``openvino``, ``directml``, ..., or ONNX Runtime's, such as
    ``CUDAExecutionProvider``, in any case. Raises ModelError if it is not installed (``provider``).
    """
    if name is None:
        return CPU
    stay_offline()
    import onnxruntime

    present: list[str] = onnxruntime.get_available_providers()
    name = str(name)
    wanted = _SHORT.get(name.lower(), name).lower().removesuffix(_SUFFIX.lower())
    found = next((each for each in present if each.lower().removesuffix(_SUFFIX.lower()) == wanted), None)
    if found is None:
        # Azure's, which sends images to a server, is no advice.
        known = ", ".join(sorted({provider.removesuffix(_SUFFIX).lower() for provider in present} - {"azure"}))
        words = f"ONNX Runtime has no provider '{name}' here; it has: {known}. For others, see onnxruntime-gpu."
        raise ModelError(words, code="provider")
    return found


VIEWS: dict[int, tuple[int, bool]] = {1: (1, False), 2: (1, True), 5: (5, False), 10: (5, True)}
"""Positions, and whether each is mirrored too, by number of views: 1, the crop; 2, also its mirror image; 5, centre and
corners; 10, those also mirrored (Krizhevsky et al. 2012, 4.1)."""

SHIFT = 1 / 24
"""Shift of a corner view as a fraction of the side; 2 of 48 pixels. Border pixels are repeated."""

_SHIFTS = ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))


def check_tta(views: int, mirrored: bool = True) -> None:
    """Raise DataError for a number of views that is not in :data:`VIEWS`, or for mirrored ones without ``mirrored``.

    Without ``mirrored``, the model was trained on faces as they are.
    """
    if views not in VIEWS:
        raise DataError(f"Test-time augmentation has 1, 2, 5 or 10 views; found {views}.", code="options")
    if VIEWS[views][1] and not mirrored:
        raise DataError("The model was trained without mirrored faces. Use 1 or 5 views.", code="options")


_NOTE = "the mean over {} views of each face"


def views_note(views: int) -> str:
    """Return the note of predictions over several views; ``""`` for one."""
    return "" if views == 1 else _NOTE.format(views)


def noted_views(note: str) -> int:
    """Return the number of views that :func:`views_note` named; 1 for any other note."""
    return next((views for views in VIEWS if _NOTE.format(views) in note), 1)


def augmented_views(images: Pixels, views: int) -> Iterator[Pixels]:
    """Yield the face crops in each view, the original first. uint8 (N, S, S[, 3]) -> ``views`` times the same shape."""
    side = images.shape[1]
    step = max(round(SHIFT * side), 1)
    padded = np.pad(images, [(0, 0), (step, step), (step, step), (0, 0)][: images.ndim], mode="edge")
    positions, mirrored = VIEWS[views]
    for down, right in _SHIFTS[:positions]:
        top, left = step * (1 + down), step * (1 + right)
        shifted = padded[:, top : top + side, left : left + side]
        yield shifted
        if mirrored:
            yield shifted[:, :, ::-1]


def mean_over_views(predict: Callable[[Pixels], Floats], images: Pixels, views: int) -> Floats:
    """Average the results of ``predict``, float64 (N, K), over the views of each face crop, in batches."""
    check_tta(views)
    if views == 1 or not len(images):
        return predict(images)
    parts = [images[part] for part in slices(len(images), BATCH)]
    return np.concatenate([sum(predict(view) / views for view in augmented_views(part, views)) for part in parts])
