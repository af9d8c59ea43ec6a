"""``mien.export``: a run's weights as one model file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from mien.api.inputs import Data, read
from mien.base.errors import DataError, RunError, arg, needs_extra
from mien.base.files import whole_file
from mien.base.model_file import attach_manifest, read_manifest
from mien.base.preprocess import to_input
from mien.base.processes import usual_torch
from mien.base.progress import busy
from mien.base.run_folder import RunFolder
from mien.data.dataset import Dataset
from mien.evaluation.estimates import evaluate_predictions
from mien.exporting.quantize import to_fp16, to_int8
from mien.inference.find_model import find_model, find_trained, is_shipped
from mien.inference.predictor import Predictor
from mien.pipeline.evaluation_files import headline_values
from mien.pipeline.split_predictions import predict_split, with_model_classes

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
"""In what a model file stores its weights; int8 computes in 8 bits too."""

CALIBRATION_FACES = 512
"""Training faces whose activations calibrate the int8 ranges."""


@dataclass(frozen=True)
class ExportResult(os.PathLike[str]):
    """A model file that was written, compared with what it was made from. It can be given where a path is.

    Attributes:
        file: its path.
        precision: fp32, fp16 or int8.
        samples: how many faces were compared: of fp32 synthetic ones with torch, else validation with the fp32 file.
        agreement: fraction of them with the same top class, in the output where it is lowest.
        largest_difference: of any probability of any output, at temperature 1.
        accuracy: on validation, 0..1; None for fp32, as are the next two.
        original_accuracy: the fp32 file's, on the same samples.
        original_bytes: the fp32 file's size.
    """

    file: Path
    precision: Precision
    samples: int
    agreement: float
    largest_difference: float
    accuracy: float | None = None
    original_accuracy: float | None = None
    original_bytes: int | None = None

    def __fspath__(self) -> str:
        return str(self.file)

    @property
    def description(self) -> str:
        """In words."""
        told = f"{self.file}: {self.file.stat().st_size / 1e6:.2f} MB"
        whose, compared = "synthetic faces", "torch"
        if self.original_bytes is not None:
            whose, compared = "validation samples", "the fp32 file"
            told += (
                f", was {self.original_bytes / 1e6:.2f}. Validation accuracy: {self.accuracy:.2%} in {self.precision}, "
                f"was {self.original_accuracy:.2%}"
            )
        return (
            f"{told}. On {self.samples:,} {whose}, probabilities differ from {compared} by at most "
            f"{self.largest_difference:.1g}; the predicted class agrees on {self.agreement:.1%}."
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without what is None."""
        own = {"file": str(self.file), "bytes": self.file.stat().st_size}
        return own | {name: value for name, value in vars(self).items() if name != "file" and value is not None}


@usual_torch()
def export(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    precision: Precision = "fp32",
    data: Data | None = None,
) -> ExportResult:
    """Write a run's weights as one ``.onnx`` file, and prove that it gives the same probabilities.

    Args:
        run: the run folder.
        out: the file; ``model.onnx``, ``model.half.onnx`` or ``model.int8.onnx`` in the run folder by default.
        precision: fp16 halves the file; int8 quarters it and is faster. Both are measured on validation.
        data: labelled faces, needed for fp16 and int8.

    Raises:
        RunError: no finished epoch to export; no such precision; ``out`` is no ``.onnx`` file, or the file that is
            quantized.
        DataError: fp16 or int8 without data.
    """
    if precision not in get_args(Precision):
        raise RunError(
            f"precision is {precision!r}; it must be one of {', '.join(get_args(Precision))}.", code="precision-unknown"
        )
    folder, file = _checked(run, out)
    if precision == "fp32":
        with needs_extra("train", "Exporting"):
            # It imports torch, which the other precisions and `import mien` do without.
            from mien.exporting.to_onnx import export_run as export_fp32
        file = file or folder.model
        parity = export_fp32(folder, file)
        return ExportResult(file, precision, parity.faces, parity.agreement, parity.largest_difference)
    if data is None:
        raise DataError(
            f"{precision} is measured on the validation split; give {arg('data', 'PATH')}.", code="data-missing"
        )
    check_onnx()
    folder.read_recipe()
    model = find_model(folder.path)
    manifest = read_manifest(model)
    if manifest.precision != "fp32":
        raise RunError(
            f"{model} is already {manifest.precision}. Write it in fp32 with: mien export {folder.path}",
            code="precision",
        )
    if file is not None and file.resolve() == model.resolve():
        raise RunError(f"{arg('out')} is {model}, the fp32 file itself. Choose another file.", code="out-is-source")
    file = file or (folder.model_int8 if precision == "int8" else folder.model_fp16)
    return quantize(model, precision, read(data, *manifest.input.stored_as).faces, file)


def _checked(run: str | os.PathLike[str], out: str | os.PathLike[str] | None) -> tuple[RunFolder, Path | None]:
    """The run folder and the file to write. Raises :class:`RunError`."""
    shipped = is_shipped(run)
    folder, file = RunFolder(Path(run)), None if out is None else Path(out)
    if shipped and not folder.is_run:
        raise RunError(f"{run} is built in and already exported. mien export needs a run folder.", code="run-shipped")
    if not folder.path.exists():
        folder = find_trained(run)  # says what may have been meant
    if file is not None:
        check_model_file(file)
    return folder, file


def check_onnx() -> None:
    """Raise :class:`MissingExtraError` before any work, unless graphs can be changed here."""
    with needs_extra("train", "Exporting"):
        import onnx  # noqa: F401


def check_model_file(out: Path) -> None:
    """Raise :class:`RunError` unless a model can be written to this path by its name."""
    if out.suffix != ".onnx" or out.is_dir():
        raise RunError(f"{arg('out')} must name a .onnx file; found {out}.", code="out-suffix")


def quantize(model: Path, precision: Literal["fp16", "int8"], faces: Dataset, out: Path) -> ExportResult:
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
    images = np.asarray(faces.of_split("validation").images)
    pairs = [(before.probabilities, after.probabilities)]
    for output in original.manifest.all_outputs:
        if output.name != original.output.name:
            one, two = (each.with_output(output.name).probabilities(images, 1.0) for each in (original, quantized))
            pairs.append((one, two))
    return ExportResult(
        file=out,
        precision=precision,
        samples=len(after),
        agreement=min(float((one.argmax(axis=1) == two.argmax(axis=1)).mean()) for one, two in pairs),
        largest_difference=max(float(np.abs(one - two).max()) for one, two in pairs),
        accuracy=after.accuracy,
        original_accuracy=before.accuracy,
        original_bytes=model.stat().st_size,
    )


def _calibration_inputs(predictor: Predictor, faces: Dataset) -> Any:
    """Inputs of some training faces, always the same ones. float32 (N, channels, S, S)."""
    chosen = with_model_classes(predictor, faces).of_split("train")
    some = np.random.default_rng(0).permutation(len(chosen))[:CALIBRATION_FACES]
    return to_input(chosen.images[np.sort(some)], predictor.manifest.input)
