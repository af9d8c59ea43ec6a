"""The model file at work: face crops in, probabilities out, by onnxruntime and never by torch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mien.artifact import open_model
from mien.errors import ModelError
from mien.inference.model_run import run_model, softmax
from mien.inference.providers import CPU, check_provider, find_provider
from mien.manifest import Manifest, ModelOutput
from mien.preprocess import to_input
from mien.progress import slices

BATCH = 64
"""Face crops that the network sees at a time."""


class OnnxClassifier:
    """Classifies face crops by one output of a model. Safe to call from several threads.

    Args:
        path: a ``.onnx`` file that mien exported.
        threads: how many threads a prediction may use; None leaves it to onnxruntime.
        output: name of the output that answers; see :meth:`mien.manifest.Manifest.output`.
        provider: which device computes; see :func:`mien.inference.providers.find_provider`. On another than the CPU a
            fixed input must give the CPU's probabilities.

    Attributes:
        path: the file.
        manifest: the model's metadata: outputs, input size, version.
        output: the output that answers: its name, classes, temperature.

    Raises:
        ModelError: the file is missing, damaged, not mien's, or of a newer mien; the model has no such output; the
            provider is missing, unusable or answers differently.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        threads: int | None = None,
        output: str | None = None,
        provider: str | None = None,
    ) -> None:
        self.path: Path = Path(path)
        self._threads, self._provider = threads, provider
        chosen = find_provider(provider)
        self.manifest: Manifest
        self._session, self.manifest = open_model(self.path, threads, chosen)
        if chosen != CPU:
            check_provider(self._session, open_model(self.path, threads)[0], chosen)
        self.output: ModelOutput = self.manifest.output(output)

    def with_output(self, output: str | None) -> Self:
        """The same model, answering by another output. It shares the memory of this one.

        Raises:
            ModelError: the model has no such output (``output-unknown``).
        """
        return self._answering_by(self.manifest.output(output))

    def for_labels(self) -> Self:
        """The same model, answering by the output that learned labels. Metrics and gradients are of that one."""
        return self._answering_by(self.manifest.all_outputs[0])

    def _answering_by(self, output: ModelOutput) -> Self:
        other = copy(self)
        other.output = output
        return other

    def __copy__(self) -> Self:
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__dict__)
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled as its file's path, which is opened again."""
        return type(self), (self.path.absolute(), self._threads, self.output.name, self._provider)

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.output.classes

    def probabilities(self, images: npt.NDArray[np.uint8], temperature: float | None = None) -> npt.NDArray[np.float64]:
        """Classify face crops, a batch at a time, so N may be large.

        Args:
            images: face crops, uint8 (N, size_px, size_px), in colour (N, size_px, size_px, 3), 0..255: N times
                ``manifest.input.face_shape``.
            temperature: divides the logits before the softmax; the output's own by default.

        Returns:
            float64 (N, C), each row sums to 1.

        Raises:
            DataError: another shape or dtype.
            ModelError: as :func:`mien.inference.model_run.run_model`.
        """
        divisor = self.output.temperature if temperature is None else temperature
        return softmax(self._run(images, [self.output.logits])[0].astype(np.float64) / divisor)

    def output_probabilities(
        self, images: npt.NDArray[np.uint8], temperatures: Mapping[str, float]
    ) -> npt.NDArray[np.float64]:
        """Classify face crops by several outputs in one pass through the network.

        Args:
            images: as in :meth:`probabilities`.
            temperatures: what divides the logits of each output, by its name in ``manifest.outputs``.

        Returns:
            float64 (N, sum of their classes): the outputs side by side, in the order of ``temperatures``. Each row of
            each output sums to 1.

        Raises:
            DataError: another shape or dtype.
            ModelError: no such output.
        """
        found = self._run(images, [self.manifest.output(output).logits for output in temperatures])
        divided = zip(found, temperatures.values(), strict=True)
        return np.concatenate([softmax(logits.astype(np.float64) / by) for logits, by in divided], axis=1)

    def probabilities_of_inputs(self, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Classify network inputs, such as augmented training images, at temperature 1.

        Args:
            inputs: float32 (N, channels, crop_px, crop_px), normalised as by :func:`mien.preprocess.to_input`.

        Returns:
            float64 (N, C), each row sums to 1.
        """
        return self.outputs_of_inputs(inputs, [self.output])[0]

    def outputs_of_inputs(
        self, inputs: npt.NDArray[np.float32], outputs: Sequence[ModelOutput]
    ) -> list[npt.NDArray[np.float64]]:
        """:meth:`probabilities_of_inputs` of several outputs, in one pass through the network."""
        found = run_model(self._session, [output.logits for output in outputs], inputs, self.path)
        return [softmax(logits.astype(np.float64)) for logits in found]

    def features(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Embeddings of face crops: the input of the network's last layer.

        Args:
            images: as in :meth:`probabilities`.

        Returns:
            float32 (N, D).

        Raises:
            DataError: another shape or dtype.
            ModelError: the model file has no output for features (``features-missing``).
        """
        if "features" not in self._widths:
            raise ModelError("This model file has no features. Export the run again.", code="features-missing")
        return self._run(images, ["features"])[0]

    @property
    def _widths(self) -> dict[str, int]:
        """How many numbers each output of the graph gives about a face."""
        return {output.name: output.shape[1] for output in self._session.get_outputs()}

    def _run(self, images: npt.NDArray[np.uint8], names: Sequence[str]) -> list[npt.NDArray[np.float32]]:
        """Outputs of the graph by name, a batch of face crops at a time: float32 (N, width) each."""
        parts = [
            run_model(self._session, names, to_input(images[batch], self.manifest.input), self.path)
            for batch in slices(len(images), BATCH)
        ]
        if not parts:
            return [np.empty((0, self._widths[name]), dtype=np.float32) for name in names]
        return [np.concatenate(each) for each in zip(*parts, strict=True)]
