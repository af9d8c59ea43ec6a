"""``mien export``: export a run to ONNX, also in fp16 and int8."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mien.api import export as api
from mien.base.model_file import read_manifest
from mien.cli.options import DATA_HELP, JsonOption, OverwriteOption, option
from mien.cli.output import notice, show_json
from mien.cli.source import SourceOptions


def export(
    run: Annotated[str, typer.Argument(help="The run folder.", metavar="RUN")],
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(
            help="fp16 stores weights in half precision. int8 also computes in 8 bits: a quarter of the size, faster."
        ),
    ] = "fp32",
    out: Annotated[
        Path | None,
        option("The .onnx file to write. The default is RUN/model.onnx, model.half.onnx or model.int8.onnx.", "FILE"),
    ] = None,
    data: Annotated[
        Path | None, option(f"{DATA_HELP} fp16 and int8 need it to measure their accuracy.", "PATH")
    ] = None,
    *,
    data_options: SourceOptions,
    overwrite: OverwriteOption = False,
    json: JsonOption = False,
) -> None:
    """Export the best epoch of a run to ONNX, and check that it gives the same outputs as torch.

    fp16 and int8 are made from the fp32 file and compared with it on the validation split.
    """
    made = api.export(run, out, precision=precision, data=data_options.at_any(data), overwrite=overwrite)
    if precision == "fp32" and not read_manifest(made.file).scores:
        notice(
            f"{made.file} has neither metrics nor a temperature, because the run has no evaluated model.onnx of these "
            f"weights. Evaluate it with mien train --resume.",
            "metrics-missing",
        )
    if json:
        show_json(made.to_dict())
    else:
        typer.echo(made.description)
