"""``mien.export``: a run's weights as one model file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from mien.api.inputs import Data, read
from mien.argument_names import names_arguments
from mien.artifact import read_manifest
from mien.errors import DataError, RunError, needs_extra
from mien.hub import is_hub_address
from mien.inference.find_model import find_model, find_trained, is_shipped
from mien.pipeline.export_quantized import QuantizedModel
from mien.pipeline.export_quantized import export_quantized as quantize
from mien.run_folder import RunFolder

if TYPE_CHECKING:
    from mien.exporting.to_onnx import Parity


Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
"""In what a model file stores its weights; int8 computes in 8 bits too."""


@names_arguments
def export(
    run: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    *,
    precision: Precision = "fp32",
    data: Data | None = None,
) -> Path:
    """Write a run's weights as one ``.onnx`` file, and prove that it gives the same probabilities.

    Args:
        run: the run folder.
        out: the file; ``model.onnx``, ``model.half.onnx`` or ``model.int8.onnx`` in the run folder by default.
        precision: fp16 halves the file; int8 quarters it and is faster. Both are measured on validation.
        data: labelled faces, needed for fp16 and int8.

    Returns:
        The file.

    Raises:
        RunError: no finished epoch to export; no such precision; ``out`` is no ``.onnx`` file, or the file that is
            quantized.
        DataError: fp16 or int8 without data.
    """
    if precision not in get_args(Precision):
        raise RunError(
            f"precision is {precision!r}; it must be one of {', '.join(get_args(Precision))}.", code="precision-unknown"
        )
    if precision == "fp32":
        return export_fp32(run, out)[0]
    return export_quantized(run, precision, data, out)[0]


def export_fp32(run: str | os.PathLike[str], out: str | os.PathLike[str] | None = None) -> tuple[Path, Parity]:
    """:func:`export` in fp32, and how closely the file agrees with torch."""
    folder, file = _checked(run, out)
    with needs_extra("train", "Exporting"):
        # It imports torch, which the other precisions and `import mien` do without.
        from mien.exporting.to_onnx import export_run
    file = file or folder.model
    return file, export_run(folder, file)


def export_quantized(
    run: str | os.PathLike[str],
    precision: Literal["fp16", "int8"],
    data: Data | None,
    out: str | os.PathLike[str] | None = None,
) -> tuple[Path, QuantizedModel]:
    """:func:`export` in fp16 or int8, and how far the file is from the fp32 one."""
    folder, file = _checked(run, out)
    if data is None:
        raise DataError(f"{precision} is measured on the validation split; give --data PATH.", code="data-missing")
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
        raise RunError(f"--out is {model}, the fp32 file itself. Choose another file.", code="out-is-source")
    file = file or (folder.model_int8 if precision == "int8" else folder.model_fp16)
    return file, quantize(model, precision, read(data, *manifest.input.stored_as).faces, file)


def _checked(run: str | os.PathLike[str], out: str | os.PathLike[str] | None) -> tuple[RunFolder, Path | None]:
    """The run folder and the file to write. Raises :class:`RunError`."""
    shipped = is_shipped(run)
    folder, file = RunFolder(Path(run)), None if out is None else Path(out)
    if shipped and not folder.is_run:
        raise RunError(f"{run} is built in and already exported. mien export needs a run folder.", code="run-shipped")
    if is_hub_address(run) and file is None:
        raise RunError(f"{run} is not a folder of yours. Name the file to write with --out.", code="out-missing")
    if not folder.path.exists():
        folder = find_trained(run)  # of a hub; or says what may have been meant
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
        raise RunError(f"--out must name a .onnx file; found {out}.", code="out-suffix")
