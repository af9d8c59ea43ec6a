"""``mien.export`` and ``mien.load_network``: a run's weights as a model file, or in its network."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np

from mien.api.inputs import Data, read
from mien.base.errors import DataError, RunError, needs_extra
from mien.base.files import check_replaceable, expand_home, whole_file
from mien.base.model_file import attach_manifest, read_manifest
from mien.base.preprocess import to_input
from mien.base.processes import torch_defaults
from mien.base.progress import busy
from mien.base.run_folder import RunFolder, find_model, find_trained, is_shipped
from mien.data.dataset import Dataset
from mien.evaluation.estimates import evaluate_predictions
from mien.exporting.quantize import to_fp16, to_int8
from mien.inference.predictor import Predictor
from mien.pipeline.evaluation_files import headline_values
from mien.pipeline.split_predictions import predict_split, with_model_classes
from mien.version import __version__

if TYPE_CHECKING:
    from mien.models.own import Module

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
"""Number format of the weights; int8 also computes in 8 bits."""

CALIBRATION_FACES = 512
"""Number of training faces whose activations calibrate the int8 ranges."""


@dataclass(frozen=True)
class ExportResult(os.PathLike[str]):
    """An exported model file, compared with its source. The object can be given wherever a path is expected.

    Attributes:
        file: path of the file.
        precision: fp32, fp16 or int8.
        samples: number of compared faces: synthetic for fp32 (against torch), else validation (against fp32).
        agreement: fraction of faces with the same top class, for the worst output.
        largest_difference: largest difference of any value of any output, at temperature 1.
        accuracy: validation accuracy, 0..1; this and the next two are None for fp32.
        original_accuracy: accuracy of the fp32 file on the same samples.
        original_bytes: size of the fp32 file.
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
        """Description of the file and the comparison."""
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
        """Return the fields that are not None, JSON-ready."""
        own = {"file": str(self.file), "bytes": self.file.stat().st_size}
        return own | {name: value for name, value in vars(self).items() if name != "file" and value is not None}


@torch_defaults()
def export(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    precision: Precision = "fp32",
    data: Data | None = None,
    overwrite: bool = False,
) -> ExportResult:
    """Export a run's weights to one ``.onnx`` file, and check that it gives the same probabilities.

    Args:
        run: the run folder.
        out: the .onnx file to write; default: model.onnx, model.half.onnx or model.int8.onnx in the run folder.
        precision: fp16 stores weights in half precision. int8 also computes in 8 bits: a quarter of the size, faster.
            Both are made from the fp32 file and need data, to compare them on the validation split.
        data: labelled faces, required for fp16 and int8; fp32 uses none.
        overwrite: replace ``out`` if it exists. Without ``out``, the run's own file is always replaced.

    Raises:
        RunError: no finished epoch, an unknown precision, or ``out`` exists, is no ``.onnx`` path or the fp32 file.
        DataError: fp16 or int8 without data, fp32 with data.
    """
    if precision not in get_args(Precision):
        words = f"precision is {precision!r}; it must be one of {', '.join(get_args(Precision))}."
        raise RunError(words, code="options")
    if is_shipped(run) and not RunFolder(Path(run)).is_run:
        raise RunError(f"{run} is built in and already exported. mien export needs a run folder.", code="run-missing")
    folder, file = RunFolder(expand_home(run)), None if out is None else expand_home(out)
    folder.read_recipe()
    if file is not None and (file.suffix != ".onnx" or file.is_dir()):
        raise RunError(f"--out must name a .onnx file; found {file}.", code="out-path")
    if file is not None and precision != "fp32" and file.resolve() == folder.model.resolve():
        raise RunError(f"--out is {file}, the fp32 file itself. Choose another file.", code="out-path")
    check_replaceable([file] if file else [], overwrite)
    if precision == "fp32":
        if data is not None:
            raise DataError("--data needs --precision int8 or fp16; fp32 uses none.", code="options")
        with needs_extra("train", "Exporting"):
            # Import it here, because it imports torch, which the other precisions and `import mien` do not need.
            from mien.exporting.to_onnx import export_run
        file = file or folder.model
        exported = export_run(folder)
        exported.write(file)
        parity = exported.parity
        return ExportResult(file, precision, parity.faces, parity.agreement, parity.largest_difference)
    if data is None:
        raise DataError(f"{precision} is measured on the validation split; give --data PATH.", code="data-missing")
    with needs_extra("train", "Exporting"):
        import onnx  # noqa: F401
    model = find_model(folder.path)
    manifest = read_manifest(model)
    if manifest.precision != "fp32":
        raise RunError(f"{model} is {manifest.precision}. First run: mien export {folder.path}", code="options")
    file = file or (folder.model_int8 if precision == "int8" else folder.model_fp16)
    return quantize(model, precision, read(data, *manifest.input.size_and_channels).faces, file)


@torch_defaults()
def load_network(run: str | os.PathLike[str]) -> "Module":
    """Load a run's network with its trained weights, on the CPU in evaluation mode, such as for t-SNE or Captum.

    The network is the module from ``network=`` or ``[model] file``, or one of mien's. It maps images float32 (B,
    channels, S, S) to logits, with S = ``input.crop_px`` of the recipe. Images are normalised as (pixels / 255 - mean)
    / std with the values in ``[input]``.

    Args:
        run: a run folder, or the name of a built-in model.

    Raises:
        ModelError: no such run, or it has no trainable weights.
        MissingExtraError: torch is not installed.
    """
    with needs_extra("train", "A network"):
        from mien.models.own import OwnNetwork
        from mien.training import checkpoint
    network, _ = checkpoint.load_best(find_trained(run))
    return network.whole_module() if isinstance(network, OwnNetwork) else network


def quantize(model: Path, precision: Literal["fp16", "int8"], faces: Dataset, out: Path) -> ExportResult:
    """Quantize an fp32 model file, evaluate both files, and write the new one with its metrics in the manifest.

    fp16 stores weights in half precision; int8 quantizes weights and activations. The temperature of the original is
    kept. Metrics are stored only if ``faces`` is the data of the manifest's fingerprint.

    Raises DataError: the validation split, or for int8 the training split, is missing, or the data has a class that the
    model lacks; ModelError: the precision cannot represent the weights.
    """
    original = Predictor(model).for_labels()
    before = predict_split(original, faces, "validation", temperature=1.0)
    with busy(f"exporting in {precision}"):
        content = model.read_bytes()
        if precision == "fp16":
            graph = to_fp16(content)
        else:
            # The choice of training faces is always the same.
            chosen = with_model_classes(original, faces).of_split("train")
            some = np.sort(np.random.default_rng(0).permutation(len(chosen))[:CALIBRATION_FACES])
            graph = to_int8(content, to_input(chosen.images[some], original.manifest.input))
    now = {"created": datetime.now(UTC).isoformat(timespec="seconds"), "mien_version": __version__}
    manifest = original.manifest.model_copy(update={"precision": precision, "scores": {}, **now})
    with whole_file(out) as temporary:
        temporary.write_bytes(attach_manifest(graph, manifest))
        quantized = Predictor(temporary).for_labels()
        after = predict_split(quantized, faces, "validation", temperature=1.0)
        if faces.matches_training_data(manifest.data_fingerprint):
            scores = headline_values(evaluate_predictions(after, resamples=1))
            graph = attach_manifest(graph, manifest.model_copy(update={"scores": scores}))
            temporary.write_bytes(graph)
    images = np.asarray(faces.of_split("validation").images)
    pairs = [(original.output, before.probabilities, after.probabilities)]
    for head in original.manifest.all_outputs[1:]:
        one, two = (each.output_probabilities(images, {head.name or "": 1.0}) for each in (original, quantized))
        pairs.append((head, one, two))
    return ExportResult(
        file=out,
        precision=precision,
        samples=len(after),
        agreement=min(float((one.argmax(1) == two.argmax(1)).mean()) for head, one, two in pairs if head.answers),
        largest_difference=max(float(np.abs(one - two).max()) for _, one, two in pairs),
        accuracy=after.accuracy,
        original_accuracy=before.accuracy,
        original_bytes=model.stat().st_size,
    )
