"""Export a model in fp16 or int8, and measure it on validation beside the original."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mien.artifact import attach_manifest
from mien.data.dataset import Dataset
from mien.evaluation.estimates import evaluate_predictions
from mien.exporting.quantize import to_fp16, to_int8
from mien.files import whole_file
from mien.inference.predictor import Predictor
from mien.pipeline.evaluation_files import headline_values
from mien.pipeline.split_predictions import predict_split, with_model_classes
from mien.preprocess import to_input
from mien.progress import busy

CALIBRATION_FACES = 512
"""Training faces whose activations calibrate the int8 ranges."""


@dataclass(frozen=True)
class OutputDifference:
    """How far one output of a quantized model is from the original's on validation.

    Attributes:
        agreement: fraction of samples with the same top class.
        mean_difference: mean absolute difference of the probabilities, at temperature 1; ``largest_difference`` is
            the maximum.
    """

    agreement: float
    mean_difference: float
    largest_difference: float

    def description(self) -> str:
        """In words."""
        return (
            f"Same top class: {self.agreement:.1%}. Probabilities differ by {self.mean_difference:.2g} on average, "
            f"{self.largest_difference:.2g} at most."
        )


@dataclass(frozen=True)
class QuantizedModel(OutputDifference):
    """A quantized model, measured on validation beside the original.

    Attributes:
        file: its path.
        precision: fp16 or int8.
        bytes: its size; ``original_bytes`` is the original's.
        samples: number of validation samples.
        accuracy: 0..1; ``original_accuracy`` is the original's on the same samples.
        outputs: the same differences for each output taught by votes, by name.
    """

    file: str
    precision: str
    bytes: int
    original_bytes: int
    samples: int
    accuracy: float
    original_accuracy: float
    outputs: dict[str, OutputDifference]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)

    def description(self) -> str:
        """In words."""
        return (
            f"{self.file}: {self.bytes / 1e6:.2f} MB, was {self.original_bytes / 1e6:.2f}. "
            f"Validation accuracy ({self.samples:,} samples): {self.accuracy:.2%} in {self.precision}, was "
            f"{self.original_accuracy:.2%}. {super().description()}"
            + "".join(f"\nOutput {name}: {each.description()}" for name, each in self.outputs.items())
        )


def export_quantized(model: Path, precision: Literal["fp16", "int8"], faces: Dataset, out: Path) -> QuantizedModel:
    """Quantize a model file, measure both files, and write the new one with its metrics in its manifest.

    The temperature stays the original's. The manifest gets metrics only if ``faces`` is the data that the model was
    trained on, because it holds that data's fingerprint.

    Args:
        model: an fp32 ``.onnx`` file of mien's.
        precision: fp16 stores weights in half precision; int8 quantizes weights and activations.
        faces: labelled faces at the model's size, with a training (int8) and a validation split.
        out: the file to write.

    Raises:
        DataError: a split is missing, or the data has a class that the model does not have.
        ModelError: weights that the precision cannot represent.
        RunError: the file cannot be written.
    """
    original = Predictor(model).for_labels()
    before = predict_split(original, faces, "validation", temperature=1.0)
    with busy(f"exporting in {precision}"):
        content = model.read_bytes()
        graph = to_fp16(content) if precision == "fp16" else to_int8(content, _calibration_inputs(original, faces))
    manifest = original.manifest.model_copy(update={"precision": precision, "scores": {}})
    with whole_file(out) as temporary:
        temporary.write_bytes(attach_manifest(graph, manifest))
        quantized = Predictor(temporary).for_labels()
        after = predict_split(quantized, faces, "validation", temperature=1.0)
        if faces.matches_training_data(manifest.data_fingerprint):
            scores = headline_values(evaluate_predictions(after, resamples=1))
            graph = attach_manifest(graph, manifest.model_copy(update={"scores": scores}))
            temporary.write_bytes(graph)
    tops = [each.probabilities.argmax(axis=1) for each in (before, after)]
    return QuantizedModel(
        file=str(out),
        precision=precision,
        bytes=out.stat().st_size,
        original_bytes=model.stat().st_size,
        samples=len(after),
        accuracy=float((tops[1] == after.labels).mean()),
        original_accuracy=float((tops[0] == before.labels).mean()),
        outputs=_vote_differences(original, quantized, np.asarray(faces.of_split("validation").images)),
        **asdict(_difference(before.probabilities, after.probabilities)),
    )


def _difference(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> OutputDifference:
    apart = np.abs(after - before)
    return OutputDifference(
        agreement=float((before.argmax(axis=1) == after.argmax(axis=1)).mean()),
        mean_difference=float(apart.mean()),
        largest_difference=float(apart.max()),
    )


def _vote_differences(
    original: Predictor, quantized: Predictor, images: npt.NDArray[np.uint8]
) -> dict[str, OutputDifference]:
    found = {}
    for output in original.manifest.all_outputs:
        if output.name is not None and output.perceived:
            both = [each.with_output(output.name).probabilities(images, 1.0) for each in (original, quantized)]
            found[output.name] = _difference(*both)
    return found


def _calibration_inputs(predictor: Predictor, faces: Dataset) -> Any:
    """Inputs of some training faces, always the same ones. float32 (N, 1, C, C)."""
    chosen = with_model_classes(predictor, faces).of_split("train")
    some = np.random.default_rng(0).permutation(len(chosen))[:CALIBRATION_FACES]
    return to_input(chosen.images[np.sort(some)], predictor.manifest.input)
