"""``mien export``: the artifact of a run, and its smaller forms."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import (
    DATA_HELP,
    CleanOption,
    JsonOption,
    MapOption,
    QuietOption,
    SkipBadOption,
    remark,
    show_json,
)
from mien.cli.source import Source, source_if_any
from mien.errors import DataError, RunError, needs_extra

if TYPE_CHECKING:
    from mien.run_folder import RunFolder


def export(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    out: Annotated[
        Path | None,
        typer.Option(help="The .onnx file to write; RUN/model.onnx, model.half.onnx or model.int8.onnx by default."),
    ] = None,
    int8: Annotated[
        bool, typer.Option("--int8", help="Make the 8-bit form of RUN/model.onnx: a quarter of the size, faster.")
    ] = False,
    half: Annotated[
        bool, typer.Option("--half", help="Make the form whose weights are stored in fp16: half of the size.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option(help=f"{DATA_HELP} For --int8 and --half, to measure what they cost.", metavar="PATH")
    ] = None,
    class_map: MapOption = None,
    skip_bad: SkipBadOption = False,
    clean: CleanOption = None,
    json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Write a run's best epoch as one .onnx file and prove that it answers as torch does.

    With --int8 or --half: a smaller form of that file, measured on the validation split beside it.
    """
    from mien.inference.locate import is_shipped
    from mien.run_folder import RunFolder

    folder = RunFolder(run)
    if is_shipped(run) and not folder.is_run:
        raise RunError(f"{run} comes with mien, exported already; mien export is for a run folder of yours.")
    if int8 and half:
        raise DataError("Give --int8 or --half, not both; each makes a file of its own.")
    if out is not None and (out.suffix != ".onnx" or out.is_dir()):
        raise RunError(f"--out must name a .onnx file; found {out}.")
    if int8 or half:
        _smaller(folder, out, int8, source_if_any(data, class_map, skip_bad, clean), json)
        return
    if data is not None or class_map is not None or skip_bad or clean is not None:
        raise DataError(
            "--data, --map, --skip-bad and --clean are for --int8 and --half; a plain export reads no faces."
        )
    with needs_extra("train", "Exporting"):
        from mien.export import export_run
    from mien.artifact import read_manifest

    file = out or folder.model
    parity = export_run(folder, file)
    if not read_manifest(file).scores:
        remark(
            f"NOTE: {file} holds neither scores nor a temperature, since the run has no measured model.onnx of these "
            f"weights. mien train or distill with --resume measures a trained run; make a soup or a pruned one anew."
        )
    megabytes = file.stat().st_size / 1e6
    if json:
        show_json({"file": str(file), "bytes": file.stat().st_size, **vars(parity)})
        return
    typer.echo(
        f"{file}: {megabytes:.2f} MB; on {parity.faces} synthetic faces the largest probability difference to torch "
        f"is {parity.largest_difference:.1g}, the top class agrees on {parity.agreement:.1%}."
    )


def _smaller(folder: RunFolder, out: Path | None, int8: bool, source: Source | None, json: bool) -> None:
    from mien.artifact import read_manifest
    from mien.inference.locate import find_model

    if source is None:
        raise DataError("--int8 and --half measure what they cost; give labelled faces with --data PATH.")
    with needs_extra("train", "Exporting"):
        import onnx  # noqa: F401 - missing it is said before any work

        from mien.experiments.smaller import write_smaller
    folder.read_recipe()
    model = find_model(folder.path)
    manifest = read_manifest(model)
    if manifest.precision != "fp32":
        raise RunError(f"{model} is {manifest.precision} already. Write it in fp32 with: mien export {folder.path}")
    if out is not None and out.resolve() == model.resolve():
        raise RunError(f"--out is {model}, which the smaller form is made from; choose another file.")
    result = source.read(manifest.input.size_px)
    file = out or (folder.model_int8 if int8 else folder.model_half)
    smaller = write_smaller(model, "int8" if int8 else "fp16", result.faces, file)
    if json:
        show_json(smaller.to_dict())
    else:
        typer.echo(smaller.words())
